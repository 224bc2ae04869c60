//! An artifact store without room, and a slow one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use drydock_crds::CandidateState;
use drydock_e2e::kubernetes::{MANAGER, Space, is_ready};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{OPTIMIZED, ROLLED_OUT, assert_lossless, cluster, load, model, served, space, stable_revision};

/// The volume that the claim of the ModelDeployment `model` will get.
struct Store {
    volumes: Api<PersistentVolume>,
    name: String,
}

impl Store {
    async fn new(space: &Space, directory: &str) -> Result<Self> {
        let name = format!("{}-store", space.name);
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteOnce", "ReadWriteMany"], "storageClassName": "standard",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": directory},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": space.name, "name": "model-packages"}}});
        let volumes: Api<PersistentVolume> = Api::all(space.client.clone());
        // One that a failed test has left is bound to a claim that is gone.
        let _ = volumes.delete(&name, &DeleteParams::default()).await;
        kube::runtime::wait::await_condition(volumes.clone(), &name, |v: Option<&PersistentVolume>| v.is_none())
            .await?;
        volumes.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(volume)).await?;
        Ok(Self { volumes, name })
    }

    async fn delete(self, space: &Space) -> Result<()> {
        space.delete().await?;
        self.volumes.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// A name that no run before has used: what it left would be in it.
fn fresh(name: &str) -> Result<String> {
    Ok(format!("{name}-{:x}", std::time::UNIX_EPOCH.elapsed()?.as_millis()))
}

/// Said so, tried again, and done as soon as there is room; nothing half-written is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_full() -> Result<()> {
    let space = space("full").await?;
    let name = fresh("full")?;
    // The model has 464 kB.
    let directory = cluster(&["volume", &name, "256k"]).await?.trim().to_owned();
    let store = Store::new(&space, &directory).await?;
    space.apply(model(&json!({}))?).await?;
    let retrying = space
        .until("model", OPTIMIZED, "to find the store full", |m| {
            let candidates = m.status.as_ref().and_then(|s| s.optimization.as_ref()).map(|o| o.candidates.as_slice());
            candidates.unwrap_or_default().iter().any(|c| c.state == CandidateState::Retrying)
        })
        .await?;
    let candidate =
        retrying.status.as_ref().and_then(|s| s.optimization.as_ref()?.candidates.first()).context("none")?;
    println!("a full store: {:?} {:?}", candidate.reason, candidate.message);
    ensure!(candidate.reason.as_deref() == Some("DiskFull"), "{candidate:?}");
    let left = files(&directory)?;
    ensure!(left.is_empty(), "half-written: {left:?}");

    cluster(&["volume", &name, "64m"]).await?;
    space.until("model", OPTIMIZED, "to be served once there is room", is_ready).await?;
    store.delete(&space).await
}

/// Files below a directory.
fn files(directory: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![std::path::PathBuf::from(directory)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path().display().to_string());
            }
        }
    }
    Ok(found)
}

/// A pod takes long to be ready, and users notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_slow() -> Result<()> {
    let space = space("slow").await?;
    // The model has 464 kB: 4 s for each reading and writing, of one pod.
    let directory = cluster(&["volume", &fresh("slow")?, "64m", "120000"]).await?.trim().to_owned();
    let began = Instant::now();
    let probe = std::path::Path::new(&directory).join("probe");
    std::fs::write(&probe, vec![0; 240_000])?;
    std::fs::remove_file(&probe)?;
    ensure!(began.elapsed() > Duration::from_secs(1), "240 kB in {:?}: the store is not slow", began.elapsed());
    let store = Store::new(&space, &directory).await?;
    let version = |n: &str| {
        json!({"spec": {
            "serving": {"replicas": 2, "podTemplate": {"labels": {"version": n}}},
            "rollout": {"steps": [{"weight": 50, "holdSeconds": 2}], "progressDeadlineSeconds": 300},
        }})
    };
    let stable = stable_revision(&served(&space, &version("a")).await?);
    let traffic = load(&space, "model").await?;
    let began = Instant::now();
    space.apply(model(&version("b"))?).await?;
    let promoted = |m: &_| is_ready(m) && stable_revision(m) != stable;
    space.until("model", ROLLED_OUT, "a promotion out of a slow store", promoted).await?;
    let took = began.elapsed();
    assert_lossless(&traffic.stop().await?, &format!("a promotion out of a slow store, {:.0} s", took.as_secs_f64()));
    store.delete(&space).await
}
