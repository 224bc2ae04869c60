use std::collections::BTreeMap;

use drydock_contract::SplitWindow;
use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

use crate::external::Heard;
use crate::route::{GrpcRoute, HttpRoute, RouteView};
use crate::{ChildKind, compare};

/// What is in the namespace now: everything that bears our labels, and, where it is cheap, whatever has the name of a child
/// and belongs to something else (it is then left alone and reported).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub claims: Vec<PersistentVolumeClaim>,
    pub jobs: Vec<Job>,
    /// Of Jobs and of Deployments.
    pub pods: Vec<Pod>,
    pub revisions: Vec<ControllerRevision>,
    pub deployments: Vec<Deployment>,
    pub services: Vec<Service>,
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    pub budgets: Vec<PodDisruptionBudget>,
    /// Whether the cluster has the Gateway API. Without it there are no routes.
    pub gateway_api: bool,
    pub http_routes: Vec<HttpRoute>,
    pub grpc_routes: Vec<GrpcRoute>,
    /// What stable pods, and with a gateway the canary's too, answered on their admin port, by pod name. Who is absent did not answer.
    pub splits: BTreeMap<String, SplitWindow>,
    /// What the sources of `analysis.external` have said, by their names; of Jobs, what the Jobs say.
    pub external: BTreeMap<String, Heard>,
}

impl Observed {
    /// Everything that can be a child.
    pub(crate) fn children(&self) -> Vec<There<'_>> {
        let mut all = Vec::new();
        all.extend(self.claims.iter().map(|o| There::new(ChildKind::Claim, o)));
        all.extend(self.jobs.iter().map(|o| There::new(ChildKind::Job, o)));
        all.extend(self.revisions.iter().map(|o| There::new(ChildKind::Revision, o)));
        all.extend(self.deployments.iter().map(|o| There::new(ChildKind::Deployment, o)));
        all.extend(self.services.iter().map(|o| There::new(ChildKind::Service, o)));
        all.extend(self.autoscalers.iter().map(|o| There::new(ChildKind::Autoscaler, o)));
        all.extend(self.budgets.iter().map(|o| There::new(ChildKind::Budget, o)));
        all.extend(self.http_routes.iter().map(|o| There::new(ChildKind::HttpRoute, o)));
        all.extend(self.grpc_routes.iter().map(|o| There::new(ChildKind::GrpcRoute, o)));
        all
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = RouteView<'_>> {
        self.http_routes.iter().map(RouteView::from).chain(self.grpc_routes.iter().map(RouteView::from))
    }
}

/// An object that is there.
#[derive(Clone, Copy)]
pub(crate) struct There<'a> {
    pub kind: ChildKind,
    pub metadata: &'a ObjectMeta,
    object: &'a dyn Compared,
}

impl<'a> There<'a> {
    fn new<K: Metadata<Ty = ObjectMeta> + Compared>(kind: ChildKind, object: &'a K) -> Self {
        Self { kind, metadata: object.metadata(), object }
    }

    pub fn name(&self) -> &'a str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether it is as it is desired, as [`compare::holds`].
    pub fn holds(&self, desired: &Value) -> bool {
        self.object.holds(desired)
    }
}

trait Compared {
    fn holds(&self, desired: &Value) -> bool;
}

impl<T: Serialize> Compared for T {
    fn holds(&self, desired: &Value) -> bool {
        compare::holds(desired, self)
    }
}
