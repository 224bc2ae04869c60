//! One story in one namespace.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use drydock_crds::ModelDeployment;
use drydock_kwok::ground::{self, failed, is_settled, stable};
use drydock_kwok::proxy::{Faults, Proxy};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::lasting;

const NAME: &str = "story";
/// For one chapter, on a machine that tells six stories at once.
const LIMIT: Duration = Duration::from_secs(240);

pub struct Story {
    client: Client,
    namespace: String,
    proxy: Proxy,
}

pub struct End {
    /// What stands before the deletion, with what does not differ between two stories.
    pub children: String,
    pub writes: usize,
    pub faults: Vec<String>,
}

impl Story {
    pub async fn begin(client: &Client, name: &str, faults: Faults, directory: &Path) -> Result<Self> {
        // A namespace that went has its volume still, bound to a claim that is gone.
        let nanos = std::time::UNIX_EPOCH.elapsed()?.as_millis();
        let namespace = format!("{name}-{nanos:x}");
        ground::namespace(client, &namespace).await?;
        ground::volume(client, &namespace, NAME).await?;
        let proxy = Proxy::start(&namespace, faults, directory).await?;
        Ok(Self { client: client.clone(), namespace, proxy })
    }

    pub async fn tell(self) -> Result<End> {
        let end = self.chapters().await.with_context(|| format!("what was done:\n{}", self.proxy.done().join("\n")));
        self.proxy.stop();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        end
    }

    async fn chapters(&self) -> Result<End> {
        let api: Api<ModelDeployment> = Api::namespaced(self.client.clone(), &self.namespace);
        // Created, optimized, served.
        self.apply(&api, &json!({})).await?;
        let first = stable(&ground::until(&api, NAME, LIMIT, "the first revision", is_settled).await?).to_owned();
        // A canary that is promoted.
        self.apply(&api, &json!({"image": "sidecar:2"})).await?;
        let next = |md: &ModelDeployment| is_settled(md) && stable(md) != first;
        let second = stable(&ground::until(&api, NAME, LIMIT, "the promotion", next).await?).to_owned();
        // One that is not.
        self.apply(&api, &json!({"image": "bad:3"})).await?;
        let rolled_back = |md: &ModelDeployment| !failed(md).is_empty() && stable(md) == second && is_idle(md);
        ground::until(&api, NAME, LIMIT, "the rollback", rolled_back).await?;
        // What was asked for before, and one pod more.
        self.proxy.calm();
        self.apply(&api, &json!({"image": "sidecar:2", "replicas": 2})).await?;
        let grown = |md: &ModelDeployment| is_settled(md) && stable(md) == second && ready(md) == 2;
        ground::until(&api, NAME, LIMIT, "the second pod", grown).await?;
        sleep(Duration::from_secs(2)).await;
        let (children, writes) = (lasting::of(&self.client, &self.namespace).await?, self.proxy.writes());
        api.delete(NAME, &DeleteParams::background()).await?;
        self.until_nothing_is_left().await?;
        // What is old can do no harm where nothing old is asked for.
        ensure!(
            self.proxy.content_with_old().is_empty(),
            "reads of what may be old: {:?}",
            self.proxy.content_with_old()
        );
        ensure!(self.proxy.not_done().is_none(), "{:?}", self.proxy.not_done());
        Ok(End { children, writes, faults: self.proxy.done() })
    }

    async fn apply(&self, api: &Api<ModelDeployment>, serving: &Value) -> Result<()> {
        let mut md = ground::model(NAME);
        for (key, value) in serving.as_object().into_iter().flatten() {
            md["spec"]["serving"][key] = value.clone();
        }
        api.patch(NAME, &PatchParams::apply(ground::MANAGER).force(), &Patch::Apply(md)).await?;
        Ok(())
    }

    async fn until_nothing_is_left(&self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            let left = lasting::names(&self.client, &self.namespace).await?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("left {LIMIT:?} after the deletion: {left:?}");
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Rolled back, and the canary's pods are gone.
fn is_idle(md: &ModelDeployment) -> bool {
    let rollout = md.status.as_ref().and_then(|s| s.rollout.as_ref());
    rollout.is_some_and(|r| r.canary.is_none() && r.previous.is_none())
}

fn ready(md: &ModelDeployment) -> i32 {
    md.status.as_ref().and_then(|s| s.stable.as_ref()).map_or(0, |t| t.ready_replicas)
}
