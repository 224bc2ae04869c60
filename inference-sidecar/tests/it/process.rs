//! The binary itself: how it refuses to start, and how it ends.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use drydock_contract::{Digest, MODEL_FILE};
use inference_sidecar::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use inference_sidecar::was_never_sent;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tonic::Code;

use crate::connections::asked;
use crate::support::{MODEL, Package, Running, image, json_body, message};

pub(crate) fn command(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-sidecar"));
    command
        .args(arguments)
        .env_remove("ORT_DYLIB_PATH")
        .env_remove("MALLOC_MMAP_THRESHOLD_")
        .env_remove("MALLOC_TRIM_THRESHOLD_")
        .env_remove("MALLOC_ARENA_MAX")
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a server that must not start; its exit code and the reason it left.
pub(crate) async fn refused(package: &Package, more: &[&str]) -> (i32, String) {
    let log = package.path("termination-log");
    std::fs::write(&log, "").unwrap();
    let log_path = log.display().to_string();
    let arguments = package.arguments(&[more, &["--termination-log", &log_path]].concat());
    let output = command(&arguments).output().await.unwrap();
    let reason = std::fs::read_to_string(&log).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!reason.is_empty() && !stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap(), reason)
}

#[tokio::test]
async fn what_is_not_as_asked_for_does_not_start() {
    let package = Package::new();
    let other = Digest::of(b"other").to_string();
    let (code, reason) = refused(&package, &["--digest", &other]).await;
    assert_eq!(code, 65);
    assert!(reason.contains(&other) && reason.contains(&package.digest.to_string()), "{reason}");

    let (code, reason) = refused(&package, &["--onnxruntime", "/nowhere/libonnxruntime.so"]).await;
    assert_eq!(code, 75);
    assert!(reason.contains("/nowhere/libonnxruntime.so") && reason.contains("ORT_DYLIB_PATH"), "{reason}");

    let (code, reason) = refused(&package, &["--package", "/nowhere"]).await;
    assert_eq!(code, 75);
    assert!(reason.contains("/nowhere/package.json"), "{reason}");

    // The manifest's content was changed, and its digest was not.
    let mut manifest = package.manifest();
    manifest.content.labels = vec!["cat".into()];
    package.write(&manifest);
    let (code, reason) = refused(&package, &[]).await;
    assert_eq!(code, 65);
    assert!(reason.contains("was changed"), "{reason}");

    // The digest is right, and the model has other inputs.
    manifest.content.labels = vec![];
    manifest.content.inputs[0].shape = vec![-1, 3, 28, 28];
    manifest.digest = manifest.content.digest();
    package.write(&manifest);
    let (code, reason) = refused(&package, &["--digest", &manifest.digest.to_string()]).await;
    assert_eq!(code, 65);
    assert!(reason.contains("[-1, 1, 28, 28]") && reason.contains("[-1, 3, 28, 28]"), "{reason}");

    // The model is not the manifest's.
    let package = Package::new();
    let mut model = std::fs::read(package.path(MODEL_FILE)).unwrap();
    model.truncate(model.len() - 1);
    std::fs::write(package.path(MODEL_FILE), &model).unwrap();
    let (code, reason) = refused(&package, &[]).await;
    assert_eq!(code, 65);
    assert!(reason.contains(&Digest::of(&model).to_string()), "{reason}");
}

/// Starts the binary; where it listens for HTTP and gRPC, once it is ready.
pub(crate) async fn start(package: &Package, more: &[&str]) -> (Child, SocketAddr, SocketAddr) {
    ready(command(&package.arguments(more)).spawn().unwrap()).await
}

async fn ready(mut child: Child) -> (Child, SocketAddr, SocketAddr) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("it ended before it was ready");
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["message"] == "ready" {
            // The rest of the log must be read, or the process would stop at a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            let address = |key: &str| event[key].as_str().unwrap().parse().unwrap();
            return (child, address("http"), address("grpc"));
        }
    }
}

/// By default a process may have fewer descriptors than connections, and more for the asking.
#[tokio::test(flavor = "multi_thread")]
async fn descriptors_are_as_many_as_there_may_be() {
    let package = Package::new();
    for (limits, connections) in [("ulimit -Sn 100; ulimit -Hn 600", 344), ("ulimit -Sn 100; ulimit -Hn 1280", 1024)] {
        let plain = command(&package.arguments(&[]));
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(plain.as_std().get_program());
        limited.args(plain.as_std().get_args()).env_remove("ORT_DYLIB_PATH").stderr(Stdio::piped()).kill_on_drop(true);
        let (child, http, grpc) = ready(limited.spawn().unwrap()).await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id().unwrap())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let (soft, hard) = line.trim().split_once(char::is_whitespace).unwrap();
        assert!(hard.trim().starts_with(soft), "{line}");
        if connections == 1024 {
            continue;
        }
        // Full, it answers still.
        let mut held = Vec::new();
        for _ in 1..connections {
            held.push(TcpStream::connect(http).await.unwrap());
        }
        // They are taken in their order: with this one all are.
        held.push(asked(http).await);
        let mut client = GrpcInferenceServiceClient::connect(format!("http://{grpc}")).await.unwrap();
        let full = client.model_infer(message(&image(1))).await.unwrap_err();
        assert!(full.message().contains(&format!("{connections} connections are open")), "{full}");
    }
}

pub(crate) fn terminate(child: &Child) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_it_is_told_to_stop() {
    let package = Package::new();
    let (mut child, http, grpc) = start(&package, &["--drain-seconds", "4"]).await;
    let until = Instant::now() + Duration::from_secs(2);
    let mut load = Vec::new();
    for seed in 0..4 {
        load.push(tokio::spawn(async move {
            let (client, mut answered) = (crate::support::client(), 0);
            let url = format!("http://{http}/v2/models/{MODEL}/infer");
            while Instant::now() < until {
                let response = client.post(&url).json(&json_body(&image(seed))).send().await.unwrap();
                assert_eq!(response.status(), 200);
                response.bytes().await.unwrap();
                answered += 1;
            }
            answered
        }));
        load.push(tokio::spawn(async move {
            let url = format!("http://{grpc}");
            let (mut client, mut answered) = (GrpcInferenceServiceClient::connect(url).await.unwrap(), 0);
            while Instant::now() < until {
                match client.model_infer(message(&image(seed))).await {
                    Ok(_) => answered += 1,
                    // Told to go before the request was sent: gRPC clients send it again; tonic leaves that to its user.
                    Err(e) => assert!(was_never_sent(&e), "{e:?}"),
                }
            }
            answered
        }));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    terminate(&child);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
    assert!(child.try_wait().unwrap().is_none(), "it still drains");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

/// ONNX Runtime's telemetry would.
#[tokio::test]
async fn it_writes_no_file() {
    let (package, home) = (Package::new(), tempfile::tempdir().unwrap());
    let mut command = command(&package.arguments(&[]));
    command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME").env_remove("ORT_DISABLE_TELEMETRY");
    let (_child, http, _) = ready(command.spawn().unwrap()).await;
    let url = format!("http://{http}/v2/models/{MODEL}/infer");
    let response = crate::support::client().post(url).json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let written: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(written.is_empty(), "{written:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let package = Package::new();
    let (mut child, http, _) = start(&package, &["--drain-seconds", "600"]).await;
    terminate(&child);
    let client = crate::support::client();
    let ready = format!("http://{http}/v2/health/ready");
    while client.get(&ready).send().await.unwrap().status() != 503 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    terminate(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(143));
}

#[tokio::test]
async fn more_than_fit_are_told_to_come_again() {
    // Room for two: one that runs and one that waits. Two whose bodies do not end take it.
    let running = Running::start(&["--queue-size", "1"]).await;
    let body = json_body(&image(1)).to_string();
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(running.server.http).await.unwrap();
        let head = format!(
            "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let response = loop {
        let response = running.client.post(running.infer_url()).body(body.clone()).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
    };
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    let mut client = running.grpc().await;
    let status = client.model_infer(message(&image(1))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);

    for mut stream in slow {
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let response = running.client.post(running.infer_url()).body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
}
