//! What stands in a namespace, without what differs between two runs that did the same.

use std::fmt::Write as _;

use anyhow::Result;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

/// The kinds of children, and whose they are.
const KINDS: [(&str, &str, &str, &str); 8] = [
    ("drydock.dev", "v1alpha1", "ModelDeployment", "modeldeployments"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "v1", "Service", "services"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions"),
    ("apps", "v1", "Deployment", "deployments"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("batch", "v1", "Job", "jobs"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
];

/// Of the API server and its controllers, and times.
const PASSING: [&str; 28] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "ownerReferences",
    "clusterIP",
    "clusterIPs",
    "volumeName",
    "lastTransitionTime",
    "since",
    "stepSince",
    "at",
    "from",
    "until",
    "promotedAt",
    "endedAt",
    "startedAt",
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
    "deployment.kubernetes.io/revision",
    "pv.kubernetes.io/bind-completed",
    "observedGeneration",
    "revision-number",
    "time",
    "finalizers",
    // It begins with a time, and the hash has the owner's uid in it.
    "window",
    "drydock.dev/applied",
];

async fn objects(client: &Client, namespace: &str) -> Result<Vec<(&'static str, DynamicObject)>> {
    let mut all = Vec::new();
    for (group, version, kind, plural) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        all.extend(api.list(&ListParams::default()).await?.into_iter().map(|object| (kind, object)));
    }
    Ok(all)
}

pub async fn names(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let all = objects(client, namespace).await?;
    Ok(all.iter().map(|(kind, object)| format!("{kind} {}", object.name_any())).collect())
}

/// A line for each value that lasts.
pub async fn of(client: &Client, namespace: &str) -> Result<String> {
    let mut text = String::new();
    for (kind, object) in objects(client, namespace).await? {
        let name = object.name_any();
        let mut value = serde_json::to_value(object)?;
        if kind != "ModelDeployment" {
            // The controllers' own; the pods are counted in ours.
            value.as_object_mut().map(|o| o.remove("status"));
        }
        write_lines(&mut text, &format!("{kind} {name}"), &value, namespace);
    }
    Ok(text)
}

fn write_lines(text: &mut String, path: &str, value: &Value, namespace: &str) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter().filter(|(key, _)| !PASSING.contains(&key.as_str())) {
                write_lines(text, &format!("{path}.{key}"), field, namespace);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                write_lines(text, &format!("{path}[{i}]"), item, namespace);
            }
        }
        // A record is JSON in an annotation.
        Value::String(json) if json.starts_with('{') && serde_json::from_str::<Value>(json).is_ok() => {
            let inner = serde_json::from_str(json).unwrap_or_default();
            write_lines(text, path, &inner, namespace);
        }
        leaf => {
            let leaf = leaf.to_string().replace(namespace, "NAMESPACE");
            let _ = writeln!(text, "{path} = {leaf}");
        }
    }
}

/// The lines that only one of them has.
pub fn difference(expected: &str, found: &str) -> String {
    let lost = expected.lines().filter(|line| !found.lines().any(|l| l == *line)).map(|line| format!("- {line}"));
    let new = found.lines().filter(|line| !expected.lines().any(|l| l == *line)).map(|line| format!("+ {line}"));
    lost.chain(new).collect::<Vec<_>>().join("\n")
}
