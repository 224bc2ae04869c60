//! Bad models, data and sources: what the user gets to see, row by row of docs/runbook.md.

use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::{CandidateState, ModelDeployment};
use drydock_e2e::install::kubectl;
use drydock_e2e::kubernetes::{Space, changed, condition, example, is_ready, reason};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_with_a_reason_and_what_is_served_stays_served() -> Result<()> {
    let space = space("bad-input").await?;
    let good = stable_revision(&served(&space, &json!({})).await?);

    // Not ONNX: a file of the image that is something else. What is served stays served.
    let not_onnx = json!({"spec": {"model": {"source": {"oci": {"path": "README.md"}}}}});
    let seen = stalled(&space, model(&not_onnx)?, "InvalidModel").await?;
    assert_eq!(stable_revision(&seen), good);
    assert_eq!(condition(&seen, "Available"), "True");
    space.apply(model(&json!({}))?).await?;
    space.until("model", WAIT, "to be well again", is_ready).await?;

    // Another digest than the file has: both are named.
    let zeros = "0".repeat(64);
    let digest = json!({"metadata": {"name": "digest"}, "spec": {"model": {"source": {"sha256": zeros}}}});
    let seen = stalled(&space, model(&digest)?, "DigestMismatch").await?;
    let text = serde_json::to_string(&seen.status)?;
    assert!(text.matches("sha256:").count() >= 2 && text.contains(&zeros), "both digests should be named: {text}");

    // Data without labels, by a file that is no data set at all.
    let dataset = changed(
        example("edge.yaml")?,
        &json!({"metadata": {"name": "dataset"}, "spec": {"optimization": {"dataset": {"evaluation": {"oci": {"path": "README.md"}}}}}}),
    );
    let seen = stalled(&space, dataset, "InvalidDataset").await?;
    assert!(serde_json::to_string(&seen.status)?.contains("README.md"), "the file should be named");

    // A field that a PodSpec does not have.
    let overlay = json!({"metadata": {"name": "overlay"}, "spec": {"serving": {"podTemplate": {"spec": {"nodeSelectr": {"a": "b"}}}}}});
    let seen = stalled(&space, model(&overlay)?, "InvalidSpec").await?;
    assert!(message(&seen).contains("nodeSelectr"), "{}", message(&seen));
    space.delete().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_source_is_tried_again() -> Result<()> {
    let space = space("unreachable").await?;
    let url = json!({"metadata": {"name": "far"}, "spec": {"model": {"source": {"oci": null,
        "https": {"url": "https://models.e2e-unreachable.svc/fashion.onnx"}}}}});
    space.apply(model(&url)?).await?;
    let seen = space.until("far", WAIT, "the reason", |m| reason(m, "Reconciling") == "SourceUnreachable").await?;
    assert_eq!(condition(&seen, "Stalled"), "", "{}", message(&seen));
    assert!(message(&seen).contains("models.e2e-unreachable.svc"), "{}", message(&seen));
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
