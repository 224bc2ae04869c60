//! What a stage asks for: the canary's share of the requests, and its size.

use drydock_contract::Split;
use drydock_crds::{Rollout, RolloutStage, RolloutStatus};

use super::course::course;

/// The weight that the stage asks for, before [`super::cap`]: while the next step is scaled for, that of the one before it.
pub fn wanted_weight(at: &RolloutStatus, policy: &Rollout) -> i32 {
    let course = course(policy);
    let step = usize::try_from(at.step).unwrap_or(0);
    let in_force = match at.stage {
        _ if at.canary.is_none() => None,
        RolloutStage::Idle => None,
        RolloutStage::Holding => course.get(step).or(course.last()),
        RolloutStage::Scaling | RolloutStage::Promoting => {
            step.min(course.len()).checked_sub(1).and_then(|before| course.get(before))
        }
    };
    in_force.map_or(0, |s| s.weight)
}

/// The share of the stable revision's size that the stage needs the canary to have, in percent.
pub fn wanted_size(at: &RolloutStatus, policy: &Rollout) -> i32 {
    match (at.stage, usize::try_from(at.step).ok().and_then(|step| course(policy).get(step).copied())) {
        (RolloutStage::Scaling | RolloutStage::Holding, Some(step)) => step.size,
        _ => 100,
    }
}

/// Names the span of time that counts are taken over: each stage's own.
pub fn window(at: &RolloutStatus) -> String {
    let revision = at.canary.as_ref().map_or("", |c| c.revision.as_str());
    let since = at.since.as_ref().map_or(0, |t| t.0.as_second());
    format!("{revision}-{}-{since}", at.step)
}

/// What the stable pods are told.
pub fn split(at: &RolloutStatus, policy: &Rollout, weight: i32) -> Option<Split> {
    let canary = at.canary.as_ref()?;
    let weight = u8::try_from(weight.clamp(0, 100)).ok().filter(|w| *w > 0)?;
    let compare = if policy.analysis.min_agreement.is_some() { policy.analysis.compare_percentage } else { 0 };
    Some(Split {
        weight,
        revision: canary.revision.clone(),
        window: window(at),
        compare: u8::try_from(compare.clamp(0, 100)).unwrap_or(0),
        timeout_milliseconds: u32::try_from(policy.analysis.timeout_milliseconds).unwrap_or(1),
        ..Split::default()
    })
}
