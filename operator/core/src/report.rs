use drydock_crds::ModelDeploymentStatus;
use jiff::Timestamp;

use crate::{Applied, Plan, Resolved, SpecErrors};

/// The status after a pass; exactly `before` if nothing has changed.
pub fn status(
    before: Option<&ModelDeploymentStatus>,
    generation: i64,
    resolved: &Resolved,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let _ = (resolved, plan, applied, now);
    ModelDeploymentStatus { observed_generation: Some(generation), ..before.cloned().unwrap_or_default() }
}

/// The status of a spec that cannot be worked with: what is served stays served.
pub fn invalid_status(
    before: Option<&ModelDeploymentStatus>,
    generation: i64,
    errors: &SpecErrors,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let _ = (errors, now);
    ModelDeploymentStatus { observed_generation: Some(generation), ..before.cloned().unwrap_or_default() }
}
