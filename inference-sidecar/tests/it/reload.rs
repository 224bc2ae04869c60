//! Another package in the place of the one that is served, while requests come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drydock_contract::{Datatype, MANIFEST_FILE, MODEL_FILE, TensorSignature};
use inference_sidecar::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use inference_sidecar::was_never_sent;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::Barrier;

use crate::onnx::matrix;
use crate::process::{start, terminate};
use crate::support::{MODEL, Package, Running, client, image, json_body, message};

/// What a device has (docs/edge.md): a link to the package, which has a file with its digest.
struct Device {
    place: TempDir,
}

impl Device {
    fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    fn link(&self) -> PathBuf {
        self.place.path().join("current")
    }

    fn digest_file(&self) -> PathBuf {
        self.link().join("digest")
    }

    fn install(&self, package: &Package) {
        let new = self.place.path().join("new");
        std::os::unix::fs::symlink(package.directory.path(), &new).unwrap();
        std::fs::write(package.path("digest"), format!("{}\n", package.digest)).unwrap();
        std::fs::rename(new, self.link()).unwrap();
    }

    fn flags(&self) -> [String; 4] {
        let (link, file) = (self.link().display().to_string(), self.digest_file().display().to_string());
        ["--package".into(), link, "--digest-file".into(), file]
    }
}

/// Two packages that differ in what they answer: the second has the first's classes in another order, by its labels.
fn packages() -> (Package, Package) {
    let labels = |first: &str| (0..10).map(|i| format!("{first} {i}")).collect();
    (Package::fashion(labels("old")), Package::fashion(labels("new")))
}

/// The likeliest class's name, by the classification extension.
async fn class(client: &reqwest::Client, url: &str) -> (String, String) {
    let mut body = json_body(&image(1));
    body["outputs"] = serde_json::json!([{"name": "logits", "parameters": {"classification": 1}}]);
    let response = client.post(url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let revision = response.headers()["drydock-revision"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["model_version"], revision.as_str());
    (body["outputs"][0]["data"][0].as_str().unwrap().to_owned(), revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_another_package_is_served() {
    let (old, new) = packages();
    let device = Device::new();
    device.install(&old);
    let flags = device.flags();
    let running = Running::serve(old, &flags.each_ref().map(String::as_str)).await;
    let (url, grpc) = (running.infer_url(), format!("http://{}", running.server.grpc));

    let done = Arc::new(AtomicBool::new(false));
    // Each client has had an answer of the old package before there is another: two over HTTP, one over gRPC, and this test.
    let answered_once = Arc::new(Barrier::new(4));
    let mut load = Vec::new();
    for _ in 0..2 {
        let (url, done, answered_once) = (url.clone(), done.clone(), answered_once.clone());
        load.push(tokio::spawn(async move {
            let client = client();
            let mut seen = vec![class(&client, &url).await];
            answered_once.wait().await;
            while !done.load(Ordering::SeqCst) {
                let (class, revision) = class(&client, &url).await;
                assert!(class.contains("old") || class.contains("new"), "{class}");
                seen.push((class, revision));
            }
            seen
        }));
    }
    let (asked, barrier) = (done.clone(), answered_once.clone());
    let called = tokio::spawn(async move {
        let mut client = GrpcInferenceServiceClient::connect(grpc).await.unwrap();
        client.model_infer(message(&image(1))).await.unwrap();
        barrier.wait().await;
        while !asked.load(Ordering::SeqCst) {
            if let Err(e) = client.model_infer(message(&image(1))).await {
                assert!(was_never_sent(&e), "{e:?}");
            }
        }
    });
    answered_once.wait().await;
    assert!(class(&running.client, &url).await.0.contains("old"));
    device.install(&new);
    running.server.reload().await.unwrap();
    let (name, revision) = class(&running.client, &url).await;
    assert!(name.contains("new") && revision == new.digest.short(), "{name} {revision}");
    done.store(true, Ordering::SeqCst);

    for seen in load {
        let seen = seen.await.unwrap();
        // Each answer is one package's, whole: its labels and its revision.
        for (class, revision) in &seen {
            assert_eq!(class.contains("new"), revision == new.digest.short(), "{class} {revision}");
        }
        assert!(seen.first().unwrap().0.contains("old"), "{seen:?}");
    }
    called.await.unwrap();

    let text = metrics(&running).await;
    let lines = ["drydock_reloads_total{result=\"swapped\"} 1", new.digest.hex(), "drydock_sessions 1"];
    assert!(lines.iter().all(|line| text.contains(line)), "{text}");
    assert!(!text.contains(running.package.digest.hex()), "{text}");
    let metadata: Value =
        running.client.get(running.url(&format!("/v2/models/{MODEL}"))).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["properties"]["digest"], new.digest.to_string());
}

async fn metrics(running: &Running) -> String {
    running.client.get(running.admin("/metrics")).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_cannot_be_served_is_refused_and_the_old_one_goes_on() {
    let (old, new) = packages();
    let device = Device::new();
    device.install(&old);
    let flags = device.flags();
    let running = Running::serve(old, &flags.each_ref().map(String::as_str)).await;

    // The digest is as it was.
    running.server.reload().await.unwrap();
    // Not written to the end.
    device.install(&new);
    let model = std::fs::read(new.path(MODEL_FILE)).unwrap();
    std::fs::write(new.path(MODEL_FILE), &model[..model.len() / 2]).unwrap();
    let error = running.server.reload().await.unwrap_err().to_string();
    assert!(error.contains("not written to the end"), "{error}");
    // No model at all, though its digests are right.
    let tensor = |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Fp32, shape: vec![-1, 2] };
    let no_model = Package::of(b"no model", vec![tensor("x")], vec![tensor("y")], vec![]);
    device.install(&no_model);
    let error = running.server.reload().await.unwrap_err().to_string();
    assert!(error.contains("cannot load the model"), "{error}");
    std::fs::write(device.digest_file(), "r2").unwrap();
    let error = running.server.reload().await.unwrap_err().to_string();
    assert!(error.contains("\"r2\"") && error.contains("sha256:"), "{error}");

    assert!(class(&running.client, &running.infer_url()).await.0.contains("old"));
    let text = metrics(&running).await;
    for line in ["drydock_reloads_total{result=\"refused\"} 3", "drydock_reloads_total{result=\"unchanged\"} 1"] {
        assert!(text.contains(line), "{text}");
    }
    // One that is right is served after all that.
    std::fs::write(new.path(MODEL_FILE), &model).unwrap();
    device.install(&new);
    running.server.reload().await.unwrap();
    assert!(class(&running.client, &running.infer_url()).await.0.contains("new"));
}

/// What is read of the new package never comes: the end does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_being_loaded_does_not_keep_the_process() {
    let (old, new) = packages();
    let device = Device::new();
    device.install(&old);
    let flags = device.flags();
    let flags = [flags.each_ref().map(String::as_str).as_slice(), &["--drain-seconds", "0"]].concat();
    let (mut child, _, _) = start(&old, &flags).await;
    let manifest = new.path(MANIFEST_FILE);
    std::fs::remove_file(&manifest).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&manifest).status().unwrap().success());
    device.install(&new);
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    // Opens when the other end does.
    let writer = tokio::task::spawn_blocking(|| std::fs::File::options().write(true).open(manifest)).await.unwrap();
    terminate(&child);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), child.wait()).await;
    assert_eq!(ended.expect("it waits for the package").unwrap().code(), Some(0));
    drop(writer.unwrap());
}

const MIB: usize = 1 << 20;

fn resident(child: &Child) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn sessions(child: &Child) -> usize {
    let tasks = Path::new("/proc").join(child.id().unwrap().to_string()).join("task");
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.unwrap().path().join("comm"));
    std::fs::read_dir(tasks).unwrap().filter_map(|task| name(task).ok()).filter(|n| n.starts_with("session-")).count()
}

/// By signal, as a service manager does it. The weights are large enough that one more copy of them shows.
#[tokio::test(flavor = "multi_thread")]
async fn memory_of_packages_that_are_gone_is_let_go() {
    const SIDE: usize = 2048;
    let package = |value: f32| {
        let (model, input, output) = matrix(SIDE, value);
        Package::of(&model, vec![input], vec![output], vec![])
    };
    let device = Device::new();
    let packages = [package(1.0), package(2.0)];
    device.install(&packages[0]);
    let flags = device.flags();
    let (child, http, _) = start(&packages[0], &flags.each_ref().map(String::as_str)).await;
    let (client, url) = (client(), format!("http://{http}/v2/models/{MODEL}"));
    let body = serde_json::json!({"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, SIDE], "data": vec![1.0; SIDE]}]});
    let mut before = 0;
    for i in 1..8 {
        let value = [1.0, 2.0][i % 2];
        device.install(&packages[i % 2]);
        let id = child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
        let digest = packages[i % 2].digest.to_string();
        loop {
            let metadata: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
            if metadata["properties"]["digest"] == digest {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let answer = client.post(format!("{url}/infer")).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["outputs"][0]["data"][0].as_f64(), Some(value * SIDE as f64), "{answer}");
        while sessions(&child) > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        if i == 2 {
            before = resident(&child);
        }
    }
    // Five more copies would be 80 MiB.
    let after = resident(&child);
    assert!(after < before + 24 * MIB, "{before} bytes, then {after}");
}
