//! The HPA scales on real CPU load, and the operator never touches `replicas`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use drydock_e2e::kubernetes::wait;
use drydock_e2e::load_pod::LoadPod;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::support::{alone, assert_lossless_at, served, stable_revision};

/// Requests a second that three pods are there for, and so few that one is enough however busy the machine is otherwise: a
/// request costs more CPU then.
const HEAVY: u32 = 300;
const LIGHT: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_to_three_and_back() -> Result<()> {
    let space = alone("autoscaling").await?;
    let object = served(
        &space,
        &json!({"spec": {"serving": {
            "replicas": null,
            "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
            "resources": {"requests": {"cpu": "120m"}},
            // One pod alone gets all 300 a second at first: the default queue is full after a fifth of a second in which
            // the machine does something else, and what is refused then is no fault of the scaling.
            "podTemplate": {"spec": {"containers": [
                {"name": "inference-sidecar", "env": [{"name": "DRYDOCK_QUEUE_SIZE", "value": "512"}]}]}},
        }}}),
    )
    .await?;
    let deployment = format!("model-{}", stable_revision(&object));
    let api = space.api::<Deployment>();
    let replicas = || async { anyhow::Ok(api.get(&deployment).await?.spec.replicas.unwrap_or_default()) };
    assert_eq!(replicas().await?, 1);
    let traffic = LoadPod::start(&space, "model", HEAVY).await?;
    let began = Instant::now();
    wait(Duration::from_secs(180), "three replicas", || async { Ok((replicas().await? == 3).then_some(())) }).await?;
    wait(Duration::from_secs(60), "three ready replicas", || async {
        let status = api.get(&deployment).await?.status;
        Ok((status.and_then(|s| s.ready_replicas) == Some(3)).then_some(()))
    })
    .await?;
    println!("1 -> 3 ready: {:.0} s", began.elapsed().as_secs_f64());
    assert_lossless_at(HEAVY, &traffic.stop().await?, "scaling up");
    let began = Instant::now();
    let traffic = LoadPod::start(&space, "model", LIGHT).await?;
    wait(Duration::from_secs(300), "one replica", || async { Ok((replicas().await? == 1).then_some(())) }).await?;
    println!("3 -> 1: {:.0} s", began.elapsed().as_secs_f64());
    assert_lossless_at(LIGHT, &traffic.stop().await?, "scaling down");

    let owners = api.get(&deployment).await?.metadata.managed_fields.context("managedFields")?;
    let owners: Vec<String> = owners
        .iter()
        .filter(|m| serde_json::to_string(&m.fields_v1).is_ok_and(|f| f.contains("f:replicas") && f.contains("f:spec")))
        .map(|m| {
            format!("{} {}", m.manager.as_deref().unwrap_or_default(), m.subresource.as_deref().unwrap_or_default())
        })
        .collect();
    assert!(!owners.iter().any(|o| o.starts_with("drydock")), "the operator owns replicas: {owners:?}");
    space.delete().await
}
