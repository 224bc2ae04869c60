use std::collections::BTreeMap;

use drydock_contract::SplitWindow;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::Child;
use crate::external::Heard;
use crate::route::{GrpcRoute, HttpRoute, RouteView};

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
    pub(crate) fn children(&self) -> Vec<Child> {
        let claims = self.claims.iter().cloned().map(|o| Child::Claim(Box::new(o)));
        let jobs = self.jobs.iter().cloned().map(|o| Child::Job(Box::new(o)));
        let revisions = self.revisions.iter().cloned().map(|o| Child::Revision(Box::new(o)));
        let deployments = self.deployments.iter().cloned().map(|o| Child::Deployment(Box::new(o)));
        let services = self.services.iter().cloned().map(|o| Child::Service(Box::new(o)));
        let autoscalers = self.autoscalers.iter().cloned().map(|o| Child::Autoscaler(Box::new(o)));
        let budgets = self.budgets.iter().cloned().map(|o| Child::Budget(Box::new(o)));
        let http_routes = self.http_routes.iter().cloned().map(|o| Child::HttpRoute(Box::new(o)));
        let grpc_routes = self.grpc_routes.iter().cloned().map(|o| Child::GrpcRoute(Box::new(o)));
        claims
            .chain(jobs)
            .chain(revisions)
            .chain(deployments)
            .chain(services)
            .chain(autoscalers)
            .chain(budgets)
            .chain(http_routes)
            .chain(grpc_routes)
            .collect()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = RouteView<'_>> {
        self.http_routes.iter().map(RouteView::from).chain(self.grpc_routes.iter().map(RouteView::from))
    }
}
