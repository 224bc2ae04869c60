//! Execution providers: what a library has, and what it has not; models that it should not have.

use std::sync::LazyLock;

use drydock_contract::Target;
use serde_json::Value;

use crate::onnx::{outside, quantized};
use crate::process::{refused, start};
use crate::support::{MODEL, Package, Running, client, image, json_body, script_output};

/// ONNX Runtime with OpenVINO: another library, and so another process than the tests'.
static OPENVINO: LazyLock<String> = LazyLock::new(|| script_output("onnxruntime-openvino.sh", &[]));

/// The example model, made for hardware of this kind.
fn made_for(target: Target) -> Package {
    let mut package = Package::new();
    let mut manifest = package.manifest();
    manifest.content.target = Some(target);
    manifest.digest = manifest.content.digest();
    package.digest = manifest.digest.clone();
    package.write(&manifest);
    package
}

#[tokio::test]
async fn a_provider_that_the_library_has_not_is_an_error_that_says_what_it_has() {
    let package = Package::new();
    for (provider, name, hint) in [
        ("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
        ("cuda", "CUDAExecutionProvider", "onnxruntime-gpu"),
        ("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu"),
    ] {
        let (code, reason) = refused(&package, &["--execution-provider", provider]).await;
        assert_eq!(code, 65, "{reason}");
        for part in [name, hint, "it has CPUExecutionProvider;", "ORT_DYLIB_PATH"] {
            assert!(reason.contains(part), "{reason}");
        }
    }
    let nvidia = made_for(Target::Nvidia);
    let (code, reason) = refused(&nvidia, &[]).await;
    assert!(code == 65 && reason.contains("which the package's target nvidia needs"), "{reason}");
    // It is not the CPU's unless somebody says so.
    let (_child, http, _) = start(&nvidia, &["--execution-provider", "cpu"]).await;
    assert_eq!(properties(http).await["execution_provider"], "CPUExecutionProvider");
}

async fn properties(http: std::net::SocketAddr) -> Value {
    let response = client().get(format!("http://{http}/v2/models/{MODEL}")).send().await.unwrap();
    response.json::<Value>().await.unwrap()["properties"].clone()
}

async fn scores(http: std::net::SocketAddr, seed: usize) -> Vec<f64> {
    let request = client().post(format!("http://{http}/v2/models/{MODEL}/infer")).json(&json_body(&image(seed)));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["outputs"][0]["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// In float32, as it is asked to be: its own default is bfloat16, where the processor has that, and is off by more.
#[tokio::test]
async fn openvino_answers_as_the_cpu_provider_does() {
    const TOLERANCE: f64 = 1e-4;
    let library = tokio::task::spawn_blocking(|| OPENVINO.as_str()).await.unwrap();
    let package = made_for(Target::Intel);
    let (_openvino, by_target, _) = start(&package, &["--onnxruntime", library]).await;
    assert_eq!(properties(by_target).await["execution_provider"], "OpenVINOExecutionProvider");
    let (_cpu, cpu, _) = start(&package, &["--onnxruntime", library, "--execution-provider", "cpu"]).await;
    assert_eq!(properties(cpu).await["execution_provider"], "CPUExecutionProvider");
    for seed in 0..8 {
        let (found, expected) = (scores(by_target, seed).await, scores(cpu, seed).await);
        let largest = expected.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
        assert!(largest > 0.1 && found.len() == 10, "{expected:?}");
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() <= TOLERANCE * largest, "{found:?} {expected:?}");
        }
    }
}

/// A device that OpenVINO has not is an error too.
#[tokio::test]
async fn a_device_that_is_not_there_is_no_reason_to_take_another() {
    let library = tokio::task::spawn_blocking(|| OPENVINO.as_str()).await.unwrap();
    let package = Package::new();
    let flags = ["--onnxruntime", library, "--execution-provider", "openvino", "--openvino-device", "NPU"];
    let (code, reason) = refused(&package, &flags).await;
    assert_eq!(code, 75, "{reason}");
    assert!(reason.contains("OpenVINOExecutionProvider"), "{reason}");
}

#[tokio::test]
async fn weights_that_no_digest_covers_are_not_loaded() {
    let (model, input, output) = outside("weights.bin");
    let package = Package::of(&model, vec![input], vec![output], vec![]);
    std::fs::write(package.path("weights.bin"), [0; 16]).unwrap();
    let (code, reason) = refused(&package, &[]).await;
    assert_eq!(code, 65, "{reason}");
    assert!(reason.contains("weights in another file (\"w\")"), "{reason}");
}

#[tokio::test]
async fn a_form_that_the_engine_is_slow_at_is_told() {
    for (int8, expected) in [(true, true), (false, false)] {
        let (model, input, output) = quantized(int8);
        let running = Running::serve(Package::of(&model, vec![input], vec![output], vec![]), &[]).await;
        let metrics = running.client.get(running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
        assert_eq!(metrics.contains("drydock_model_slow_format{format=\"qdq_s8s8\"} 1"), expected, "{metrics}");
    }
}
