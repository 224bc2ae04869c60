use drydock_crds::Autoscaling;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

use super::metadata;
use crate::labels::serving_labels;
use crate::{Resolved, names};

/// The autoscaler of one revision, never under `at_least` pods: a canary must have what its share of the requests needs before
/// it gets them, and load alone would ask for it too late.
pub fn autoscaler(r: &Resolved, revision: &str, wish: &Autoscaling, at_least: i32) -> HorizontalPodAutoscaler {
    let name = names::revision(&r.name, revision);
    let min = at_least.max(1);
    HorizontalPodAutoscaler {
        metadata: metadata(r, name.clone(), serving_labels(&r.name, revision)),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name,
            },
            min_replicas: Some(min),
            max_replicas: wish.max_replicas.max(min),
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        type_: "Utilization".to_owned(),
                        average_utilization: Some(wish.target_cpu_utilization_percentage),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            behavior: None,
        },
        status: None,
    }
}
