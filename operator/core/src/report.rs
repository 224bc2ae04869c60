//! How it stands, for people and for programs.

mod columns;
mod conditions;
mod story;

use drydock_crds::{ConditionType, ModelDeploymentStatus, Phase, Reason};
use jiff::Timestamp;

use crate::plan::Notice;
use crate::{Applied, Child, ChildKind, Plan, Resolved, SpecErrors, names, record};
use story::Story;

/// The status after a pass; exactly `before` if nothing has changed.
pub fn status(
    before: Option<&ModelDeploymentStatus>,
    generation: i64,
    resolved: &Resolved,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let story = Story::tell(resolved, plan, applied);
    let outlook = &plan.outlook;
    let mut memory = plan.memory.clone();
    let was = before.and_then(|s| s.rollout.as_ref());
    let promoted = was.filter(|was| was.stable.is_some() && was.stable != memory.rollout.stable);
    memory.rollout.unrecorded.retain(|u| !is_recorded(plan, applied, &u.revision));
    if let Some(was) = promoted.filter(|_| !has_switched(resolved, applied)) {
        // A promotion that was not written has not happened, and would one day take away the pods that are still selected.
        // Every other step is kept, or no deadline would pass and no rollback be remembered while a write fails.
        memory.rollout = was.clone();
    }
    let columns = columns::columns(before, plan);
    let mut next = ModelDeploymentStatus {
        observed_generation: Some(generation),
        phase: story.phase,
        candidate: columns.candidate,
        accuracy_change: columns.accuracy_change,
        speedup: columns.speedup,
        size_ratio: columns.size_ratio,
        canary_weight: columns.canary_weight,
        message: story.message.clone(),
        stable: outlook.stable.clone(),
        canary: outlook.canary.clone(),
        optimization: memory.optimization,
        rollout: Some(memory.rollout),
        conditions: Vec::new(),
    };
    let old = before.map(|s| s.conditions.as_slice()).unwrap_or_default();
    let all = conditions::all(plan, &story);
    next.conditions = conditions::dated(old, all, generation, now);
    next
}

/// Whether `NAME` selects what the plan says is stable: what else has failed is done by a later pass.
fn has_switched(resolved: &Resolved, applied: &Applied) -> bool {
    let service = format!("{} {}", ChildKind::Service, names::stable_service(&resolved.name));
    applied.failed.iter().all(|f| f.what != service)
}

fn is_recorded(plan: &Plan, applied: &Applied, revision: &str) -> bool {
    let has_failed = |what: String| applied.failed.iter().any(|f| f.what == what);
    let of_it = |child: &&Child| record::is_of(child, revision);
    plan.writes.iter().find(of_it).is_some_and(|child| !has_failed(child.to_string()))
        // Nothing is said to have happened after a write that has failed.
        || applied.failed.is_empty() && plan.records.iter().any(|child| of_it(&child))
}

/// What is to be announced of a pass after which the status is `next`: all of it, or nothing while a promotion is not remembered. It is
/// announced by the pass that does, and what the others tell of has happened, whatever else has failed.
pub fn announced<'a>(plan: &'a Plan, next: &ModelDeploymentStatus) -> &'a [Notice] {
    let is_remembered = next.rollout.as_ref().is_none_or(|rollout| rollout.stable == plan.memory.rollout.stable);
    if is_remembered { &plan.notices } else { &[] }
}

/// The status of a spec that cannot be worked with, after a pass of [`crate::guard`]: what is served stays served.
pub fn invalid_status(
    before: Option<&ModelDeploymentStatus>,
    generation: i64,
    errors: &SpecErrors,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let mut next = before.cloned().unwrap_or_default();
    let failed = applied.failed.iter().map(ToString::to_string);
    let message: Vec<_> = [errors.to_string()]
        .into_iter()
        .chain(failed)
        .chain(plan.outlook.foreign.clone())
        .chain(plan.outlook.ending.clone())
        .collect();
    let message = message.join("; ");
    next.stable.clone_from(&plan.outlook.stable);
    next.canary.clone_from(&plan.outlook.canary);
    next.canary_weight = columns::canary_weight(plan);
    next.rollout = next.rollout.map(|_| plan.memory.rollout.clone());
    next.observed_generation = Some(generation);
    next.phase = Phase::Failed;
    let verdict = |type_, status| conditions::Verdict::new(type_, status, Reason::InvalidSpec, message.clone());
    let mut all = vec![verdict(ConditionType::Ready, false), verdict(ConditionType::Stalled, true)];
    // What is asked for is not known; what is served is.
    let stay = |type_: ConditionType| next.conditions.iter().find(|c| c.type_ == type_.as_str());
    all.extend(stay(ConditionType::Optimized).map(conditions::Verdict::of));
    all.extend(next.stable.is_some().then(|| conditions::available(plan)));
    all.extend(stay(ConditionType::Progressing).map(conditions::Verdict::of));
    all.extend(stay(ConditionType::HeldBack).map(conditions::Verdict::of));
    next.conditions = conditions::dated(&next.conditions, all, generation, now);
    next.message = message;
    next
}
