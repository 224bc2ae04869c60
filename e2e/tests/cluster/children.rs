//! Children that somebody deletes or changes come back; a deleted ModelDeployment leaves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, is_ready, wait};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::support::{OPTIMIZED, served, space, stable_revision};

/// Name to uid of the children of one kind.
async fn of<K>(space: &Space) -> Result<BTreeMap<String, String>>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let list = space.api::<K>().list(&ListParams::default().labels("drydock.dev/name=model")).await?;
    Ok(list.items.iter().map(|o| (o.name_any(), o.uid().unwrap_or_default())).collect())
}

/// Deletes each child of a kind and waits until another one of the same name is there.
async fn comes_back<K>(space: &Space) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let before = of::<K>(space).await?;
    assert!(!before.is_empty(), "no child of kind {kind}");
    for (name, uid) in before {
        let how = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        space.api::<K>().delete(&name, &how).await?;
        wait(Duration::from_secs(60), &format!("{kind} {name} to come back"), || async {
            Ok(of::<K>(space).await?.get(&name).filter(|now| **now != uid).map(|_| ()))
        })
        .await?;
        println!("{kind} {name} came back");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn come_back_and_go_with_their_owner() -> Result<()> {
    let space = space("children").await?;
    let autoscaled = json!({"spec": {"serving": {"replicas": null, "autoscaling": {"maxReplicas": 2}}}});
    let object = served(&space, &autoscaled).await?;
    let revision = stable_revision(&object);

    comes_back::<Service>(&space).await?;
    comes_back::<HorizontalPodAutoscaler>(&space).await?;
    comes_back::<PodDisruptionBudget>(&space).await?;
    comes_back::<ControllerRevision>(&space).await?;
    comes_back::<Deployment>(&space).await?;
    comes_back::<Job>(&space).await?;
    let again = space.until("model", OPTIMIZED, "to be served again", is_ready).await?;
    assert_eq!(stable_revision(&again), revision, "the same work gives the same revision");

    // Drift: a field that is ours is put back, one that is not ours is left alone.
    let drift = json!({"metadata": {"annotations": {"example.com/mine": "kept"}},
        "spec": {"selector": {"drydock.dev/revision": "elsewhere", "one": "more"}}});
    let services = space.api::<Service>();
    services.patch("model", &PatchParams::default(), &Patch::Merge(drift)).await?;
    wait(Duration::from_secs(30), "the Service's selector to be put back", || async {
        let service = services.get("model").await?;
        let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
        let is_right =
            |s: &&BTreeMap<String, String>| s.get("drydock.dev/revision") == Some(&revision) && !s.contains_key("one");
        Ok(selector.filter(is_right).map(|_| ()))
    })
    .await?;
    assert_eq!(services.get("model").await?.annotations().get("example.com/mine").map(String::as_str), Some("kept"));

    let api: Api<ModelDeployment> = space.api();
    api.delete("model", &DeleteParams::default()).await?;
    wait(Duration::from_secs(90), "everything to be gone", || async {
        let left = [
            of::<PersistentVolumeClaim>(&space).await?,
            of::<Job>(&space).await?,
            of::<ControllerRevision>(&space).await?,
            of::<Deployment>(&space).await?,
            of::<Service>(&space).await?,
            of::<HorizontalPodAutoscaler>(&space).await?,
            of::<PodDisruptionBudget>(&space).await?,
            of::<Pod>(&space).await?,
        ];
        Ok((api.get_opt("model").await?.is_none() && left.iter().all(BTreeMap::is_empty)).then_some(()))
    })
    .await?;
    space.delete().await
}
