use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{metadata, serving_pod};
use crate::labels::{TEMPLATE, revision_selector, serving_labels};
use crate::revision::RevisionTemplate;
use crate::{Resolved, names};

/// The pods of one revision, from its template alone.
///
/// `spec.replicas` is never set: an autoscaler or the scale subresource has it, and applying it here would fight with them.
pub fn serving_deployment(r: &Resolved, revision: &str, template: &RevisionTemplate) -> Deployment {
    let mut metadata = metadata(r, names::revision(&r.name, revision), serving_labels(&r.name, revision));
    metadata.annotations = Some([(TEMPLATE.to_owned(), template.to_json().to_string())].into());
    Deployment {
        metadata,
        spec: DeploymentSpec {
            selector: LabelSelector {
                match_labels: Some(revision_selector(&r.name, revision)),
                match_expressions: None,
            },
            // A revision never changes; this is for what an upgrade of the operator changes in how pods are made.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            template: serving_pod::template(r, revision, template),
            ..DeploymentSpec::default()
        },
        status: None,
    }
}
