//! The served model over REST, and what a wrong request gets. gRPC has its tests in the sidecar only.

use anyhow::{Context as _, Result};
use drydock_e2e::oip;
use serde_json::{Value, json};

use crate::support::{samples, served, space};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_right_ones_and_refuses_wrong_ones() -> Result<()> {
    let space = space("requests").await?;
    served(&space, &json!({})).await?;
    let base = space.service_url("model").await?;
    let http = oip::client().build()?;
    let samples = samples()?;

    let mut correct = 0;
    for sample in samples.iter().take(200) {
        correct += usize::from(oip::infer(&http, &base, "model", &sample.tensor()).await?.class == sample.label);
    }
    println!("{correct} of 200 images right");
    assert!(correct >= 170, "{correct} of 200 images right, where the model has 90.8 %");

    let metadata: Value = http.get(format!("{base}/v2/models/model")).send().await?.json().await?;
    assert_eq!(metadata["inputs"][0]["name"], "input");
    assert_eq!(metadata["inputs"][0]["datatype"], "FP32");

    let good: Vec<f32> = vec![0.0; 784];
    let request = |change: Value| {
        let mut body =
            json!({"inputs": [{"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": good}]});
        let input = body.pointer_mut("/inputs/0").and_then(Value::as_object_mut).context("input")?;
        for (key, value) in change.as_object().into_iter().flatten() {
            input.insert(key.clone(), value.clone());
        }
        anyhow::Ok(body)
    };
    let url = format!("{base}/v2/models/model/infer");
    let answer = http.post(&url).json(&request(json!({}))?).send().await?;
    assert_eq!(answer.status(), 200, "{}", answer.text().await?);
    for (what, change, expected) in [
        ("a wrong name", json!({"name": "image"}), "input"),
        ("a wrong datatype", json!({"datatype": "INT8"}), "FP32"),
        ("a wrong shape", json!({"shape": [1, 3, 28, 28]}), "28"),
        ("too few values", json!({"data": [1.0, 2.0]}), "784"),
        ("a negative dimension", json!({"shape": [-1, 1, 28, 28]}), ""),
        ("a product that overflows", json!({"shape": [4_294_967_296_u64, 4_294_967_296_u64, 28, 28]}), ""),
    ] {
        let answer = http.post(&url).json(&request(change)?).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        assert_eq!(status, 400, "{what}: {text}");
        let error: Value = serde_json::from_str(&text).with_context(|| format!("{what}: {text}"))?;
        assert!(error["error"].as_str().is_some_and(|e| e.contains(expected)), "{what}: {text}");
    }
    let answer = http.post(&url).body("{\"inputs\": [").send().await?;
    assert_eq!(answer.status(), 400);
    let answer = http.post(format!("{base}/v2/models/other/infer")).json(&request(json!({}))?).send().await?;
    assert_eq!(answer.status(), 404);
    space.delete().await
}
