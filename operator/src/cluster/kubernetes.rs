use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use drydock_contract::{SPLIT_ANNOTATION, Split, SplitWindow};
use drydock_crds::{ModelDeployment, ModelDeploymentStatus};
use drydock_operator_core::{Child, ChildKind, ChildRef};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Resource};
use serde_json::json;

use super::{ClusterError, Kind, MANAGED_BY, NAME_LABEL, ReadCluster, WriteCluster};
use crate::claim::Claim;
use crate::gateway_api::GatewayApi;
use crate::index::{self, Index};
use crate::metrics::Metrics;
use crate::target::Target;

// A field manager for each concern: what one applies, another never takes away.
const CHILDREN: &str = "drydock";
const SCALE: &str = "drydock/scale";
const SPLIT: &str = "drydock/split";
const STATUS: &str = "drydock/status";

/// The sidecar's port for what only the operator asks.
const ADMIN_PORT: u16 = 8082;
const SPLIT_WITHIN: Duration = Duration::from_millis(500);

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").finish_non_exhaustive()
    }
}

/// The cluster behind a [`Client`].
pub struct Kubernetes {
    client: Client,
    pods: reqwest::Client,
    claim: Arc<Claim>,
    metrics: Metrics,
    pub gateway_api: GatewayApi,
    pub index: Arc<Index>,
}

impl Kubernetes {
    pub fn new(client: Client, claim: Arc<Claim>, metrics: Metrics) -> Result<Self, reqwest::Error> {
        // A pod of the cluster is asked, never a proxy.
        // Pods are asked in the clear, but reqwest has TLS for others, and wants a provider for it. One that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A pod may run whatever image its user likes: it must not send the operator elsewhere.
        let redirect = reqwest::redirect::Policy::none();
        let pods = reqwest::Client::builder().no_proxy().redirect(redirect).timeout(SPLIT_WITHIN);
        let pods = pods.tls_certs_only([]).build()?;
        Ok(Self { client, pods, claim, metrics, gateway_api: GatewayApi::default(), index: Arc::default() })
    }

    /// Who only looks: without the right to write, nothing is ever written.
    pub fn reading(client: Client) -> Result<Self, reqwest::Error> {
        Self::new(client, Arc::new(Claim::not_held()), Metrics::new())
    }

    /// Every write passes here.
    fn writing(&self, kind: &'static str, verb: &'static str) -> Result<(), ClusterError> {
        if !self.claim.is_held() {
            return Err(ClusterError::NotLeading);
        }
        self.metrics.wrote(kind, verb);
        Ok(())
    }

    fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Untyped: one that this version cannot parse is read and reported too.
    fn model_deployments(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<ModelDeployment>(&());
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    fn children(&self, namespace: &str, kind: ChildKind) -> Api<DynamicObject> {
        let api_version = kind.api_version();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind.kind());
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural());
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }
}

impl ReadCluster for Kubernetes {
    async fn model_deployment(&self, target: &Target) -> Result<Option<DynamicObject>, ClusterError> {
        Ok(self.model_deployments(&target.namespace).get_opt(&target.name).await?)
    }

    async fn named<K: Kind>(&self, target: &Target, also: &[String]) -> Result<Option<Vec<K>>, ClusterError> {
        let Some(mut names) = self.index.names(&K::kind(&()), target) else { return Ok(None) };
        names.extend(also.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
        let api = self.api::<K>(&target.namespace);
        let found = try_join_all(names.iter().map(|name| api.get_opt(name))).await?;
        // The name may be somebody else's by now.
        Ok(Some(found.into_iter().flatten().filter(|object| index::is_of(object, target)).collect()))
    }

    async fn listed<K: Kind>(&self, target: &Target) -> Result<Vec<K>, ClusterError> {
        let labels = format!("{NAME_LABEL}={},{MANAGED_BY}", target.name);
        Ok(self.api(&target.namespace).list(&ListParams::default().labels(&labels)).await?.items)
    }

    fn gateway_api(&self) -> bool {
        self.gateway_api.is_there()
    }

    async fn split_window(&self, pod_ip: &str) -> Option<SplitWindow> {
        let host = if pod_ip.contains(':') { format!("[{pod_ip}]") } else { pod_ip.to_owned() };
        let asked = self.pods.get(format!("http://{host}:{ADMIN_PORT}/drydock/split")).send().await;
        match short_body(asked).await {
            Ok(body) => serde_json::from_slice(&body).ok(),
            Err(error) => {
                // Starting, ending, or on a node that is gone: the planner knows what to make of a pod that is silent.
                tracing::debug!(%error, "a pod does not say what it has seen of the canary");
                None
            }
        }
    }
}

impl WriteCluster for Kubernetes {
    async fn look(&self, namespace: &str, child: &Child) -> Result<Option<ObjectMeta>, ClusterError> {
        let found = self.children(namespace, child.kind()).get_metadata_opt(child.name()).await?;
        Ok(found.map(|object| object.metadata))
    }

    async fn apply(&self, namespace: &str, child: &Child, force: bool) -> Result<(), ClusterError> {
        self.writing(child.kind().kind(), "apply")?;
        let params = PatchParams { force, ..PatchParams::apply(CHILDREN) };
        let api = self.children(namespace, child.kind());
        let applied = api.patch(child.name(), &params, &Patch::Apply(child.to_json())).await;
        // Also what was carried out and not answered.
        if !matches!(applied, Err(kube::Error::Api(_)))
            && let Some(name) = child.metadata().labels.as_ref().and_then(|l| l.get(NAME_LABEL))
        {
            self.index.wrote(child.kind().kind(), Target::new(namespace, name), child.name());
        }
        applied?;
        Ok(())
    }

    async fn scale(&self, namespace: &str, deployment: &str, replicas: i32) -> Result<(), ClusterError> {
        self.writing("Deployment", "scale")?;
        let params = PatchParams { field_manager: Some(SCALE.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.api::<Deployment>(namespace).patch_scale(deployment, &params, &patch).await?;
        Ok(())
    }

    async fn set_split(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        split: Option<&Split>,
    ) -> Result<(), ClusterError> {
        self.writing("Pod", "patch")?;
        let value = split.map(serde_json::to_string).transpose().map_err(kube::Error::SerdeError)?;
        // A merge patch, whose null takes the annotation away whoever has set it: an apply would take away our own alone, and
        // be written again at each pass. With the uid: the pod of the name may be another one by now.
        let patch = Patch::Merge(json!({ "metadata": { "uid": uid, "annotations": { SPLIT_ANNOTATION: value } } }));
        let params = PatchParams { field_manager: Some(SPLIT.to_owned()), ..PatchParams::default() };
        self.api::<Pod>(namespace).patch_metadata(pod, &params, &patch).await?;
        Ok(())
    }

    async fn delete(&self, namespace: &str, child: &ChildRef) -> Result<(), ClusterError> {
        self.writing(child.kind.kind(), "delete")?;
        let uid = Preconditions { uid: Some(child.uid.clone()), resource_version: None };
        let api = self.children(namespace, child.kind);
        api.delete(&child.name, &DeleteParams::background().preconditions(uid)).await?;
        Ok(())
    }

    async fn apply_status(&self, target: &Target, status: &ModelDeploymentStatus) -> Result<(), ClusterError> {
        self.writing("ModelDeployment", "status")?;
        let patch = Patch::Apply(json!({
            "apiVersion": ModelDeployment::api_version(&()),
            "kind": ModelDeployment::kind(&()),
            "status": status,
        }));
        let api = self.model_deployments(&target.namespace);
        api.patch_status(&target.name, &PatchParams::apply(STATUS).force(), &patch).await?;
        Ok(())
    }

    async fn create_event(&self, namespace: &str, event: &Event) -> Result<(), ClusterError> {
        self.writing("Event", "create")?;
        self.api(namespace).create(&PostParams::default(), event).await?;
        Ok(())
    }
}

/// A pod may run whatever image its user likes: what it says must not fill the operator's memory. Cut where it is too long,
/// which no reader understands.
async fn short_body(asked: Result<reqwest::Response, reqwest::Error>) -> Result<Vec<u8>, reqwest::Error> {
    const MOST: usize = 16 << 10;
    let mut response = asked?.error_for_status()?;
    let mut body = Vec::new();
    while body.len() < MOST
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(chunk.get(..MOST - body.len()).unwrap_or(&chunk));
    }
    Ok(body)
}
