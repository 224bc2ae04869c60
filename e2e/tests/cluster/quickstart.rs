//! The loop of the README: optimize, serve, promote a good version, roll a bad one back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::{CandidateState, ModelDeployment, Phase};
use drydock_e2e::kubernetes::{condition, is_ready, reason, uid_of};

use crate::support::{OPTIMIZED, ROLLED_OUT, assert_lossless, canary_revision, failed, load, space, stable_revision};

/// Top-1 of the example's ResNet on the 10,000 images, percent.
const ORIGINAL: f64 = 91.85;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn optimized_served_promoted_and_rolled_back() -> Result<()> {
    let space = space("quickstart").await?;
    space.apply_example("quickstart.yaml").await?;
    let v1 = space.until("fashion", OPTIMIZED, "version 1 to be served", is_ready).await?;
    the_measured_numbers_are_in_status(&v1, "int8")?;

    let traffic = load(&space, "fashion").await?;
    let first = stable_revision(&v1);
    tokio::time::sleep(Duration::from_secs(2)).await;

    // Version 2 is as good: it is promoted, and none of its pods is restarted by that.
    space.apply_example("quickstart-v2.yaml").await?;
    let during = space
        .until("fashion", OPTIMIZED, "a canary with a share of the requests", |m| {
            m.status.as_ref().is_some_and(|s| s.phase == Phase::Canary && s.canary_weight == "20%")
        })
        .await?;
    let second = canary_revision(&during);
    let before: BTreeSet<String> = pods_of(&space, &second).await?;
    assert!(!before.is_empty());
    let v2 = space
        .until("fashion", ROLLED_OUT, "version 2 to be promoted", |m| is_ready(m) && stable_revision(m) == second)
        .await?;
    assert_ne!(stable_revision(&v2), first);
    let after = pods_of(&space, &second).await?;
    assert!(after.is_superset(&before), "promotion replaced pods: before {before:?}, after {after:?}");
    the_measured_numbers_are_in_status(&v2, "pruned-int8")?;

    // Version 3 answers wrong, with the right shapes.
    space.apply_example("quickstart-v3-bad.yaml").await?;
    let v3 =
        space.until("fashion", OPTIMIZED + ROLLED_OUT, "version 3 to be rolled back", |m| failed(m).is_some()).await?;
    assert_eq!(failed(&v3).context("failed")?.1, "Disagreement");
    assert_eq!(stable_revision(&v3), second, "what was served stays served");
    let v3 = space
        .until("fashion", ROLLED_OUT, "to say that it was rolled back", |m| condition(m, "Stalled") == "True")
        .await?;
    assert_eq!(reason(&v3, "Stalled"), "RolledBack");

    // It is not tried again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let still = space.until("fashion", Duration::ZERO, "to be left alone", |_| true).await?;
    assert_eq!(canary_revision(&still), "");
    assert_lossless(&traffic.stop().await?, "version 1, 2 promoted, 3 rolled back");
    space.delete().await
}

async fn pods_of(space: &drydock_e2e::kubernetes::Space, revision: &str) -> Result<BTreeSet<String>> {
    let pods = space.serving_pods("fashion").await?;
    let of = |p: &&k8s_openapi::api::core::v1::Pod| {
        p.metadata.labels.as_ref().and_then(|l| l.get("drydock.dev/revision")).is_some_and(|r| r == revision)
    };
    Ok(pods.iter().filter(of).map(uid_of).collect())
}

fn the_measured_numbers_are_in_status(object: &ModelDeployment, name: &str) -> Result<()> {
    let status = object.status.as_ref().context("status")?;
    let candidates = &status.optimization.as_ref().context("optimization")?.candidates;
    let int8 = candidates.iter().find(|c| c.name == name).with_context(|| format!("candidate {name}"))?;
    let original = candidates.iter().find(|c| c.name == "original").context("candidate original")?;
    let (accuracy, original) = (int8.accuracy.context("accuracy")?, original.accuracy.context("accuracy")?);
    let (size, speedup) = (int8.size_ratio.context("size")?, int8.speedup.context("speed-up")?);
    println!(
        "fashion-resnet {name}: {original:.2} % -> {accuracy:.2} %, {:.1} % of the size, {speedup:.2}x",
        size * 100.0
    );
    assert_eq!((int8.state, status.candidate.as_str()), (CandidateState::Selected, name));
    assert!((original - ORIGINAL).abs() < 0.05, "the original has {original} %");
    assert!(ORIGINAL - accuracy <= 0.3, "{name} has {accuracy} %, the original {original} %");
    assert!(size <= 0.27, "{name} has {size} of the original's size");
    // As fast as the machine lets it be: how fast is for `make bench-optimizer` to say, and the gate wants more than 1.
    assert!(speedup > 1.0, "{name} is {speedup} times as fast");
    for (column, value) in
        [("accuracy", &status.accuracy_change), ("speedup", &status.speedup), ("size", &status.size_ratio)]
    {
        assert!(!value.is_empty(), "the column {column} is empty");
    }
    assert_eq!(status.speedup, format!("{speedup:.2}x"));
    Ok(())
}
