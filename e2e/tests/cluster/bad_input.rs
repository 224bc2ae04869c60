//! Bad models, data and sources: what the user gets to see, row by row of docs/runbook.md.

use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::{CandidateState, ModelDeployment};
use drydock_e2e::install::kubectl;
use drydock_e2e::kubernetes::{Space, changed, condition, example, is_ready, reason};
use futures::future::try_join_all;
use futures::try_join;
use serde_json::{Value, json};

use crate::support::{OPTIMIZED, model, served, space, stable_revision};

const WAIT: Duration = Duration::from_secs(120);

fn message(object: &ModelDeployment) -> String {
    object.status.as_ref().map(|s| s.message.clone()).unwrap_or_default()
}

async fn stalled(space: &Space, object: Value, expected: &str) -> Result<ModelDeployment> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    space.apply(object).await?;
    let seen = space.until(&name, WAIT, expected, |m| condition(m, "Stalled") == "True").await?;
    println!("{name}: {} {}", reason(&seen, "Stalled"), message(&seen));
    assert_eq!(reason(&seen, "Stalled"), expected, "{}", message(&seen));
    Ok(seen)
}

/// What is wrong, the reason it gets, and what the status must name.
struct Bad {
    object: Value,
    reason: &'static str,
    named: Vec<String>,
}

/// A file of the image that e2e/fixtures.py fills.
fn bad_file(path: &str) -> Value {
    json!({"oci": {"image": "localhost/drydock/bad-input:1", "path": path}})
}

fn bad_model(name: &str, change: &Value, reason: &'static str, named: &[&str]) -> Result<Bad> {
    let object = changed(model(change)?, &json!({"metadata": {"name": name}}));
    Ok(Bad { object, reason, named: named.iter().map(|n| (*n).to_owned()).collect() })
}

fn bad_dataset(name: &str, change: &Value, named: &[&str]) -> Result<Bad> {
    let change = json!({"metadata": {"name": name}, "spec": {"optimization": {
        "dataset": change,
        "recipes": [{"name": "int8", "techniques": [{"quantize": {}}]}],
        "whenNoCandidatePasses": "KeepCurrent",
    }}});
    let object = changed(example("edge.yaml")?, &change);
    Ok(Bad { object, reason: "InvalidDataset", named: named.iter().map(|n| (*n).to_owned()).collect() })
}

fn bad() -> Result<Vec<Bad>> {
    let zeros = "0".repeat(64);
    let source = |source: Value| json!({"spec": {"model": {"source": source}}});
    Ok(vec![
        // The digest that was found is a second one.
        bad_model("digest", &source(json!({"sha256": zeros})), "DigestMismatch", &["has digest sha256:", &zeros])?,
        bad_model("truncated", &source(bad_file("truncated.onnx")), "InvalidModel", &["truncated"])?,
        bad_model(
            "overlay",
            &json!({"spec": {"serving": {"podTemplate": {"spec": {"nodeSelectr": {"a": "b"}}}}}}),
            "InvalidSpec",
            &["nodeSelectr"],
        )?,
        bad_dataset("no-archive", &json!({"evaluation": {"oci": {"path": "README.md"}}}), &["README.md", ".npz"])?,
        bad_dataset("no-labels", &json!({"evaluation": bad_file("no-labels.npz")}), &["no-labels.npz", "`y`"])?,
        bad_dataset(
            "wrong-shape",
            &json!({"evaluation": bad_file("wrong-shape.npz")}),
            &["wrong-shape.npz", "(8, 32, 32)", "expected (N, 1, 28, 28)"],
        )?,
        bad_dataset(
            "no-images",
            &json!({"evaluation": bad_file("no-images.npz")}),
            &["no-images.npz", "(0, 28, 28)", "expected (N, 1, 28, 28), not empty"],
        )?,
        bad_dataset(
            "no-calibration",
            &json!({"calibration": bad_file("no-images.npz")}),
            &["no-images.npz", "(0, 28, 28)", "expected (N, 1, 28, 28), not empty"],
        )?,
    ])
}

async fn names_what_is_wrong(space: &Space, bad: Bad) -> Result<()> {
    let seen = stalled(space, bad.object, bad.reason).await?;
    // The line that `kubectl get` and the condition show, not some corner of the status.
    for named in bad.named {
        assert!(message(&seen).contains(&named), "{named} is not in: {}", message(&seen));
    }
    Ok(())
}

/// A source that may come back is tried again, and says what is wrong with it.
async fn is_tried_again(space: &Space, name: &str, source: Value, named: &[&str]) -> Result<()> {
    let change = json!({"metadata": {"name": name}, "spec": {"model": {"source": source}}});
    space.apply(model(&change)?).await?;
    let seen = space.until(name, WAIT, "the reason", |m| reason(m, "Reconciling") == "SourceUnreachable").await?;
    println!("{name}: {} {}", reason(&seen, "Reconciling"), message(&seen));
    assert_eq!(condition(&seen, "Reconciling"), "True");
    assert_eq!(condition(&seen, "Stalled"), "", "{}", message(&seen));
    for named in named {
        assert!(message(&seen).contains(named), "{named} is not in: {}", message(&seen));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_a_reason_and_what_is_served_stays_served() -> Result<()> {
    let space = space("bad-input").await?;
    let good = stable_revision(&served(&space, &json!({})).await?);

    // A file of the image that is no model. What is served stays served.
    let not_onnx = json!({"spec": {"model": {"source": {"oci": {"path": "README.md"}}}}});
    let seen = stalled(&space, model(&not_onnx)?, "InvalidModel").await?;
    assert_eq!(stable_revision(&seen), good);
    assert_eq!(condition(&seen, "Available"), "True");
    space.apply(model(&json!({}))?).await?;
    space.until("model", WAIT, "to be well again", is_ready).await?;

    let bad = try_join_all(bad()?.into_iter().map(|bad| names_what_is_wrong(&space, bad)));
    // The served model is a server that is there and does not have this file.
    let url = format!("http://model.{}.svc/fashion.onnx", space.name);
    let missing = json!({"oci": null, "https": {"url": url}, "sha256": "0".repeat(64)});
    let named = [url.as_str(), "404 Not Found"];
    let missing = is_tried_again(&space, "missing", missing, &named);
    let nobody = json!({"oci": null, "https": {"url": "https://models.e2e-unreachable.svc/fashion.onnx"}});
    let nobody = is_tried_again(&space, "nobody", nobody, &["https://models.e2e-unreachable.svc/fashion.onnx", "dns"]);
    try_join!(bad, missing, nobody)?;
    space.delete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_and_memory() -> Result<()> {
    let space = space("gates").await?;
    // No int8 model is a hundred times as fast: nothing passes.
    let gate = json!({"metadata": {"name": "gate"}, "spec": {
        "optimization": {"gates": {"minSpeedup": 100}, "whenNoCandidatePasses": "KeepCurrent"},
        "serving": {"podTemplate": null}}});
    let seen = stalled(&space, changed(example("edge.yaml")?, &gate), "NoCandidatePasses").await?;
    let candidates = seen.status.context("status")?.optimization.context("optimization")?.candidates;
    let int8 = candidates.iter().find(|c| c.name == "int8").context("int8")?;
    assert_eq!(int8.state, CandidateState::Rejected);
    assert!(
        int8.message.as_deref().is_some_and(|m| m.contains("100")),
        "the limit should be named: {:?}",
        int8.message
    );
    // The same, and the model is served as it came: only the selection is made anew, no Job runs again.
    let original = changed(
        example("edge.yaml")?,
        &changed(gate, &json!({"spec": {"optimization": {"whenNoCandidatePasses": "ServeOriginal"}}})),
    );
    space.apply(original).await?;
    let seen = space.until("gate", OPTIMIZED, "the original to be served", is_ready).await?;
    assert_eq!(seen.status.context("status")?.candidate, "original");

    // A Job that gets too little memory.
    let memory = json!({"metadata": {"name": "memory"}, "spec": {"optimization": {
        "resources": {"requests": {"cpu": "100m", "memory": "12Mi"}, "limits": {"memory": "12Mi"}}}}});
    let seen = stalled(&space, changed(example("edge.yaml")?, &memory), "OutOfMemory").await?;
    assert!(serde_json::to_string(&seen.status)?.contains("12Mi"), "the limit should be named");
    let pods = kubectl(&["-n", &space.name, "get", "pods", "-o", "name"]).await?;
    println!("{pods}");
    space.delete().await
}
