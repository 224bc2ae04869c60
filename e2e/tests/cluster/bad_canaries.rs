//! Canaries that are broken in every way that a server can be: each is rolled back, and no user's request fails.

use std::time::{Duration, Instant};

use anyhow::Result;
use drydock_e2e::kubernetes::{Space, is_pod_ready, is_ready};
use serde_json::{Value, json};

use crate::support::{ROLLED_OUT, assert_lossless, failed, load, model, served, space, stable_revision};

/// The same model, served by a server that is broken in the way `mode` says.
fn broken(mode: &str) -> Value {
    json!({"spec": {"serving": {
        "image": "localhost/drydock/faulty-server:dev",
        "podTemplate": {"spec": {"containers": [{"name": "inference-sidecar", "env": [{"name": "MODE", "value": mode}]}]}},
    }}})
}

async fn rolled_back(space: &Space, mode: &str, expected: &[&str]) -> Result<()> {
    let stable = stable_revision(&served(space, &json!({})).await?);
    let traffic = load(space, "model").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    space.apply(model(&broken(mode))?).await?;
    let after = space.until("model", ROLLED_OUT, &format!("{mode}: a rollback"), |m| failed(m).is_some()).await?;
    println!("{mode}: rolled back {:.1} s after it was applied: {:?}", began.elapsed().as_secs_f64(), failed(&after));
    let reason = failed(&after).map(|f| f.1).unwrap_or_default();
    assert!(expected.contains(&reason.as_str()), "{mode}: rolled back for {reason}");
    assert_eq!(stable_revision(&after), stable);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let report = traffic.stop().await?;
    assert_lossless(&report, mode);
    assert_eq!(
        report.by_revision.keys().collect::<Vec<_>>(),
        [&stable],
        "{mode}: somebody got an answer of the canary"
    );
    // Back to the good spec: what was remembered is forgotten, and nothing restarts.
    space.apply(model(&json!({}))?).await?;
    let healed = space.until("model", ROLLED_OUT, "to be as before", |m| is_ready(m) && failed(m).is_none()).await?;
    assert_eq!(stable_revision(&healed), stable);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_crashes_and_slowness_reach_no_user() -> Result<()> {
    let space = space("bad-canaries").await?;
    rolled_back(&space, "errors", &["ErrorRate"]).await?;
    rolled_back(&space, "slow", &["ErrorRate"]).await?;
    rolled_back(&space, "crash", &["ErrorRate", "CrashLoop"]).await?;
    rolled_back(&space, "crash-loop", &["CrashLoop"]).await?;
    rolled_back(&space, "never-ready", &["ProgressDeadlineExceeded"]).await?;
    space.delete().await
}

/// A spec that changes in the middle of a rollout: the newer revision replaces the canary, and stable keeps its pods.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_spec_replaces_the_canary() -> Result<()> {
    let space = space("superseded").await?;
    let steps =
        json!({"spec": {"serving": {"replicas": 2}, "rollout": {"steps": [{"weight": 20, "holdSeconds": 20}]}}});
    let first = served(&space, &steps).await?;
    let stable = stable_revision(&first);
    let pods = |revision: String| {
        let space = space.clone();
        async move {
            let pods = space.serving_pods("model").await?;
            let of = |p: &&k8s_openapi::api::core::v1::Pod| {
                p.metadata.labels.as_ref().and_then(|l| l.get("drydock.dev/revision")) == Some(&revision)
            };
            anyhow::Ok(pods.iter().filter(of).filter(|p| is_pod_ready(p)).count())
        }
    };
    let traffic = load(&space, "model").await?;
    let label = |value: &str| {
        json!({"spec": {"serving": {"replicas": 2, "podTemplate": {"labels": {"try": value}}},
        "rollout": {"steps": [{"weight": 20, "holdSeconds": 20}]}}})
    };
    space.apply(model(&label("one"))?).await?;
    let one = space
        .until("model", ROLLED_OUT, "the first canary", |m| m.status.as_ref().is_some_and(|s| s.canary_weight == "20%"))
        .await?;
    let one = crate::support::canary_revision(&one);
    space.apply(model(&label("two"))?).await?;
    let mut fewest = usize::MAX;
    let until = Instant::now() + ROLLED_OUT;
    loop {
        let object = space.until("model", Duration::from_secs(5), "to be there", |_| true).await?;
        let canary = crate::support::canary_revision(&object);
        if is_ready(&object) && stable_revision(&object) != stable {
            assert_ne!(stable_revision(&object), one, "the canary that was given up was promoted");
            break;
        }
        if !canary.is_empty() && stable_revision(&object) == stable {
            fewest = fewest.min(pods(stable.clone()).await?);
        }
        assert!(Instant::now() < until, "the second canary was not promoted: {:?}", object.status);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(fewest, 2, "stable lost pods during the rollout");
    assert_lossless(&traffic.stop().await?, "spec changed twice");
    space.delete().await
}
