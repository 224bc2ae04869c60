//! Triton's Python client, over HTTP and gRPC: every datatype, compression, classification, statistics, the index, errors.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::onnx::{DATATYPES, identities};
use crate::support::{Package, Running, script_output};

#[tokio::test]
async fn the_real_client_of_triton_is_served() {
    let (model, inputs, outputs) = identities(&DATATYPES.map(|(datatype, _)| datatype));
    let types = Running::serve(Package::of(&model, inputs, outputs, vec![]), &["--model-name", "types"]).await;
    let labels = (0..10).map(|i| format!("label {i}")).collect();
    let fashion = Running::serve(Package::fashion(labels), &[]).await;
    let addresses =
        |running: &Running| json!({"http": running.server.http.to_string(), "grpc": running.server.grpc.to_string()});
    let addresses = json!({"types": addresses(&types), "fashion": addresses(&fashion)});

    // It installs the client the first time; a machine that cannot is told so here.
    let packages = tokio::task::spawn_blocking(|| script_output("tritonclient.sh")).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/triton_client.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(addresses.to_string()).env("PYTHONPATH", packages);
    // Nothing that a proxy would have to reach.
    command.env("NO_PROXY", "127.0.0.1").env("no_grpc_proxy", "127.0.0.1");
    let output = command.output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all of it"), "{said}");
}
