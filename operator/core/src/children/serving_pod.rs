use std::collections::BTreeMap;

use drydock_contract::SPLIT_ANNOTATION;
use k8s_openapi::DeepMerge as _;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EnvVar, HTTPGetAction,
    ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize as _;
use serde_json::Value;

use super::security;
use crate::labels::serving_labels;
use crate::revision::{BASE_MEMORY, RevisionTemplate};
use crate::{Resolved, names, quantity};

/// The container that serves; an overlay may change it by this name.
pub const CONTAINER: &str = "inference-sidecar";
pub const SERVICE_HTTP_PORT: i32 = 80;
pub const SERVICE_GRPC_PORT: i32 = 8081;
const HTTP_PORT: i32 = 8080;
const GRPC_PORT: i32 = 8081;
const ADMIN_PORT: i32 = 8082;

pub fn template(r: &Resolved, revision: &str, template: &RevisionTemplate) -> PodTemplateSpec {
    let mut pod = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(serving_labels(&r.name, revision)), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            containers: vec![container(r, revision, template)],
            volumes: Some(vec![split_volume(), store_volume(template)]),
            security_context: Some(security::pod()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            // Longer than the sidecar takes to end: it waits for its removal from the endpoints, then for requests in flight.
            termination_grace_period_seconds: Some(40),
            ..PodSpec::default()
        }),
    };
    if let Some(overlay) = &template.overlay {
        pod.merge_from(PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(overlay.labels.clone()),
                annotations: (!overlay.annotations.is_empty()).then(|| overlay.annotations.clone()),
                ..ObjectMeta::default()
            }),
            // `resolve` has read it before; what an older operator accepted and this one cannot read is left out.
            spec: PodSpec::deserialize(Value::Object(overlay.spec.clone())).ok(),
        });
    }
    pod
}

fn container(r: &Resolved, revision: &str, template: &RevisionTemplate) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(template.image.clone()),
        image_pull_policy: template.image_pull_policy.clone(),
        args: Some(vec!["serve".to_owned()]),
        env: Some(environment(r, revision, template)),
        ports: Some([("http", HTTP_PORT), ("grpc", GRPC_PORT), ("admin", ADMIN_PORT)].map(port).to_vec()),
        resources: Some(resources(template)),
        // A model that loads slowly is given ten minutes; one that loads fast is ready within a second.
        startup_probe: Some(probe("/v2/health/ready", 1, 600)),
        readiness_probe: Some(probe("/v2/health/ready", 5, 2)),
        liveness_probe: Some(probe("/v2/health/live", 10, 3)),
        volume_mounts: Some(vec![
            VolumeMount {
                name: "split".into(),
                mount_path: "/etc/drydock".into(),
                read_only: Some(true),
                ..VolumeMount::default()
            },
            VolumeMount {
                name: "store".into(),
                mount_path: "/store".into(),
                read_only: Some(true),
                ..VolumeMount::default()
            },
        ]),
        security_context: Some(security::container()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn environment(r: &Resolved, revision: &str, template: &RevisionTemplate) -> Vec<EnvVar> {
    let canary = format!("http://{}.{}", names::canary_service(&r.name), r.namespace);
    let hex = template.package.trim_start_matches("sha256:");
    let mut env = vec![
        ("DRYDOCK_PACKAGE", format!("/store/packages/{hex}")),
        ("DRYDOCK_DIGEST", template.package.clone()),
        ("DRYDOCK_MODEL_NAME", r.name.clone()),
        ("DRYDOCK_REVISION", revision.to_owned()),
        ("DRYDOCK_SPLIT_FILE", "/etc/drydock/split".to_owned()),
        ("DRYDOCK_CANARY_HTTP", format!("{canary}:{SERVICE_HTTP_PORT}")),
        ("DRYDOCK_CANARY_GRPC", format!("{canary}:{SERVICE_GRPC_PORT}")),
    ];
    let resources = resources(template);
    if !resources.limits.as_ref().is_some_and(|l| l.contains_key("cpu")) {
        // With a limit the sidecar reads its quota; without one it would see all cores of the node.
        env.push(("DRYDOCK_SESSIONS", sessions(&resources).to_string()));
    }
    if let Some(batching) = &template.batching {
        env.push(("DRYDOCK_BATCH_MAX_SIZE", batching.max_size.to_string()));
        env.push(("DRYDOCK_BATCH_MAX_DELAY_MILLISECONDS", batching.max_delay_milliseconds.to_string()));
    }
    env.into_iter()
        .map(|(name, value)| EnvVar { name: name.to_owned(), value: Some(value), value_from: None })
        .collect()
}

/// What the spec leaves open is filled in: CPU to begin with, and memory as it was measured, for each session.
fn resources(template: &RevisionTemplate) -> ResourceRequirements {
    let mut resources = template.resources.clone().unwrap_or_default();
    if cpu(&resources).is_none() {
        resources.requests.get_or_insert_default().insert("cpu".to_owned(), Quantity("500m".to_owned()));
    }
    let says_memory =
        |list: &Option<BTreeMap<String, Quantity>>| list.as_ref().is_some_and(|l| l.contains_key("memory"));
    if !says_memory(&resources.requests) && !says_memory(&resources.limits) {
        let more = template.memory_bytes.saturating_sub(BASE_MEMORY).saturating_mul(sessions(&resources) - 1);
        let memory = Quantity(format!("{}Mi", template.memory_bytes.saturating_add(more) / (1024 * 1024)));
        resources.requests.get_or_insert_default().insert("memory".to_owned(), memory.clone());
        resources.limits.get_or_insert_default().insert("memory".to_owned(), memory);
    }
    resources
}

/// Cores that the container may count on.
fn cpu(resources: &ResourceRequirements) -> Option<f64> {
    let says =
        |list: &Option<BTreeMap<String, Quantity>>| list.as_ref()?.get("cpu").and_then(|q| quantity::value(&q.0));
    says(&resources.limits).or_else(|| says(&resources.requests))
}

/// One for each core: each has its own copy of the weights, so a pod must not make one for each core of a large node.
fn sessions(resources: &ResourceRequirements) -> u64 {
    cpu(resources).unwrap_or(1.0).ceil().max(1.0) as u64
}

fn port((name, port): (&str, i32)) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            // The kubelet's own: what users do to the others must not have the pod restarted.
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// The pod reads its own annotation: no token in the pod, no call to it, and the last value outlives the operator.
fn split_volume() -> Volume {
    Volume {
        name: "split".to_owned(),
        downward_api: Some(DownwardAPIVolumeSource {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "split".to_owned(),
                field_ref: Some(ObjectFieldSelector {
                    field_path: format!("metadata.annotations['{SPLIT_ANNOTATION}']"),
                    ..ObjectFieldSelector::default()
                }),
                ..DownwardAPIVolumeFile::default()
            }]),
            ..DownwardAPIVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn store_volume(template: &RevisionTemplate) -> Volume {
    Volume {
        name: "store".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: template.claim.clone(),
            read_only: None,
        }),
        ..Volume::default()
    }
}
