//! One good version after another, as a pipeline brings them: no user's request fails, and no pod is made for a promotion.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, is_ready, uid_of};
use serde_json::{Value, json};

use crate::support::{
    ROLLED_OUT, assert_lossless, canary_revision, how_many, load, model, served, space, stable_revision,
};

/// How many: `make bench-rollouts` takes more.
const PROMOTIONS: usize = 4;

fn version(n: usize) -> Value {
    json!({"spec": {
        "serving": {"podTemplate": {"labels": {"version": n.to_string()}}},
        "rollout": {"steps": [{"weight": 50, "holdSeconds": 3}], "scaleDownDelaySeconds": 1},
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_after_another() -> Result<()> {
    let promotions = how_many("DRYDOCK_E2E_PROMOTIONS", PROMOTIONS)?;
    let space = space("promotions").await?;
    let mut stable = stable_revision(&served(&space, &version(0)).await?);
    let traffic = load(&space, "model").await?;
    let mut pods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let began = Instant::now();
    for n in 1..=promotions {
        space.apply(model(&version(n))?).await?;
        let canary = space.until("model", ROLLED_OUT, "a canary", |m| !canary_revision(m).is_empty()).await?;
        let canary = canary_revision(&canary);
        see(&space, &mut pods).await?;
        let promoted = |m: &_| is_ready(m) && stable_revision(m) == canary;
        space.until("model", ROLLED_OUT, &format!("version {n} to be promoted"), promoted).await?;
        see(&space, &mut pods).await?;
        assert_ne!(canary, stable);
        stable = canary;
    }
    println!("{promotions} promotions in {:.0} s", began.elapsed().as_secs_f64());
    assert_lossless(&traffic.stop().await?, &format!("{promotions} promotions in a row"));
    for (revision, uids) in &pods {
        assert_eq!(uids.len(), 1, "revision {revision} was served by {uids:?}: its model was loaded more than once");
    }
    space.delete().await
}

/// One in a hundred, of one pod and one pod: exact, where a mesh or a Service could only give the canary half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_percent_is_one_percent() -> Result<()> {
    let space = space("one-percent").await?;
    let share = |label: &str| {
        json!({"spec": {
            "serving": {"podTemplate": {"labels": {"version": label}}},
            "rollout": {"steps": [{"weight": 1, "holdSeconds": 3600}]},
        }})
    };
    served(&space, &share("a")).await?;
    space.apply(model(&share("b"))?).await?;
    let has_share = |m: &ModelDeployment| m.status.as_ref().is_some_and(|s| s.canary_weight == "1%");
    let canary = canary_revision(&space.until("model", ROLLED_OUT, "a canary with 1 %", has_share).await?);
    // Until every pod has heard of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let traffic = load(&space, "model").await?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let report = traffic.stop().await?;
    assert_lossless(&report, "a canary with 1 %");
    let (all, canarys) = (report.answered as f64, report.by_revision.get(&canary).copied().unwrap_or_default() as f64);
    let (expected, deviation) = (all * 0.01, (all * 0.01 * 0.99).sqrt());
    println!(
        "split: {canarys} of {all} requests at 1 %: {:+.3} points, binomial error {:.3}",
        (canarys - expected) / all * 100.0,
        deviation / all * 100.0
    );
    assert!((canarys - expected).abs() <= deviation, "the canary got {canarys} of {all} requests");
    space.delete().await
}

/// The pods that there are now; none has restarted.
async fn see(space: &Space, pods: &mut BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    for pod in space.serving_pods("model").await? {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let revision = labels.get("drydock.dev/revision").cloned().unwrap_or_default();
        let restarts = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).map(|c| c.restart_count);
        assert_eq!(restarts.sum::<i32>(), 0, "a pod of revision {revision} restarted");
        pods.entry(revision).or_default().insert(uid_of(&pod));
    }
    Ok(())
}
