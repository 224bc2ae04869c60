//! At rest the operator writes nothing. How long is rest: `DRYDOCK_E2E_REST_SECONDS` (default 60; `make bench-operator`: 600).

use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_e2e::kubernetes::is_ready;
use serde_json::{Value, json};

use crate::support::{OPTIMIZED, model, space};

const COUNT: usize = 20;

/// Writes by the operator's service account since `from` bytes into the audit log, leases apart: a leader renews its lease.
fn writes(log: &str, from: usize) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read the audit log {log}"))?;
    let mut found = Vec::new();
    for line in text.get(from..).unwrap_or_default().lines() {
        let event: Value = serde_json::from_str(line).with_context(|| format!("audit log: {line}"))?;
        let user = event.pointer("/user/username").and_then(Value::as_str).unwrap_or_default();
        let resource = event.pointer("/objectRef/resource").and_then(Value::as_str).unwrap_or_default();
        if user.starts_with("system:serviceaccount:drydock-system:") && resource != "leases" {
            found.push(format!(
                "{} {resource} {}",
                event["verb"],
                event.pointer("/objectRef/name").unwrap_or(&Value::Null)
            ));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_writes_at_rest() -> Result<()> {
    let log = std::env::var("DRYDOCK_AUDIT_LOG")
        .context("DRYDOCK_AUDIT_LOG names the API server's audit log; e2e/run.sh sets it")?;
    let seconds = std::env::var("DRYDOCK_E2E_REST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let space = space("quiet").await?;
    for n in 0..COUNT {
        let small = json!({"metadata": {"name": format!("quiet-{n}")}, "spec": {
            "serving": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
            "artifactStore": {"size": "64Mi"},
            "optimization": {"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}}});
        space.apply(model(&small)?).await?;
    }
    for n in 0..COUNT {
        space.until(&format!("quiet-{n}"), OPTIMIZED * 2, "to be served", is_ready).await?;
    }
    // What follows from the last change is still part of the work.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let from = std::fs::metadata(&log)?.len() as usize;
    let during_work = writes(&log, 0)?.len();
    assert!(during_work > COUNT, "the audit log does not show the operator's work: {during_work} writes");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let found = writes(&log, from)?;
    println!(
        "at rest: {} writes in {seconds} s with {COUNT} ModelDeployments ({during_work} to get there)",
        found.len()
    );
    assert!(found.is_empty(), "{found:#?}");
    space.delete().await
}
