//! Pods of which nobody has told the name yet.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use crate::labels::{self, is_controlled_by, label};
use crate::pod_state;

/// Whether Jobs and Deployments, as they are now, speak of more pods than there are in `pods`: a planner that takes "not seen" for "not there" would
/// do finished work again, and measure a canary by a part of the stable pods.
pub fn pods_are_missing(jobs: &[Job], deployments: &[Deployment], pods: &[Pod]) -> bool {
    let of_job = |job: &Job| {
        let status = job.status.as_ref();
        let counts = status.map(|s| [s.active, s.succeeded, s.failed]).unwrap_or_default();
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let found = pods.iter().filter(|p| is_controlled_by(&p.metadata, uid)).count();
        is_more(counts.into_iter().flatten().sum(), found)
    };
    let of_deployment = |deployment: &Deployment| {
        let replicas = deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or_default();
        let revision = label(&deployment.metadata, labels::REVISION);
        let found = pods.iter().filter(|p| label(&p.metadata, labels::REVISION) == revision && is_counted(p)).count();
        is_more(replicas, found)
    };
    jobs.iter().any(of_job) || deployments.iter().any(of_deployment)
}

/// As a ReplicaSet counts: neither on its way out nor at its end.
fn is_counted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !matches!(pod_state::phase(pod), Some("Failed" | "Succeeded"))
}

fn is_more(spoken_of: i32, found: usize) -> bool {
    usize::try_from(spoken_of).is_ok_and(|spoken_of| spoken_of > found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pods(all: &[Value]) -> Vec<Pod> {
        all.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect()
    }

    fn serving(revision: &str) -> Value {
        json!({"metadata": {"labels": {labels::REVISION: revision}}, "status": {"phase": "Running"}})
    }

    #[test]
    fn of_a_deployment() {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"labels": {labels::REVISION: "a"}}, "spec": {"selector": {}, "template": {}}, "status": {"replicas": 2},
        }))
        .unwrap();
        let ending =
            json!({"metadata": {"labels": {labels::REVISION: "a"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let failed = json!({"metadata": {"labels": {labels::REVISION: "a"}}, "status": {"phase": "Failed"}});
        for (found, missing) in [
            (vec![], true),
            (vec![serving("a")], true),
            (vec![serving("a"), serving("b")], true),
            (vec![serving("a"), ending], true),
            (vec![serving("a"), failed], true),
            (vec![serving("a"), serving("a")], false),
            (vec![serving("a"), serving("a"), serving("a")], false),
        ] {
            assert_eq!(pods_are_missing(&[], std::slice::from_ref(&deployment), &pods(&found)), missing, "{found:?}");
        }
        assert!(!pods_are_missing(&[], &[Deployment { status: None, ..deployment }], &[]));
    }

    #[test]
    fn of_a_job() {
        let of = |uid: &str| {
            json!({"metadata": {"ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": uid, "controller": true}]}})
        };
        for (status, found, missing) in [
            (json!({}), vec![], false),
            (json!({"active": 1}), vec![], true),
            (json!({"active": 1}), vec![of("another")], true),
            (json!({"active": 1}), vec![of("u")], false),
            (json!({"active": 1, "succeeded": 1, "failed": 1}), vec![of("u"), of("u")], true),
            (json!({"active": 1, "succeeded": 1, "failed": 1}), vec![of("u"), of("u"), of("u")], false),
        ] {
            let job: Job =
                serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": {"template": {}}, "status": status}))
                    .unwrap();
            assert_eq!(pods_are_missing(&[job], &[], &pods(&found)), missing, "{status} {found:?}");
        }
    }
}
