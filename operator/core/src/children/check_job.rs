use drydock_crds::{CheckJob, ExternalMetric, RolloutStatus};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{metadata, security};
use crate::external::{key, words};
use crate::labels::{Component, labels};
use crate::{Resolved, names};

pub const CONTAINER: &str = "check";

const DEADLINE: i32 = 600;
/// For what an operator that is gone has left. One that is there removes it when the step is over.
const KEPT_SECONDS: i32 = 86_400;

pub fn deadline_seconds(of: &ExternalMetric) -> i32 {
    of.timeout_seconds.unwrap_or(DEADLINE)
}

/// Runs once, and its exit code says whether the canary is good. The spec of one that exists is kept as it is.
pub fn check_job(
    r: &Resolved,
    of: &ExternalMetric,
    check: &CheckJob,
    at: &RolloutStatus,
    existing: Option<&Job>,
) -> Job {
    let spec = existing.and_then(|j| j.spec.clone()).unwrap_or_else(|| JobSpec {
        backoff_limit: Some(0),
        active_deadline_seconds: Some(deadline_seconds(of).into()),
        ttl_seconds_after_finished: Some(KEPT_SECONDS),
        pod_failure_policy: Some(failure_policy()),
        template: pod(r, check, at),
        ..JobSpec::default()
    });
    Job {
        metadata: metadata(r, names::check_job(&r.name, &key(of, at)), labels(&r.name, Component::Check)),
        spec: Some(spec),
        status: None,
    }
}

/// Evicted or preempted: it has not said anything about the canary.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: Some("True".to_owned()),
            }]),
            on_exit_codes: None,
        }],
    }
}

fn pod(r: &Resolved, check: &CheckJob, at: &RolloutStatus) -> PodTemplateSpec {
    let words = words(r, at);
    let filled = |list: &[String]| (!list.is_empty()).then(|| list.iter().map(|text| words.fill(text)).collect());
    let tmp = Volume { name: "tmp".to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(&r.name, Component::Check)), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: CONTAINER.to_owned(),
                image: Some(check.image.clone()),
                command: filled(&check.command),
                args: filled(&check.args),
                resources: Some(resources(check)),
                volume_mounts: Some(vec![VolumeMount {
                    name: "tmp".to_owned(),
                    mount_path: "/tmp".to_owned(),
                    ..VolumeMount::default()
                }]),
                security_context: Some(security::container()),
                termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
                ..Container::default()
            }],
            volumes: Some(vec![tmp]),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(security::pod()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            ..PodSpec::default()
        }),
    }
}

/// What the spec says; `resolve` has looked at the amounts.
fn resources(check: &CheckJob) -> ResourceRequirements {
    let quantities =
        |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect();
    let Some(wanted) = &check.resources else {
        return ResourceRequirements {
            requests: Some(quantities(&[("cpu", "50m"), ("memory", "64Mi")])),
            limits: Some(quantities(&[("memory", "256Mi")])),
            ..ResourceRequirements::default()
        };
    };
    let amounts = |of: &std::collections::BTreeMap<String, drydock_crds::Amount>| {
        (!of.is_empty()).then(|| of.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect())
    };
    ResourceRequirements {
        requests: amounts(&wanted.requests),
        limits: amounts(&wanted.limits),
        ..ResourceRequirements::default()
    }
}
