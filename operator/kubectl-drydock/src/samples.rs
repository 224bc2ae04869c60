//! Objects for tests: by hand, and as they lie in a cluster of values on which the operator has worked.

#[path = "../../core/tests/simulation/mod.rs"]
pub mod simulation;

use drydock_crds::ModelDeployment;
use serde_json::{Value, json};
use simulation::Cluster;
use simulation::fixtures::fashion;

/// `m` in `ns`, with `change` over it.
pub fn model_deployment(change: &Value) -> ModelDeployment {
    let mut object = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": { "name": "m", "namespace": "ns", "uid": "u", "generation": 1 },
        "spec": { "model": { "source": { "pvc": { "claimName": "c", "path": "m.onnx" } } } },
    });
    merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

fn merge(object: &mut Value, change: &Value) {
    match (object, change) {
        (Value::Object(object), Value::Object(change)) => {
            for (key, value) in change {
                merge(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (object, change) => *object = change.clone(),
    }
}

pub fn condition(type_: &str, status: bool, reason: &str) -> Value {
    json!({
        "type": type_, "status": if status { "True" } else { "False" }, "reason": reason, "message": "a message",
        "lastTransitionTime": "2023-11-14T22:13:20Z",
    })
}

pub fn revision(name: &str) -> Value {
    json!({ "revision": name, "candidate": "int8", "package": format!("sha256:{name}") })
}

/// The record of a revision of [`model_deployment`], as the API server has it.
pub fn recorded(name: &str, number: i64, package: &str, record: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": format!("m-{name}"), "namespace": "ns", "uid": format!("uid-{name}"),
            "labels": { "drydock.dev/name": "m", "drydock.dev/revision": name },
            "annotations": { "drydock.dev/record": record.to_string() },
            "ownerReferences": [{ "apiVersion": "drydock.dev/v1alpha1", "kind": "ModelDeployment", "name": "m", "uid": "u", "controller": true }],
        },
        "data": { "package": package, "candidate": "int8" },
        "revision": number,
    })
}

/// Serves its first revision.
pub fn served() -> Cluster {
    let mut cluster = Cluster::new(fashion());
    cluster.settle(120);
    cluster
}

/// The canary of a new version is in its first step.
pub fn with_canary() -> Cluster {
    let mut cluster = served();
    next_version(&mut cluster);
    run(&mut cluster, 11);
    cluster
}

/// A change of what serves, not of what is measured.
pub fn next_version(cluster: &mut Cluster) {
    cluster.edit(|spec| spec.serving.image = Some("sidecar:2".into()));
}

pub fn run(cluster: &mut Cluster, seconds: usize) {
    for _ in 0..seconds {
        cluster.reconcile(None);
        cluster.second();
    }
}

/// Revisions as letters, hashes of Jobs as `#`: they change with every field.
pub fn plain(cluster: &Cluster, text: &str) -> String {
    let mut text = text.to_owned();
    for (i, c) in cluster.observed.revisions.iter().enumerate() {
        let revision = &c.metadata.labels.as_ref().unwrap()["drydock.dev/revision"];
        text = text.replace(revision, &char::from(b'A' + u8::try_from(i).unwrap()).to_string());
    }
    let mut parts = text.split("-opt-");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("-opt-#");
        plain.push_str(part.get(8..).unwrap_or_default());
    }
    plain
}
