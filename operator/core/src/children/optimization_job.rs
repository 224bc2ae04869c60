use drydock_contract::{FailureReason, TASK_ENV};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, ImageVolumeSource, PersistentVolumeClaimVolumeSource, PodSpec,
    PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{metadata, security};
use crate::job_state;
use crate::labels::{Component, labels};
use crate::resolved::Mount;
use crate::{Resolved, names};

pub const CONTAINER: &str = "optimizer";
/// Tries of one candidate after the first, at 10 s, 20 s, 40 s and so on.
const RETRIES: i32 = 6;

/// Two at once would spoil each other's timings.
const ONE_AT_A_TIME: i32 = 1;

/// Makes and measures the candidates: one index for each.
///
/// Of one that exists only `suspend`, `parallelism` and the deadline can change, and are put right. The rest of its spec is
/// kept as it is, also when a newer operator would make it otherwise: the name says that its result is the same.
pub fn optimization_job(r: &Resolved, existing: Option<&Job>) -> Job {
    let work = &r.optimization;
    let completions = i32::try_from(work.task.candidates()).unwrap_or(i32::MAX);
    let mut spec = existing.and_then(|j| j.spec.clone()).unwrap_or_else(|| JobSpec {
        completion_mode: Some("Indexed".to_owned()),
        completions: Some(completions),
        parallelism: Some(ONE_AT_A_TIME),
        backoff_limit_per_index: Some(RETRIES),
        pod_failure_policy: Some(failure_policy()),
        template: pod(r),
        ..JobSpec::default()
    });
    if !existing.is_some_and(job_state::is_finished) {
        spec.parallelism = Some(ONE_AT_A_TIME);
        spec.active_deadline_seconds = Some(work.deadline_seconds);
        spec.suspend = Some(r.suspend);
    }
    Job {
        metadata: metadata(r, names::optimization_job(&r.name, &work.hash), labels(&r.name, Component::Optimization)),
        spec: Some(spec),
        status: None,
    }
}

fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            // Evicted or preempted: no fault of the candidate, and not counted as a try.
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: Some("True".to_owned()),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailIndex".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: FailureReason::TERMINAL_EXIT_CODES.to_vec(),
                }),
                on_pod_conditions: None,
            },
        ],
    }
}

fn pod(r: &Resolved) -> PodTemplateSpec {
    let work = &r.optimization;
    let mut volumes = vec![
        Volume { name: "tmp".to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() },
        Volume {
            name: "store".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: names::claim(&r.name),
                read_only: None,
            }),
            ..Volume::default()
        },
    ];
    let mut mounts = vec![mount("tmp", "/tmp".to_owned(), false), mount("store", work.task.store.clone(), false)];
    for (name, source) in &work.mounts {
        volumes.push(source_volume(name, source, r));
        mounts.push(mount(name, format!("/sources/{name}"), true));
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(&r.name, Component::Optimization)), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: CONTAINER.to_owned(),
                image: Some(work.image.clone()),
                image_pull_policy: work.image_pull_policy.clone(),
                args: Some(vec!["job".to_owned()]),
                env: Some(vec![env(TASK_ENV, work.task_json.clone()), env("TMPDIR", "/tmp".to_owned())]),
                resources: Some(work.resources.clone()),
                volume_mounts: Some(mounts),
                security_context: Some(security::container()),
                termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
                ..Container::default()
            }],
            volumes: Some(volumes),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(security::pod()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            ..PodSpec::default()
        }),
    }
}

fn source_volume(name: &str, source: &Mount, r: &Resolved) -> Volume {
    let mut volume = Volume { name: name.to_owned(), ..Volume::default() };
    match source {
        Mount::Claim(claim) => {
            volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                // The mount is read-only. The volume is not, since one pod may use a claim for several things.
                read_only: None,
            });
        }
        Mount::Image(image) => {
            volume.image = Some(ImageVolumeSource {
                reference: Some(image.clone()),
                pull_policy: r.optimization.image_pull_policy.clone(),
            });
        }
    }
    volume
}

fn mount(name: &str, path: String, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn env(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), value_from: None }
}
