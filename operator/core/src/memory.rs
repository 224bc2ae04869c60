use drydock_crds::{ModelDeploymentStatus, OptimizationStatus, RolloutStatus};

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
