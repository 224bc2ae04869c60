//! The children, one file for each kind, and what they have in common.

pub mod autoscaler;
pub mod budget;
pub mod check_job;
pub mod claim;
pub mod controller_revision;
pub mod grpc_route;
pub mod http_route;
pub mod optimization_job;
mod route_spec;
mod security;
pub mod service;
pub mod serving_deployment;
mod serving_pod;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Resolved;

fn metadata(r: &Resolved, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(r.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![r.owner.clone()]),
        ..ObjectMeta::default()
    }
}
