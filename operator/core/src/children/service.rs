use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::labels::{Component, labels, revision_selector};
use crate::{Resolved, names};

/// What users talk to. Promotion is a change of this selector and nothing else.
pub fn stable_service(r: &Resolved, stable: &str) -> Service {
    service(r, names::stable_service(&r.name), stable)
}

/// What stable pods send the canary's share to; without a canary the stable pods, so that a pod that has not yet heard of the
/// end of a rollout still finds one that answers.
pub fn canary_service(r: &Resolved, stable: &str, canary: Option<&str>) -> Service {
    service(r, names::canary_service(&r.name), canary.unwrap_or(stable))
}

/// Where the next revision can be looked at before it gets any request; without one, the stable revision.
pub fn preview_service(r: &Resolved, stable: &str, canary: Option<&str>) -> Service {
    service(r, names::preview_service(&r.name), canary.unwrap_or(stable))
}

fn service(r: &Resolved, name: String, revision: &str) -> Service {
    Service {
        metadata: metadata(r, name, labels(&r.name, Component::Serving)),
        spec: Some(ServiceSpec {
            selector: Some(revision_selector(&r.name, revision)),
            ports: Some(vec![
                port("http", super::serving_pod::SERVICE_HTTP_PORT, None),
                port("grpc", super::serving_pod::SERVICE_GRPC_PORT, Some("kubernetes.io/h2c")),
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, port: i32, protocol: Option<&str>) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: protocol.map(str::to_owned),
        ..ServicePort::default()
    }
}
