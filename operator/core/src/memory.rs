use drydock_crds::{ModelDeploymentStatus, OptimizationStatus, RolloutStatus};
use jiff::SignedDuration;

use crate::names;
use crate::plan::{Plan, Wake};

/// What the children cannot tell: read from the status, and replaced whole by each plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub rollout: RolloutStatus,
    pub optimization: Option<OptimizationStatus>,
}

impl Memory {
    pub fn of(status: Option<&ModelDeploymentStatus>) -> Self {
        Self {
            rollout: status.and_then(|s| s.rollout.clone()).unwrap_or_default(),
            optimization: status.and_then(|s| s.optimization.clone()),
        }
    }
}

/// When to look again after a pass that ended with the status `next`. The watch of ModelDeployments tells of specs and not of statuses, most of which are
/// news for people alone; what a plan depends on has to be looked at.
pub fn wake(plan: &Plan, before: &Memory, next: &ModelDeploymentStatus) -> Wake {
    if Memory::of(Some(next)) == *before { plan.wake } else { AT_ONCE }
}

/// The wake of a pass that has changed what the next one depends on.
pub const AT_ONCE: Wake = Wake::After(SignedDuration::ZERO);

/// The names of the children of the revisions that a status speaks of: they are looked for, whatever else is known of them.
pub fn remembered(md: &str, status: Option<&ModelDeploymentStatus>) -> Vec<String> {
    let rollout = status.and_then(|s| s.rollout.as_ref());
    let revisions = rollout.into_iter().flat_map(|r| [&r.stable, &r.canary, &r.previous]).flatten();
    revisions.map(|r| names::revision(md, &r.revision)).collect()
}
