//! What `kubectl wait`, Flux and Argo CD make of a status (sigs.k8s.io/cli-utils, pkg/kstatus).

use std::collections::BTreeSet;

use drydock_crds::{ModelDeployment, ModelDeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    InProgress,
    Failed,
    Current,
}

pub fn read(md: &ModelDeployment) -> Reading {
    let Some(status) = md.status.as_ref().filter(|s| s.observed_generation == md.metadata.generation) else {
        return Reading::InProgress;
    };
    let is_true = |type_: &str| find(status, type_).is_some_and(|c| c.status == "True");
    match (is_true("Reconciling"), is_true("Stalled"), find(status, "Ready")) {
        (true, _, _) => Reading::InProgress,
        (_, true, _) => Reading::Failed,
        (_, _, Some(ready)) if ready.status != "True" => Reading::InProgress,
        _ => Reading::Current,
    }
}

/// What holds of a status that a pass over this generation has written, and of what it was before.
pub fn holds_together(before: &ModelDeploymentStatus, status: &ModelDeploymentStatus, generation: Option<i64>) {
    assert_eq!(status.observed_generation, generation);
    let types: BTreeSet<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(types.len(), status.conditions.len(), "told twice: {status:?}");
    for c in &status.conditions {
        assert_eq!(c.observed_generation, generation, "{c:?}");
        let was = find(before, &c.type_).filter(|was| was.status == c.status);
        assert!(was.is_none_or(|was| was.last_transition_time == c.last_transition_time), "{c:?} was {was:?}");
    }
    let ready = find(status, "Ready").unwrap();
    let [reconciling, stalled] = ["Reconciling", "Stalled"].map(|type_| find(status, type_));
    for c in [reconciling, stalled].into_iter().flatten() {
        assert_eq!((c.status.as_str(), &c.reason, &c.message), ("True", &ready.reason, &ready.message), "{status:?}");
    }
    assert!(reconciling.is_none() || stalled.is_none(), "{status:?}");
    // One that is suspended goes nowhere, and nothing is wrong with it.
    let is_told = reconciling.is_some() || stalled.is_some() || ready.reason == "Suspended";
    assert!(ready.status == "True" || is_told, "not ready, and nothing comes of it: {status:?}");
    assert!(ready.status == "False" || stalled.is_none(), "{status:?}");
}

fn find<'a>(status: &'a ModelDeploymentStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == type_)
}
