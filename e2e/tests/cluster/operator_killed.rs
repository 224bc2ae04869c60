//! The operator dies in the middle of a canary; the next one goes on from the cluster's state.

use std::time::Duration;

use anyhow::{Result, ensure};
use drydock_e2e::install::NAMESPACE;
use drydock_e2e::kubernetes::{Space, is_pod_ready, is_ready, wait};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use crate::support::{ROLLED_OUT, alone, assert_lossless, load, model, served, stable_revision};

/// Kills every operator pod without a chance to say goodbye.
async fn kill_operator(space: &Space) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), NAMESPACE);
    let list = pods.list(&ListParams::default().labels("app.kubernetes.io/name=drydock")).await?;
    ensure!(!list.items.is_empty(), "no operator pod found in {NAMESPACE}");
    for pod in &list.items {
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_one_goes_on() -> Result<()> {
    let space = alone("killed").await?;
    let steps =
        json!({"spec": {"rollout": {"steps": [{"weight": 30, "holdSeconds": 5}, {"weight": 70, "holdSeconds": 5}]}}});
    let first = stable_revision(&served(&space, &steps).await?);
    let traffic = load(&space, "model").await?;
    let mut next = model(&steps)?;
    next["spec"]["serving"]["podTemplate"] = json!({"labels": {"version": "two"}});
    space.apply(next).await?;
    for weight in ["30%", "70%"] {
        space
            .until("model", ROLLED_OUT, &format!("a canary at {weight}"), |m| {
                m.status.as_ref().is_some_and(|s| s.canary_weight == weight)
            })
            .await?;
        kill_operator(&space).await?;
    }
    space
        .until("model", ROLLED_OUT, "to be promoted by the next operator", |m| {
            is_ready(m) && stable_revision(m) != first
        })
        .await?;
    assert_lossless(&traffic.stop().await?, "operator killed twice in a canary");
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), NAMESPACE);
    wait(Duration::from_secs(60), "both operators to be back", || async {
        let list = pods.list(&ListParams::default().labels("app.kubernetes.io/name=drydock")).await?;
        Ok((list.items.iter().filter(|p| is_pod_ready(p)).count() == 2).then_some(()))
    })
    .await?;
    space.delete().await
}
