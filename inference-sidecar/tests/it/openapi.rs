//! The OpenAPI document, held against the server by Schemathesis: it sends what the document allows and what it forbids.

use serde_json::Value;
use tokio::process::Command;

use crate::support::{Running, image, json_body, python};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_as_its_openapi_document_says() {
    let running = Running::start(&[]).await;
    let response = running.client.get(running.url("/openapi.json")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let mut document: Value = response.json().await.unwrap();
    let operations = document["paths"].as_object().unwrap().values().flat_map(|p| p.as_object().unwrap().keys());
    let operations = operations.filter(|key| ["get", "post"].contains(&key.as_str())).count();
    assert_eq!(operations, 10);
    let content = &mut document["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"];
    // Bytes at random in the place of images take minutes, and other tests send worse.
    content.as_object_mut().unwrap().retain(|media_type, _| media_type == "application/json");
    // Something that the model answers, so that an answer is held against its schema too.
    content["application/json"]["example"] = json_body(&image(1));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();

    let mut command = Command::new(python("schemathesis", "schemathesis", &["schemathesis==4.32.5"]).await);
    command.arg("run").arg(&file).args(["--url", &running.url("")]).args(["--max-examples", "25", "--seed", "1"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color"]);
    // A schema cannot say which tensors the model takes: most that it allows are refused.
    command.args(["--exclude-checks", "positive_data_acceptance"]).current_dir(&directory);
    command.env("NO_PROXY", "127.0.0.1").env("COLUMNS", "150");
    let output = command.output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("Tested: {operations}")), "{said}");
}
