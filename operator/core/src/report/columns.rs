use drydock_crds::{CandidateStatus, ModelDeploymentStatus};

use crate::Plan;

/// What `kubectl get` shows.
#[derive(Default)]
pub struct Columns {
    pub candidate: String,
    pub accuracy_change: String,
    pub speedup: String,
    pub size_ratio: String,
    pub canary_weight: String,
}

/// Of what is served; of what is on its way while nothing is.
pub fn columns(before: Option<&ModelDeploymentStatus>, plan: &Plan) -> Columns {
    let rollout = &plan.memory.rollout;
    let canary_weight = canary_weight(plan);
    let Some(shown) = rollout.stable.as_ref().or(plan.outlook.target.as_ref()) else {
        return Columns { canary_weight, ..Columns::default() };
    };
    let candidates = plan.memory.optimization.as_ref().map(|o| o.candidates.as_slice()).unwrap_or_default();
    let measured = candidates.iter().find(|c| c.name == shown.candidate && c.package.as_ref() == Some(&shown.package));
    let mut columns = match measured {
        Some(c) => numbers(c),
        // Another task's candidates are remembered by now; what is served is still what it was.
        None => before.filter(|b| b.candidate == shown.candidate).map(kept).unwrap_or_default(),
    };
    columns.candidate.clone_from(&shown.candidate);
    Columns { canary_weight, ..columns }
}

pub fn canary_weight(plan: &Plan) -> String {
    plan.memory.rollout.canary.as_ref().map(|_| format!("{}%", plan.outlook.weight)).unwrap_or_default()
}

fn numbers(c: &CandidateStatus) -> Columns {
    Columns {
        accuracy_change: c.accuracy_change.map(|a| format!("{a:+.2}")).unwrap_or_default(),
        speedup: c.speedup.map(|s| format!("{s:.2}x")).unwrap_or_default(),
        size_ratio: c.size_ratio.map(|r| format!("{:.1}%", r * 100.0)).unwrap_or_default(),
        ..Columns::default()
    }
}

fn kept(before: &ModelDeploymentStatus) -> Columns {
    Columns {
        accuracy_change: before.accuracy_change.clone(),
        speedup: before.speedup.clone(),
        size_ratio: before.size_ratio.clone(),
        ..Columns::default()
    }
}
