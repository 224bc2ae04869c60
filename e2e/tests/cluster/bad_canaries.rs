//! Canaries that are broken in every way that a server can be: each is rolled back, and no user's request fails.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use drydock_e2e::kubernetes::{Space, changed, is_pod_ready, is_ready, wait};
use drydock_e2e::load_pod::Place;
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use kube::api::{ListParams, LogParams};
use serde_json::{Value, json};

use crate::support::{
    ROLLED_OUT, assert_lossless, broken, broken_with, canary_revision, failed, how_many, load, model, served, space,
    stable_revision,
};

async fn rolled_back(space: &Space, mode: &str, bad: &Value, expected: &[&str]) -> Result<()> {
    let stable = stable_revision(&served(space, &json!({})).await?);
    let traffic = load(space, "model").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    space.apply(model(bad)?).await?;
    let after = space.until("model", ROLLED_OUT, &format!("{mode}: a rollback"), |m| failed(m).is_some()).await?;
    println!("{mode}: rolled back {:.1} s after it was applied: {:?}", began.elapsed().as_secs_f64(), failed(&after));
    let reason = failed(&after).map(|f| f.1).unwrap_or_default();
    assert!(expected.contains(&reason.as_str()), "{mode}: rolled back for {reason}");
    assert_eq!(stable_revision(&after), stable);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let report = traffic.stop().await?;
    assert_lossless(&report, mode);
    // A slow one answers rightly, one that is wrong in the right shape, and all others answer nothing that a user could get.
    let may_answer = ["ten-times-slower", "wrong-answers"].contains(&mode);
    let answered = report.by_revision.keys().filter(|revision| !may_answer || **revision == stable);
    assert_eq!(answered.collect::<Vec<_>>(), [&stable], "{mode}: somebody got an answer of the canary");
    // Back to the good spec: what was remembered is forgotten, and nothing restarts.
    space.apply(model(&json!({}))?).await?;
    let healed = space.until("model", ROLLED_OUT, "to be as before", |m| is_ready(m) && failed(m).is_none()).await?;
    assert_eq!(stable_revision(&healed), stable);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_crashes_and_slowness_reach_no_user() -> Result<()> {
    let space = space("bad-canaries").await?;
    for (mode, expected) in [
        ("errors", &["ErrorRate"][..]),
        ("wrong-shape", &["ErrorRate"]),
        ("slow", &["ErrorRate"]),
        ("crash", &["ErrorRate", "CrashLoop"]),
        ("crash-loop", &["CrashLoop"]),
        ("never-ready", &["ProgressDeadlineExceeded"]),
    ] {
        rolled_back(&space, mode, &broken(mode), expected).await?;
    }
    space.delete().await
}

/// It takes more than the container may have, and the kernel ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_runs_out_of_memory_reaches_no_user() -> Result<()> {
    let space = space("out-of-memory").await?;
    let limit = json!({"spec": {"serving": {"resources": {"limits": {"memory": "128Mi"}}}}});
    let bad = changed(broken("out-of-memory"), &limit);
    rolled_back(&space, "out-of-memory", &bad, &["ErrorRate", "CrashLoop"]).await?;
    space.delete().await
}

/// Right answers, ten times as late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slower_one_is_rolled_back_by_its_latency() -> Result<()> {
    let space = space("slower").await?;
    served(&space, &json!({})).await?;
    let place = Place::of(&space, "model", "model").await?;
    let good = [
        ("GOOD_HTTP", SocketAddr::new(place.address, place.http).to_string()),
        ("GOOD_GRPC", SocketAddr::new(place.address, place.grpc).to_string()),
    ];
    let limit = json!({"spec": {"rollout": {"analysis": {"maxLatencyRatio": 3}}}});
    let bad = changed(broken_with("ten-times-slower", &good), &limit);
    rolled_back(&space, "ten-times-slower", &bad, &["Latency"]).await?;
    space.delete().await
}

/// Right shapes, wrong values, and nobody who knows better: no error, no label, no recorded input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_answers_are_found_by_agreement() -> Result<()> {
    let space = space("wrong-answers").await?;
    // At 5 % the load still gets as many right answers as it should, however long the canary lasts.
    let compared = json!({"spec": {"rollout": {
        "steps": [{"weight": 5, "holdSeconds": 4}],
        "analysis": {"minAgreement": 90, "comparePercentage": 100},
    }}});
    rolled_back(&space, "wrong-answers", &changed(broken("wrong-answers"), &compared), &["Disagreement"]).await?;
    space.delete().await
}

/// How many: `make bench-rollouts` takes more.
const ROLLBACKS: usize = 2;

/// From the verdict on the canary gets nothing more: within a second of it, at the latest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_takes_effect_at_once() -> Result<()> {
    let rollbacks = how_many("DRYDOCK_E2E_ROLLBACKS", ROLLBACKS)?;
    let space = space("verdict").await?;
    served(&space, &json!({})).await?;
    let traffic = load(&space, "model").await?;
    let mut late = Vec::new();
    for n in 0..rollbacks {
        let this = json!({"spec": {"serving": {"podTemplate": {"labels": {"try": n.to_string()}}}}});
        space.apply(model(&changed(broken("errors"), &this))?).await?;
        let canary = space.until("model", ROLLED_OUT, "a canary", |m| !canary_revision(m).is_empty()).await?;
        let canary = canary_revision(&canary);
        let asked = tokio::spawn(last_asked(space.clone(), canary.clone()));
        let is_back = |m: &_| failed(m).is_some_and(|(revision, _)| revision == canary);
        space.until("model", ROLLED_OUT, "a rollback", is_back).await?;
        let verdict = verdict(&space, &canary).await?;
        // Its pod goes, and its log ends.
        let asked = asked.await??;
        late.push(asked.duration_since(verdict).as_secs_f64());
        space.apply(model(&json!({}))?).await?;
        space.until("model", ROLLED_OUT, "to be as before", |m| is_ready(m) && failed(m).is_none()).await?;
    }
    assert_lossless(&traffic.stop().await?, &format!("{rollbacks} rollbacks in a row"));
    late.sort_by(f64::total_cmp);
    // By nearest rank: of fewer than 100 the most.
    let p99 = late[(late.len() * 99).div_ceil(100) - 1];
    let (median, last) = (late[late.len() / 2], late[late.len() - 1]);
    println!(
        "verdict to the canary's last request, {rollbacks} rollbacks: median {median:.3} s, p99 {p99:.3} s, most {last:.3} s"
    );
    assert!(last < 1.0, "the canary was asked {last:.3} s after the verdict: {late:?}");
    space.delete().await
}

/// When the canary was asked for the last time, by its pod's log, which is read until it ends.
async fn last_asked(space: Space, revision: String) -> Result<Timestamp> {
    let pods = space.api::<Pod>();
    let started = |pod: &Pod| is_pod_ready(pod) && labelled(pod, &revision);
    let pod = wait(ROLLED_OUT, "the canary's pod", || async {
        Ok(space.serving_pods("model").await?.into_iter().find(started))
    })
    .await?;
    let follow = LogParams {
        follow: true,
        timestamps: true,
        container: Some("inference-sidecar".into()),
        ..LogParams::default()
    };
    let mut lines = pods.log_stream(&pod.name_any(), &follow).await?.lines();
    let mut last = None;
    while let Some(line) = lines.try_next().await? {
        last = line.strip_suffix(" asked").map(str::to_owned).or(last);
    }
    Ok(last.context("the canary was never asked")?.parse()?)
}

/// When the operator decided to roll it back.
async fn verdict(space: &Space, revision: &str) -> Result<Timestamp> {
    let events = space.api::<Event>();
    wait(Duration::from_secs(10), "the event of the rollback", || async {
        let events = events.list(&ListParams::default()).await?.items;
        let of = |e: &Event| {
            e.reason.as_deref() == Some("RolledBack") && e.message.as_deref().is_some_and(|m| m.contains(revision))
        };
        Ok(events.into_iter().find(of).and_then(|e| e.event_time).map(|t| t.0))
    })
    .await
}

fn labelled(pod: &Pod, revision: &str) -> bool {
    pod.metadata.labels.as_ref().and_then(|l| l.get("drydock.dev/revision")).is_some_and(|r| r == revision)
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
            anyhow::Ok(pods.iter().filter(|p| labelled(p, &revision) && is_pod_ready(p)).count())
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
    let one = canary_revision(&one);
    space.apply(model(&label("two"))?).await?;
    let mut fewest = usize::MAX;
    let until = Instant::now() + ROLLED_OUT;
    loop {
        let object = space.until("model", Duration::from_secs(5), "to be there", |_| true).await?;
        let canary = canary_revision(&object);
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
