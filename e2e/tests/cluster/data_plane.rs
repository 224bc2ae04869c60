//! What breaks below the operator: pods that go, and a network that is cut. No user's request fails where a pod is there to answer it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, is_pod_ready, is_ready, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::time::sleep;

use crate::support::{
    ROLLED_OUT, assert_lossless, canary_revision, cluster, failed, how_many, load, model, served, space,
    stable_revision,
};

/// How many: `make bench-rollouts` takes more.
const PODS: usize = 5;
const UPDATES: usize = 5;

/// Evicted one after another, as when nodes are drained: each answers what it has, and another takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_one_after_another() -> Result<()> {
    let count = how_many("DRYDOCK_E2E_PODS_GONE", PODS)?;
    let space = space("pods-go").await?;
    served(&space, &json!({"spec": {"serving": {"replicas": 2}}})).await?;
    let traffic = load(&space, "model").await?;
    for _ in 0..count {
        let pods = two_ready(&space).await?;
        let oldest = pods.iter().min_by_key(|p| p.metadata.creation_timestamp.clone()).context("a pod")?;
        space.api::<Pod>().delete(&oldest.name_any(), &DeleteParams::default()).await?;
        wait(ROLLED_OUT, "the pod to go", || async {
            Ok(space.api::<Pod>().get_opt(&oldest.name_any()).await?.is_none().then_some(()))
        })
        .await?;
    }
    two_ready(&space).await?;
    assert_lossless(&traffic.stop().await?, &format!("{count} pods deleted one after another"));
    space.delete().await
}

async fn two_ready(space: &Space) -> Result<Vec<Pod>> {
    wait(ROLLED_OUT, "two ready pods", || async {
        let pods: Vec<_> = space.serving_pods("model").await?.into_iter().filter(is_pod_ready).collect();
        Ok((pods.len() == 2).then_some(pods))
    })
    .await
}

/// A change without steps: all at once, and not a request lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_without_steps() -> Result<()> {
    let count = how_many("DRYDOCK_E2E_UPDATES", UPDATES)?;
    let space = space("updates").await?;
    let version = |n: usize| {
        json!({"spec": {
            "serving": {"podTemplate": {"labels": {"version": n.to_string()}}},
            "rollout": {"steps": [], "scaleDownDelaySeconds": 1},
        }})
    };
    let mut stable = stable_revision(&served(&space, &version(0)).await?);
    let traffic = load(&space, "model").await?;
    for n in 1..=count {
        space.apply(model(&version(n))?).await?;
        let updated = |m: &_| is_ready(m) && stable_revision(m) != stable;
        let object = space.until("model", ROLLED_OUT, &format!("version {n}"), updated).await?;
        stable = stable_revision(&object);
    }
    assert_lossless(&traffic.stop().await?, &format!("{count} updates without steps"));
    space.delete().await
}

/// The canary is well, and its stable revision does not hear it any more: users get the stable model's answers, and the canary goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_to_the_canary_is_cut() -> Result<()> {
    let space = space("cut").await?;
    let version = |label: &str| {
        json!({"spec": {
            "serving": {"podTemplate": {"labels": {"version": label}}},
            "rollout": {"steps": [{"weight": 50, "holdSeconds": 600}]},
        }})
    };
    let stable = stable_revision(&served(&space, &version("a")).await?);
    let traffic = load(&space, "model").await?;
    space.apply(model(&version("b"))?).await?;
    let half = |m: &ModelDeployment| m.status.as_ref().is_some_and(|s| s.canary_weight == "50%");
    let canary = canary_revision(&space.until("model", ROLLED_OUT, "a canary with half of the requests", half).await?);
    sleep(Duration::from_secs(5)).await;
    let seen = traffic.seen().await?;
    ensure!(
        seen.by_revision.contains_key(&canary),
        "the canary answered nothing before the cut: {:?}",
        seen.by_revision
    );

    let (from, to) = (address(&space, &stable).await?, address(&space, &canary).await?);
    cluster(&["cut", &to.to_string(), &from.to_string()]).await?;
    let after = space.until("model", ROLLED_OUT, "a rollback", |m| failed(m).is_some()).await;
    cluster(&["mend"]).await?;
    let after = after?;
    assert_eq!(failed(&after), Some((canary, "ErrorRate".to_owned())));
    assert_eq!(stable_revision(&after), stable);
    assert_lossless(&traffic.stop().await?, "the network to the canary cut");
    space.delete().await
}

async fn address(space: &Space, revision: &str) -> Result<IpAddr> {
    let pods = space.serving_pods("model").await?;
    let of = |p: &&Pod| p.labels().get("drydock.dev/revision").is_some_and(|r| r == revision);
    let pod = pods.iter().find(of).with_context(|| format!("no pod of revision {revision}"))?;
    let address = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).context("a pod without an address")?;
    Ok(address.parse()?)
}
