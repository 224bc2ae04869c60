//! The edge to the cluster: what the stages may ask of it, and its Kubernetes implementation.

mod kubernetes;

use std::fmt::Debug;
use std::future::Future;

use drydock_contract::{Split, SplitWindow};
use drydock_crds::ModelDeploymentStatus;
use drydock_operator_core::{Child, ChildRef};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use kube::core::Status;
use serde::de::DeserializeOwned;

use crate::target::Target;

pub use kubernetes::Kubernetes;

/// Label of every child: the name of its ModelDeployment.
pub const NAME_LABEL: &str = "drydock.dev/name";
/// What every child is found and watched by.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by=drydock";

/// A question or a write that the cluster did not take.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// In the API server's words, which name the object and what is wrong with it.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    #[error("the API server did not answer: {0}")]
    NoAnswer(#[source] Box<kube::Error>),
    #[error("not the leader: nothing is written")]
    NotLeading,
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::NoAnswer(Box::new(other)),
        }
    }
}

impl ClusterError {
    /// What was sent is invalid (422), and will be at the next try. Everything else may pass: a quota and a policy refuse with
    /// 403, and are changed by others.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Refused(s) if s.is_invalid())
    }

    /// There is no such kind, or none that the operator may list. By the code: of a group that it does not have the API server says 404
    /// in plain text, without a reason.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Refused(s) if matches!(s.code, 403 | 404))
    }

    /// The object that was meant is not there: none has the name, or one with another uid has it now.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused(s) if s.is_not_found() || s.is_conflict())
    }
}

/// A namespaced kind that can be listed.
pub trait Kind:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

impl<K> Kind for K where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static
{
}

/// What `observe` may do.
pub trait ReadCluster: Sync {
    fn model_deployment(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<Option<DynamicObject>, ClusterError>> + Send;

    /// Of a kind, what carries the target's labels and what has one of the names `also`, as it is now, asked for by name. `None` where the names
    /// are not known. What somebody else has made a moment ago may be missing.
    fn named<K: Kind>(
        &self,
        target: &Target,
        also: &[String],
    ) -> impl Future<Output = Result<Option<Vec<K>>, ClusterError>> + Send;

    /// Everything of a kind that carries the target's labels, as it is now.
    fn listed<K: Kind>(&self, target: &Target) -> impl Future<Output = Result<Vec<K>, ClusterError>> + Send;

    /// Whether the cluster has the Gateway API, as far as is known.
    fn gateway_api(&self) -> bool;

    /// What a pod has seen of the rollout; `None` if it does not say.
    fn split_window(&self, pod_ip: &str) -> impl Future<Output = Option<SplitWindow>> + Send;
}

/// What `apply` and `publish` may do. Each is one request, and none is sent without the right to write.
pub trait WriteCluster: Sync {
    /// The metadata of what has a child's name now: a look before the first write.
    fn look(
        &self,
        namespace: &str,
        child: &Child,
    ) -> impl Future<Output = Result<Option<ObjectMeta>, ClusterError>> + Send;

    /// Server-side apply; `force` takes fields over that another manager holds.
    fn apply(
        &self,
        namespace: &str,
        child: &Child,
        force: bool,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    fn scale(
        &self,
        namespace: &str,
        deployment: &str,
        replicas: i32,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Sets the split of the pod with just this uid, or takes it away.
    fn set_split(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        split: Option<&Split>,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Deletes the object with just this uid.
    fn delete(&self, namespace: &str, child: &ChildRef) -> impl Future<Output = Result<(), ClusterError>> + Send;

    fn apply_status(
        &self,
        target: &Target,
        status: &ModelDeploymentStatus,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    fn create_event(&self, namespace: &str, event: &Event) -> impl Future<Output = Result<(), ClusterError>> + Send;
}
