//! Nodes that fall silent, and nodes that nobody reaches any more.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use drydock_e2e::kubernetes::{Space, is_pod_ready, is_ready, uid_of, wait};
use drydock_e2e::load_pod::{LoadPod, Place};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{RATE, ROLLED_OUT, alone, assert_lossless, cluster, served};

/// Where the control plane is, which stays.
const HERE: &str = "node1";
const THERE: &str = "node2";
/// The node controller believes a node for 40 s, and looks every 5.
const NOTICED: Duration = Duration::from_secs(90);

/// A pod on each node, and a load from the one that stays.
async fn one_on_each(space: &Space) -> Result<(LoadPod, BTreeSet<String>)> {
    let spread = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"drydock.dev/name": "model", "app.kubernetes.io/component": "serving"}}}]);
    let change =
        json!({"spec": {"serving": {"replicas": 2, "podTemplate": {"spec": {"topologySpreadConstraints": spread}}}}});
    served(space, &change).await?;
    let pods = space.serving_pods("model").await?;
    let nodes: BTreeSet<_> = pods.iter().filter_map(|p| p.spec.as_ref()?.node_name.as_deref()).collect();
    ensure!(nodes == BTreeSet::from([HERE, THERE]), "a pod on each node was expected: {nodes:?}");
    let place = Place::of(space, "model", "model").await?.from_node(HERE);
    Ok((LoadPod::start_at(space, &place, RATE).await?, pods.iter().map(uid_of).collect()))
}

async fn until_node_is(space: &Space, ready: bool) -> Result<()> {
    let nodes: Api<Node> = Api::all(space.client.clone());
    wait(NOTICED, &format!("{THERE} to be {}", if ready { "ready" } else { "not ready" }), || async {
        let conditions = nodes.get(THERE).await?.status.and_then(|s| s.conditions).unwrap_or_default();
        let is = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        Ok((is == ready).then_some(()))
    })
    .await
}

/// The same pods as before, all ready, and nothing was rolled out.
async fn as_before(space: &Space, before: &BTreeSet<String>) -> Result<()> {
    until_node_is(space, true).await?;
    wait(ROLLED_OUT, "the pods to be ready again", || async {
        let pods: Vec<Pod> = space.serving_pods("model").await?.into_iter().filter(is_pod_ready).collect();
        Ok((pods.len() == 2).then_some(()))
    })
    .await?;
    space.until("model", ROLLED_OUT, "to be ready", is_ready).await?;
    let after: BTreeSet<_> = space.serving_pods("model").await?.iter().map(uid_of).collect();
    ensure!(after == *before, "other pods than before: {after:?}, {before:?}");
    Ok(())
}

/// The kubelet alone says nothing: its pod is taken out of the Service, still answers what it has, and is taken in again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_falls_silent() -> Result<()> {
    let space = alone("silent").await?;
    let (traffic, before) = one_on_each(&space).await?;
    cluster(&["freeze", THERE]).await?;
    let noticed = until_node_is(&space, false).await;
    sleep(Duration::from_secs(5)).await;
    cluster(&["thaw", THERE]).await?;
    noticed?;
    as_before(&space, &before).await?;
    assert_lossless(&traffic.stop().await?, "a kubelet silent until its node was not ready, and back");
    space.delete().await
}

/// Nobody reaches the node. Until Kubernetes notices it sends requests there, and those fail: nothing in a pod can help it. From then on
/// none does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_gone() -> Result<()> {
    let space = alone("gone").await?;
    let (traffic, before) = one_on_each(&space).await?;
    sleep(Duration::from_secs(2)).await;
    let well = traffic.seen().await?;
    ensure!(well.failed == 0, "{:?}", well.failures);
    let began = Instant::now();
    cluster(&["unplug", THERE]).await?;
    let noticed = until_node_is(&space, false).await;
    let after = began.elapsed();
    // The pod is taken out of the Service some seconds later; what was sent there until then has 10 s to fail, and is sent once more where
    // there was no connection.
    sleep(Duration::from_secs(35)).await;
    let blind = traffic.seen().await;
    sleep(Duration::from_secs(20)).await;
    let seen = traffic.seen().await;
    cluster(&["plug", THERE]).await?;
    noticed?;
    let (blind, seen) = (blind?, seen?);
    println!(
        "a node gone: noticed after {:.0} s, {} of {} requests failed until then, {} of {} in the 20 s after",
        after.as_secs_f64(),
        blind.failed,
        blind.sent - well.sent,
        seen.failed - blind.failed,
        seen.sent - blind.sent
    );
    ensure!(seen.failed == blind.failed, "requests fail after Kubernetes has noticed: {:?}", seen.failures);
    as_before(&space, &before).await?;
    let end = traffic.stop().await?;
    ensure!(end.failed == blind.failed, "requests failed when the node came back: {:?}", end.failures);
    space.delete().await.context("after the node came back")
}
