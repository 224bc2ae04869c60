use std::fmt;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::route::{GrpcRoute, HttpRoute};

/// A whole object as it should be, to be applied by server-side apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Child {
    Claim(Box<PersistentVolumeClaim>),
    Job(Box<Job>),
    Revision(Box<ControllerRevision>),
    Deployment(Box<Deployment>),
    Service(Box<Service>),
    Autoscaler(Box<HorizontalPodAutoscaler>),
    Budget(Box<PodDisruptionBudget>),
    HttpRoute(Box<HttpRoute>),
    GrpcRoute(Box<GrpcRoute>),
}

/// The kinds of children, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    Claim,
    Job,
    Revision,
    Deployment,
    Service,
    Autoscaler,
    Budget,
    HttpRoute,
    GrpcRoute,
}

/// One that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChildRef {
    pub kind: ChildKind,
    pub name: String,
    /// A precondition of the deletion: whatever has taken the name since is somebody else.
    pub uid: String,
}

impl ChildKind {
    pub const ALL: [Self; 9] = [
        Self::Claim,
        Self::Job,
        Self::Revision,
        Self::Deployment,
        Self::Service,
        Self::Autoscaler,
        Self::Budget,
        Self::HttpRoute,
        Self::GrpcRoute,
    ];

    pub fn api_version(self) -> &'static str {
        match self {
            Self::Claim | Self::Service => "v1",
            Self::Job => "batch/v1",
            Self::Revision | Self::Deployment => "apps/v1",
            Self::Autoscaler => "autoscaling/v2",
            Self::Budget => "policy/v1",
            Self::HttpRoute | Self::GrpcRoute => "gateway.networking.k8s.io/v1",
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Claim => "PersistentVolumeClaim",
            Self::Job => "Job",
            Self::Revision => "ControllerRevision",
            Self::Deployment => "Deployment",
            Self::Service => "Service",
            Self::Autoscaler => "HorizontalPodAutoscaler",
            Self::Budget => "PodDisruptionBudget",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Claim => "persistentvolumeclaims",
            Self::Job => "jobs",
            Self::Revision => "controllerrevisions",
            Self::Deployment => "deployments",
            Self::Service => "services",
            Self::Autoscaler => "horizontalpodautoscalers",
            Self::Budget => "poddisruptionbudgets",
            Self::HttpRoute => "httproutes",
            Self::GrpcRoute => "grpcroutes",
        }
    }
}

impl fmt::Display for ChildKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// `Deployment fashion-0123456789`.
impl fmt::Display for ChildRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// `Deployment fashion-0123456789`.
impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

impl Child {
    pub fn kind(&self) -> ChildKind {
        match self {
            Self::Claim(_) => ChildKind::Claim,
            Self::Job(_) => ChildKind::Job,
            Self::Revision(_) => ChildKind::Revision,
            Self::Deployment(_) => ChildKind::Deployment,
            Self::Service(_) => ChildKind::Service,
            Self::Autoscaler(_) => ChildKind::Autoscaler,
            Self::Budget(_) => ChildKind::Budget,
            Self::HttpRoute(_) => ChildKind::HttpRoute,
            Self::GrpcRoute(_) => ChildKind::GrpcRoute,
        }
    }

    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Claim(o) => &o.metadata,
            Self::Job(o) => &o.metadata,
            Self::Revision(o) => &o.metadata,
            Self::Deployment(o) => &o.metadata,
            Self::Service(o) => &o.metadata,
            Self::Autoscaler(o) => &o.metadata,
            Self::Budget(o) => &o.metadata,
            Self::HttpRoute(o) => &o.metadata,
            Self::GrpcRoute(o) => &o.metadata,
        }
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Claim(o) => &mut o.metadata,
            Self::Job(o) => &mut o.metadata,
            Self::Revision(o) => &mut o.metadata,
            Self::Deployment(o) => &mut o.metadata,
            Self::Service(o) => &mut o.metadata,
            Self::Autoscaler(o) => &mut o.metadata,
            Self::Budget(o) => &mut o.metadata,
            Self::HttpRoute(o) => &mut o.metadata,
            Self::GrpcRoute(o) => &mut o.metadata,
        }
    }

    /// The body of the apply request: apiVersion, kind and every field that we want, and no `spec.replicas`.
    pub fn to_json(&self) -> Value {
        let json = match self {
            Self::Claim(o) => serde_json::to_value(o),
            Self::Job(o) => serde_json::to_value(o),
            Self::Revision(o) => serde_json::to_value(o),
            Self::Deployment(o) => serde_json::to_value(o),
            Self::Service(o) => serde_json::to_value(o),
            Self::Autoscaler(o) => serde_json::to_value(o),
            Self::Budget(o) => serde_json::to_value(o),
            Self::HttpRoute(o) => serde_json::to_value(o),
            Self::GrpcRoute(o) => serde_json::to_value(o),
        };
        // Plain data with string keys always serializes.
        json.unwrap_or_default()
    }
}
