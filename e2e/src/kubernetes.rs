//! The cluster that `KUBECONFIG` names, as a test sees it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use drydock_crds::ModelDeployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// Field manager of what the tests apply.
pub const MANAGER: &str = "drydock-e2e";
const POLL: Duration = Duration::from_millis(200);

/// One namespace, under the strictest Pod Security level.
#[derive(Clone)]
pub struct Space {
    pub client: Client,
    pub name: String,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Space({})", self.name)
    }
}

pub async fn client() -> Result<Client> {
    Client::try_default().await.context("no cluster: run through `e2e/run.sh`, or set KUBECONFIG")
}

impl Space {
    /// A fresh namespace; one of the same name that an earlier run left is deleted first.
    pub async fn fresh(name: &str) -> Result<Self> {
        let client = client().await?;
        let space = Self { client, name: name.to_owned() };
        if space.exists().await? {
            space.delete().await?;
        }
        space.ensure().await?;
        Ok(space)
    }

    /// Deletes what tests that failed have left, which the next ones may find no room beside: namespaces of ours that begin with `prefix`.
    pub async fn delete_left(prefix: &str) -> Result<()> {
        let client = client().await?;
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
        for left in Api::<Namespace>::all(client.clone()).list(&ours).await? {
            if left.name_any().starts_with(prefix) {
                println!("deleting what was left: {}", left.name_any());
                Self { client: client.clone(), name: left.name_any() }.delete().await?;
            }
        }
        Ok(())
    }

    pub async fn exists(&self) -> Result<bool> {
        Ok(Api::<Namespace>::all(self.client.clone()).get_opt(&self.name).await?.is_some())
    }

    pub async fn ensure(&self) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name,
            "labels": {"app.kubernetes.io/managed-by": MANAGER, "pod-security.kubernetes.io/enforce": "restricted"}}});
        Api::<Namespace>::all(self.client.clone())
            .patch(&self.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(namespace))
            .await?;
        Ok(())
    }

    pub async fn delete(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces.delete(&self.name, &DeleteParams::default()).await;
        wait(Duration::from_secs(120), &format!("namespace {} to go", self.name), || async {
            Ok(namespaces.get_opt(&self.name).await?.is_none().then_some(()))
        })
        .await
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies a ModelDeployment from a file of `examples/`, as `kubectl apply --server-side` does.
    pub async fn apply_example(&self, file: &str) -> Result<ModelDeployment> {
        self.apply(example(file)?).await
    }

    pub async fn apply(&self, object: Value) -> Result<ModelDeployment> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).context("no metadata.name")?.to_owned();
        let api: Api<ModelDeployment> = self.api();
        Ok(api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await?)
    }

    /// Waits until `holds` says yes about the ModelDeployment; the error tells what it said last.
    pub async fn until(
        &self,
        name: &str,
        limit: Duration,
        what: &str,
        mut holds: impl FnMut(&ModelDeployment) -> bool,
    ) -> Result<ModelDeployment> {
        let api: Api<ModelDeployment> = self.api();
        let until = tokio::time::Instant::now() + limit;
        loop {
            let object = api.get(name).await?;
            if holds(&object) {
                return Ok(object);
            }
            if tokio::time::Instant::now() > until {
                let status = serde_json::to_string_pretty(&object.status)?;
                bail!("waited {limit:?} for {name}: {what}\nstatus: {status}\nevents:\n{}", self.events().await?);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn serving_pods(&self, name: &str) -> Result<Vec<Pod>> {
        let selector = format!("drydock.dev/name={name},app.kubernetes.io/component=serving");
        Ok(self.api::<Pod>().list(&ListParams::default().labels(&selector)).await?.items)
    }

    /// The namespace's events, a line each.
    pub async fn events(&self) -> Result<String> {
        let events = self.api::<Event>().list(&ListParams::default()).await?;
        let mut lines: Vec<String> = events
            .iter()
            .map(|e| {
                let object = format!(
                    "{}/{}",
                    e.involved_object.kind.as_deref().unwrap_or_default(),
                    e.involved_object.name.as_deref().unwrap_or_default()
                );
                format!(
                    "{} {object} {} {}",
                    e.type_.as_deref().unwrap_or_default(),
                    e.reason.as_deref().unwrap_or_default(),
                    e.message.as_deref().unwrap_or_default()
                )
            })
            .collect();
        lines.sort();
        Ok(lines.join("\n"))
    }
}

/// A file of `examples/`.
pub fn example(file: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))
}

/// `base` with a JSON merge patch laid over it.
pub fn changed(mut base: Value, change: &Value) -> Value {
    json_patch::merge(&mut base, change);
    base
}

/// Calls `probe` until it gives a value.
pub async fn wait<T, F, Fut>(limit: Duration, what: &str, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let until = tokio::time::Instant::now() + limit;
    loop {
        if let Some(value) = probe().await? {
            return Ok(value);
        }
        if tokio::time::Instant::now() > until {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The status of the condition `type_`: `True`, `False`, `Unknown`, or `""` where it is absent.
pub fn condition<'a>(object: &'a ModelDeployment, type_: &str) -> &'a str {
    let conditions = object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    conditions.iter().find(|c| c.type_ == type_).map_or("", |c| c.status.as_str())
}

/// The reason of the condition `type_`.
pub fn reason<'a>(object: &'a ModelDeployment, type_: &str) -> &'a str {
    let conditions = object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    conditions.iter().find(|c| c.type_ == type_).map_or("", |c| c.reason.as_str())
}

/// Whether the operator has looked at this generation and calls it done and ready.
pub fn is_ready(object: &ModelDeployment) -> bool {
    let seen = object.status.as_ref().and_then(|s| s.observed_generation);
    seen == object.metadata.generation
        && condition(object, "Ready") == "True"
        && condition(object, "Reconciling") != "True"
}

pub fn uid_of(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

pub fn is_pod_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") && pod.metadata.deletion_timestamp.is_none()
}
