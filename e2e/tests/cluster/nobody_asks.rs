//! Rollouts that no user sees: the stable pods ask the canary themselves.

use anyhow::Result;
use drydock_crds::{Metric, ModelDeployment};
use drydock_e2e::kubernetes::{changed, example, is_ready};
use serde_json::json;

use crate::support::{OPTIMIZED, ROLLED_OUT, canary_revision, failed, metric, model, served, space, stable_revision};

/// Of a model as it came there are no recorded inputs: zeros show whether it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_promoted_by_synthetic_requests_alone() -> Result<()> {
    let space = space("nobody-asks").await?;
    let often = json!({"spec": {"rollout": {"analysis": {"syntheticPerSecond": 20}}}});
    let stable = stable_revision(&served(&space, &often).await?);
    let next = json!({"spec": {"serving": {"podTemplate": {"labels": {"version": "next"}}}}});
    space.apply(model(&changed(often.clone(), &next))?).await?;
    let asked = |m: &ModelDeployment| metric(m, Metric::ErrorRate).is_some_and(|m| m.synthetic > Some(0));
    let during = space.until("model", ROLLED_OUT, "synthetic requests", asked).await?;
    assert_eq!(metric(&during, Metric::ErrorRate).map(|m| m.samples), Some(0), "there are no users");
    let canary = canary_revision(&during);
    let promoted = |m: &ModelDeployment| is_ready(m) && stable_revision(m) == canary;
    space.until("model", ROLLED_OUT, "the canary to be promoted", promoted).await?;
    assert_ne!(canary, stable);
    space.delete().await
}

/// The recorded inputs are answered otherwise: no error, no user, and no label.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_answers_are_found_before_anybody_has_them() -> Result<()> {
    let space = space("nobody-sees").await?;
    // Four inputs: with 99.9 % two of them are enough. How many differ, the kernels of the machine decide: two without VNNI, more with it.
    let rollout = json!({"spec": {"rollout": {"analysis": {"minAgreement": 99.9, "syntheticPerSecond": 20}}}});
    space.apply(changed(example("quickstart.yaml")?, &rollout)).await?;
    let first = stable_revision(&space.until("fashion", OPTIMIZED, "version 1 to be served", is_ready).await?);
    // Hardly anything of an activation is left: its answers are all of one kind.
    let worse = json!({"spec": {"optimization": {"recipes": [
        {"name": "int8-clipped", "techniques": [{"quantize": {"calibration": "Percentile", "percentile": 50}}]}]}}});
    let bad = changed(changed(example("quickstart-v3-bad.yaml")?, &rollout), &worse);
    space.apply(bad).await?;
    let after =
        space.until("fashion", OPTIMIZED + ROLLED_OUT, "version 2 to be rolled back", |m| failed(m).is_some()).await?;
    assert_eq!(failed(&after).map(|f| f.1).as_deref(), Some("Disagreement"));
    assert_eq!(stable_revision(&after), first, "what was served stays served");
    space.delete().await
}
