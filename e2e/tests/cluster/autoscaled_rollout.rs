//! A rollout of a revision that an autoscaler scales: each has its own, and what takes over begins with the pods of both.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use drydock_e2e::kubernetes::{Space, is_pod_ready, is_ready, wait};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::support::{ROLLED_OUT, alone, assert_lossless, load, model, pods_of, served, stable_revision};

/// Pods of the stable revision, of the canary at its step's half, and of what takes over.
const STABLE: usize = 2;
const CANARY: i32 = 1;
const TOGETHER: usize = 3;

fn version(label: &str) -> Value {
    json!({"spec": {
        "serving": {
            "replicas": null,
            // No load reaches ten times the request: what is seen are the operator's numbers.
            "autoscaling": {"minReplicas": STABLE, "maxReplicas": 5, "targetCPUUtilizationPercentage": 1000},
            "podTemplate": {"labels": {"version": label}},
        },
        "rollout": {"steps": [{"weight": 50, "holdSeconds": 2}]},
    }})
}

async fn ready(space: &Space, revision: &str) -> Result<usize> {
    Ok(pods_of(space, revision).await?.iter().filter(|p| is_pod_ready(p)).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_over_has_the_pods_of_both() -> Result<()> {
    let space = alone("autoscaled").await?;
    let first = stable_revision(&served(&space, &version("1")).await?);
    let traffic = load(&space, "model").await?;
    let autoscalers: Api<HorizontalPodAutoscaler> = space.api();
    let at_least = async |revision: &str| {
        let autoscaler = autoscalers.get_opt(&format!("model-{revision}")).await?;
        anyhow::Ok(autoscaler.and_then(|a| a.spec.min_replicas))
    };

    space.apply(model(&version("2"))?).await?;
    let (mut minima, until) = (BTreeSet::new(), Instant::now() + ROLLED_OUT);
    let second = loop {
        let now = space.until("model", Duration::from_secs(5), "to be there", |_| true).await?;
        // What is selected had its pods before, or has them after.
        let (least, before) = (at_least(&first).await?, ready(&space, &first).await?);
        let selected = selected(&space).await?;
        if selected == first {
            ensure!(before >= STABLE, "every request goes to {before} pods of the stable revision");
            ensure!(least >= Some(STABLE as i32), "the stable revision may shrink beside a canary: {least:?}");
        } else {
            let after = ready(&space, &selected).await?;
            ensure!(after >= TOGETHER, "every request goes to {after} pods of the new revision");
        }
        for autoscaler in autoscalers.list(&ListParams::default()).await? {
            if autoscaler.name_any() != format!("model-{first}") {
                minima.extend(autoscaler.spec.min_replicas);
            }
        }
        if is_ready(&now) && stable_revision(&now) != first {
            break stable_revision(&now);
        }
        ensure!(Instant::now() < until, "not promoted: {:?}", now.status);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    println!("autoscaled: at least {minima:?} pods of the new revision");
    assert_eq!(minima, BTreeSet::from([CANARY, TOGETHER as i32]));

    // Once the old one is gone, it may have as few as the spec says.
    wait(ROLLED_OUT, "the old autoscaler to go", || async { Ok(at_least(&first).await?.is_none().then_some(())) })
        .await?;
    wait(ROLLED_OUT, "the new autoscaler to have the spec's minimum", || async {
        Ok((at_least(&second).await? == Some(STABLE as i32)).then_some(()))
    })
    .await?;
    assert_lossless(&traffic.stop().await?, "an autoscaled revision replaced");
    space.delete().await
}

/// The revision that the model's Service selects.
async fn selected(space: &Space) -> Result<String> {
    let service = space.api::<Service>().get("model").await?;
    let selector = service.spec.and_then(|s| s.selector).unwrap_or_default();
    selector.get("drydock.dev/revision").cloned().context("the Service selects no revision")
}
