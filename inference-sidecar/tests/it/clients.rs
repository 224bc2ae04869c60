//! Python clients that others have written, over HTTP and gRPC. Triton's: every datatype, compression, classification, statistics, the
//! index, errors. KServe's: health, metadata, numbers and strings, binary and not.

use std::path::Path;

use drydock_contract::Datatype;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::onnx::{DATATYPES, identities};
use crate::support::{Package, Running, python};

#[tokio::test]
async fn the_real_client_of_triton_is_served() {
    let (model, inputs, outputs) = identities(&DATATYPES.map(|(datatype, _)| datatype));
    let types = Running::serve(Package::of(&model, inputs, outputs, vec![]), &["--model-name", "types"]).await;
    let labels = (0..10).map(|i| format!("label {i}")).collect();
    let fashion = Running::serve(Package::fashion(labels), &[]).await;
    let addresses =
        |running: &Running| json!({"http": running.server.http.to_string(), "grpc": running.server.grpc.to_string()});
    let addresses = json!({"types": addresses(&types), "fashion": addresses(&fashion)});

    says_all_of_it("triton_client.py", &addresses, "tritonclient", &["tritonclient[grpc,http]==2.73.0"]).await;
}

#[tokio::test]
async fn the_real_client_of_kserve_is_served() {
    let (model, inputs, outputs) = identities(&[Datatype::Fp32, Datatype::Int64, Datatype::Bytes]);
    let types = Running::serve(Package::of(&model, inputs, outputs, vec![]), &["--model-name", "types"]).await;
    let addresses = json!({"http": types.server.http.to_string(), "grpc": types.server.grpc.to_string()});
    says_all_of_it("kserve_client.py", &addresses, "kserve", &["kserve==0.21.0"]).await;
}

async fn says_all_of_it(script: &str, addresses: &Value, name: &'static str, packages: &'static [&'static str]) {
    let mut command = Command::new(python("python", name, packages).await);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script)).arg(addresses.to_string());
    // Nothing that a proxy would have to reach.
    command.env("NO_PROXY", "127.0.0.1").env("no_grpc_proxy", "127.0.0.1");
    let output = command.output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all of it"), "{said}");
}
