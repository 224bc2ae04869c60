use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::labels::{Component, NAME, labels};
use crate::{Resolved, names};

/// A drain of nodes takes one serving pod at a time.
pub fn budget(r: &Resolved) -> PodDisruptionBudget {
    let selector = [(NAME, r.name.as_str()), ("app.kubernetes.io/component", Component::Serving.as_str())]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    PodDisruptionBudget {
        metadata: metadata(r, names::budget(&r.name), labels(&r.name, Component::Serving)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(selector.into()), match_expressions: None }),
            // A pod that is not ready serves nobody: it must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
