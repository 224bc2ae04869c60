//! What a person decides in the spec: a step that waits, and the way back to the revision that was served before.

use std::collections::BTreeSet;

use anyhow::Result;
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, condition, is_ready, reason, uid_of};
use serde_json::{Value, json};

use crate::support::{ROLLED_OUT, assert_lossless, canary_revision, load, model, served, space, stable_revision};

fn version(label: &str, control: &Value) -> Value {
    json!({"spec": {
        "serving": {"podTemplate": {"labels": {"version": label}}},
        "rollout": {
            "steps": [{"weight": 50, "holdSeconds": 2, "pause": true}],
            "scaleDownDelaySeconds": 600,
            "control": control,
        },
    }})
}

async fn pods_of(space: &Space, revision: &str) -> Result<BTreeSet<String>> {
    let pods = space.serving_pods("model").await?;
    let of = |p: &&k8s_openapi::api::core::v1::Pod| {
        p.metadata.labels.as_ref().and_then(|l| l.get("drydock.dev/revision")).is_some_and(|r| r == revision)
    };
    Ok(pods.iter().filter(of).map(uid_of).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_waits_for_a_person_and_a_rollback_is_a_flip() -> Result<()> {
    let space = space("control").await?;
    let first = stable_revision(&served(&space, &version("1", &json!({}))).await?);
    let traffic = load(&space, "model").await?;
    let pods = pods_of(&space, &first).await?;

    space.apply(model(&version("2", &json!({})))?).await?;
    let says_what_to_do = |m: &ModelDeployment| {
        m.status
            .as_ref()
            .is_some_and(|s| s.message.contains(&format!("set control.proceed to {}/0", canary_revision(m))))
    };
    let waiting = space.until("model", ROLLED_OUT, "to wait for a person", says_what_to_do).await?;
    let second = canary_revision(&waiting);
    assert_eq!((stable_revision(&waiting), reason(&waiting, "Reconciling")), (first.clone(), "Paused"));

    space.apply(model(&version("2", &json!({"proceed": format!("{second}/0")})))?).await?;
    let promoted = |m: &_| is_ready(m) && stable_revision(m) == second;
    space.until("model", ROLLED_OUT, "version 2 to be promoted", promoted).await?;

    // The first one is warm: it takes over as it is.
    space.apply(model(&version("2", &json!({"rollBackTo": first})))?).await?;
    let back = |m: &_| is_ready(m) && stable_revision(m) == first;
    let back = space.until("model", ROLLED_OUT, "version 1 to serve again", back).await?;
    assert_eq!(condition(&back, "HeldBack"), "True", "the spec asks for version 2");
    assert_eq!(pods_of(&space, &first).await?, pods, "the rollback made pods");
    assert_lossless(&traffic.stop().await?, "a step that waits, a rollback");
    space.delete().await
}
