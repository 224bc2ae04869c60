//! What a stage asks for: the canary's share of the requests, and its size.

use drydock_contract::Split;
use drydock_crds::{RequestKey, RequestMatch, Rollout, RolloutStage, RolloutStatus, Router};

use super::cap;
use super::course::{Step, course};

/// The step whose shares are in force: while the next one is scaled for, the one before it. A step that was held already keeps its
/// own while it is scaled for again.
fn in_force(at: &RolloutStatus, policy: &Rollout) -> Option<Step> {
    at.canary.as_ref()?;
    let course = course(policy);
    let step = usize::try_from(at.step).unwrap_or(0);
    let in_force = match at.stage {
        RolloutStage::Idle => None,
        RolloutStage::Holding => course.get(step).or(course.last()),
        RolloutStage::Scaling if at.held => course.get(step).or(course.last()),
        RolloutStage::Scaling | RolloutStage::Promoting => {
            step.min(course.len()).checked_sub(1).and_then(|before| course.get(before))
        }
    };
    in_force.copied()
}

/// The weight that the stage asks for, before [`super::cap`].
pub fn wanted_weight(at: &RolloutStatus, policy: &Rollout) -> i32 {
    in_force(at, policy).map_or(0, |s| s.weight)
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

/// What the pods are told: the canary, with so many ready pods, gets `weight` percent, as [`super::cap`] leaves it, and what
/// copies it can take besides.
pub fn split(at: &RolloutStatus, policy: &Rollout, weight: i32, canary_ready: i32, stable_ready: i32) -> Option<Split> {
    let canary = at.canary.as_ref()?;
    let step = in_force(at, policy).filter(|_| canary_ready > 0)?;
    let percent = |n: i32| u8::try_from(n.clamp(0, 100)).unwrap_or(0);
    let matches: Vec<_> = policy.matches.iter().filter_map(RequestMatch::told).collect();
    // Whole requests come first: a copy that finds no room is no loss.
    let shadow = percent(cap(100, canary_ready, stable_ready).saturating_sub(weight).min(step.shadow));
    let weight = percent(weight);
    let compares = policy.analysis.min_agreement.is_some();
    let split = (weight > 0 || shadow > 0 || !matches.is_empty()).then(|| Split {
        weight,
        revision: canary.revision.clone(),
        window: window(at),
        compare: percent(if compares { policy.analysis.compare_percentage } else { 0 }),
        timeout_milliseconds: u32::try_from(policy.analysis.timeout_milliseconds).unwrap_or(1),
        matches,
        sticky: policy.sticky.as_ref().and_then(RequestKey::told),
        shadow,
    });
    match policy.router {
        Router::Sidecar => split,
        // The routes send; the pods of both revisions count what they answer.
        Router::Gateway => split.map(|s| Split { weight: 0, compare: 0, matches: Vec::new(), ..s }),
    }
}

/// What a gateway's routes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Percent of the requests that go to the canary.
    pub weight: i32,
    /// Headers, and the values with which a request goes to the canary whatever the weight.
    pub headers: Vec<(String, String)>,
}

/// As [`split`], for the routes. Without a canary, or before it may get anything: every request is the stable revision's.
pub fn shares(at: &RolloutStatus, policy: &Rollout, weight: i32, canary_ready: i32) -> Shares {
    if canary_ready <= 0 || in_force(at, policy).is_none() {
        return Shares::default();
    }
    let headers = policy.matches.iter().filter_map(|m| Some((m.header.clone()?, m.value.clone()))).collect();
    Shares { weight, headers }
}
