//! What stands on the API server.

use std::time::Duration;

use anyhow::{Result, bail};
use drydock_crds::{ModelDeployment, RolloutStage};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, CustomResourceExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Field manager of what the tests apply.
pub const MANAGER: &str = "drydock-kwok";
const POLL: Duration = Duration::from_millis(200);

/// Of `KUBECONFIG`, with the CRD installed.
pub async fn client() -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(Config::infer().await?)?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = "modeldeployments.drydock.dev";
    crds.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(ModelDeployment::crd())).await?;
    await_condition(crds, name, conditions::is_crd_established()).await?;
    Ok(client)
}

pub async fn namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let api: Api<Namespace> = Api::all(client.clone());
    api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(namespace)).await?;
    Ok(())
}

/// The volume that the claim of a ModelDeployment will get: nobody makes volumes here. What is in it nobody asks.
pub async fn volume(client: &Client, namespace: &str, md: &str) -> Result<()> {
    let name = format!("{namespace}-{md}");
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/nowhere"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": format!("{md}-packages")}}});
    let api: Api<PersistentVolume> = Api::all(client.clone());
    api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(volume)).await?;
    Ok(())
}

/// A model of two candidates that is served by one pod, and a rollout of two short steps.
pub fn model(name: &str) -> Value {
    json!({
        "apiVersion": "drydock.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name},
        "spec": {
            "model": {"source": {"https": {"url": "https://models.example/fashion.onnx"}}, "labels": ["shirt", "shoe"]},
            "optimization": {
                "recipes": [{"name": "int8", "techniques": [{"quantize": {}}]}],
                "dataset": {"calibration": {"https": {"url": "https://models.example/calibration.npz"}},
                            "evaluation": {"https": {"url": "https://models.example/evaluation.npz"}}},
            },
            "serving": {"replicas": 1, "image": "sidecar:1"},
            "rollout": {
                "steps": [{"weight": 20, "holdSeconds": 1}, {"weight": 50, "holdSeconds": 1}],
                "progressDeadlineSeconds": 300, "scaleDownDelaySeconds": 1,
            },
        },
    })
}

/// Looked at in this generation, ready, and nothing under way.
pub fn is_settled(md: &ModelDeployment) -> bool {
    let Some(status) = &md.status else { return false };
    let condition = |type_: &str| status.conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
    let rollout = status.rollout.as_ref();
    let is_over = rollout.is_some_and(|r| r.canary.is_none() && r.previous.is_none() && r.stage == RolloutStage::Idle);
    status.observed_generation == md.metadata.generation && condition("Ready") && !condition("Reconciling") && is_over
}

/// The revision that is served.
pub fn stable(md: &ModelDeployment) -> &str {
    md.status.as_ref().and_then(|s| s.stable.as_ref()).map_or("", |t| &t.revision)
}

/// The revision that was rolled back last.
pub fn failed(md: &ModelDeployment) -> &str {
    let rollout = md.status.as_ref().and_then(|s| s.rollout.as_ref());
    rollout.and_then(|r| r.failed.as_ref()).map_or("", |f| &f.revision)
}

/// Waits until `holds`; the error has the status that was seen last.
pub async fn until(
    api: &Api<ModelDeployment>,
    name: &str,
    limit: Duration,
    what: &str,
    holds: impl Fn(&ModelDeployment) -> bool,
) -> Result<ModelDeployment> {
    let end = Instant::now() + limit;
    loop {
        let found = api.get(name).await?;
        if holds(&found) {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waited {limit:?} for {what}: {}", serde_json::to_string_pretty(&found.status)?);
        }
        sleep(POLL).await;
    }
}
