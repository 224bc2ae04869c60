//! What a stage asks for: the canary's share of the requests, and its size.

use drydock_contract::Split;
use drydock_crds::{FeedbackMetric, RequestKey, RequestMatch, RolloutStage, RolloutStatus, Router};

use super::course::Step;
use super::{Rules, cap, synthetic};

/// The step whose shares are in force: while the next one is scaled for, the one before it. A step that was held already keeps its
/// own while it is scaled for again.
fn in_force(at: &RolloutStatus, course: &[Step]) -> Option<Step> {
    at.canary.as_ref()?;
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
pub fn wanted_weight(at: &RolloutStatus, course: &[Step]) -> i32 {
    in_force(at, course).map_or(0, |s| s.weight)
}

/// The share of the stable revision's size that the stage needs the canary to have, in percent.
pub fn wanted_size(at: &RolloutStatus, course: &[Step]) -> i32 {
    match (at.stage, usize::try_from(at.step).ok().and_then(|step| course.get(step))) {
        (RolloutStage::Scaling | RolloutStage::Holding, Some(step)) => step.size,
        _ => 100,
    }
}

/// Names the span of time that counts are taken over: each stage's own. Those of an A/B test go on while its canary is scaled for again.
pub fn window(at: &RolloutStatus) -> String {
    let revision = at.canary.as_ref().map_or("", |c| c.revision.as_str());
    let is_on = matches!(at.stage, RolloutStage::Scaling | RolloutStage::Holding);
    if let Some(test) = at.ab_test.as_ref().filter(|t| is_on && t.revision == revision) {
        return test.window.clone();
    }
    let since = at.since.as_ref().map_or(0, |t| t.0.as_second());
    format!("{revision}-{}-{since}", at.step)
}

/// What the pods are told: the canary, with so many ready pods, gets `weight` percent, as [`super::cap`] leaves it, and what
/// copies it can take besides.
pub fn split(at: &RolloutStatus, rules: Rules<'_>, weight: i32, canary_ready: i32, stable_ready: i32) -> Option<Split> {
    let Rules { policy, course } = rules;
    let canary = at.canary.as_ref()?;
    let step = in_force(at, course).filter(|_| canary_ready > 0)?;
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
        metrics: policy.analysis.metrics.iter().map(FeedbackMetric::told).collect(),
        tolerance: policy.analysis.tolerance.iter().map(|(output, t)| (output.clone(), t.told())).collect(),
        synthetic_milliseconds: synthetic::milliseconds(policy.analysis.synthetic_per_second, stable_ready),
        replaced: false,
    });
    match policy.router {
        Router::Sidecar => split,
        // The routes send; the pods of both revisions count what they answer.
        Router::Gateway => {
            split.map(|s| Split { weight: 0, compare: 0, matches: Vec::new(), synthetic_milliseconds: 0, ..s })
        }
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
pub fn shares(at: &RolloutStatus, rules: Rules<'_>, weight: i32, canary_ready: i32) -> Shares {
    let Rules { policy, course } = rules;
    if in_force(at, course).is_none() || canary_ready <= 0 {
        return Shares::default();
    }
    let headers = policy.matches.iter().filter_map(|m| Some((m.header.clone()?, m.value.clone()))).collect();
    Shares { weight, headers }
}
