//! How one revision takes the place of another: a state machine, as data.
//!
//! ```text
//!            ┌──────────── pods lost ───────────┐
//!            ▼                                  │
//! Idle ─▶ Scaling(0) ─▶ Holding(0) ─▶ Scaling(1) ─▶ Holding(1) ─▶ … ─▶ Promoting ─▶ Idle
//!            └──────────────┴── worse, broken, too late: rolled back ──────┴──▶ Idle
//! ```

mod analysis;
mod capacity;
mod share;

use drydock_contract::SplitWindow;
use drydock_crds::{FailedRevision, OnNotEnoughEvidence, Reason, RevisionStatus, Rollout, RolloutStage, RolloutStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use analysis::{judge, lacks, sum};
pub use capacity::{cap, needed};
pub use share::{split, wanted_size, wanted_weight, window};

use crate::plan::Notice;

/// What the rollout depends on, seen now.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on one another")]
pub struct Signals {
    pub suspended: bool,
    /// What the spec asks for; `None` while it is not known.
    pub target: Option<RevisionStatus>,
    /// Whether the stable revision is there, or can be made from its record.
    pub stable_is_known: bool,
    pub stable_ready: i32,
    /// Whether a pod of it has been ready for long enough that its Service reaches it.
    pub stable_is_reachable: bool,
    /// As many as the stable revision should have.
    pub stable_desired: i32,
    /// Whether `<name>` selects the stable revision already.
    pub flipped: bool,
    pub canary_ready: i32,
    /// Why the canary cannot stay up.
    pub canary_crash: Option<String>,
    /// What the canary's pods say of themselves.
    pub canary_excuse: Option<String>,
    /// Seen by the stable pods in the window of [`window`].
    pub counts: SplitWindow,
    /// Stable pods that send requests to the canary and do not say what became of them.
    pub silent: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub next: RolloutStatus,
    /// What to tell; empty if nothing happened.
    pub because: Vec<Notice>,
}

/// One step on, if it is time for one.
pub fn advance(at: &RolloutStatus, s: &Signals, policy: &Rollout, now: Timestamp) -> Transition {
    let mut next = at.clone();
    if next.stable.is_some() && !s.stable_is_known {
        // Its record and its Deployment are gone: there is nothing to go on with, or to compare with.
        next = RolloutStatus { failed: next.failed, ..RolloutStatus::default() };
    }
    if next.stable.is_some() && s.stable_is_reachable {
        next.stable_was_ready = true;
        if next.canary.is_none() {
            next.since = None;
        }
    }
    if s.flipped && next.previous_until.as_ref().is_none_or(|until| until.0 <= now) {
        next.previous = None;
        next.previous_until = None;
    }
    if s.suspended {
        // The clock stands still: the stage begins again when the rollout goes on.
        if next.canary.is_some() {
            next.since = None;
            next.step_since = None;
        }
        return Transition { next, because: Vec::new() };
    }
    if next.canary.is_some() && next.since.is_none() {
        next.since = Some(whole_seconds(now));
        next.step_since.clone_from(&next.since);
    }
    towards(next, s, policy, now)
}

fn towards(mut next: RolloutStatus, s: &Signals, policy: &Rollout, now: Timestamp) -> Transition {
    let Some(target) = &s.target else {
        // The spec asks for something else, and nobody knows yet what: what it asked for before is not it.
        let because = superseded(&mut next, "the spec changed");
        return Transition { next, because };
    };
    if next.failed.as_ref().is_some_and(|f| f.revision != target.revision) {
        next.failed = None;
    }
    let is_stable = |of: &RolloutStatus| of.stable.as_ref().is_some_and(|r| r.revision == target.revision);
    if is_stable(&next) {
        let because = superseded(&mut next, "the spec asks for the stable revision again");
        return Transition { next, because };
    }
    let nobody_to_protect =
        next.stable.is_none() || !next.stable_was_ready || (s.stable_desired == 0 && s.stable_ready == 0);
    if nobody_to_protect {
        let mut because = superseded(&mut next, "the spec changed");
        next.stable = Some(target.clone());
        next.stable_was_ready = false;
        next.since = Some(whole_seconds(now));
        next.failed = None;
        because.push(Notice::normal(
            Reason::Deploying,
            format!("revision {} (candidate {}) starts", target.revision, target.candidate),
        ));
        return Transition { next, because };
    }
    if next.failed.is_some() {
        let because = superseded(&mut next, "the spec asks for a revision that was rolled back");
        return Transition { next, because };
    }
    match &next.canary {
        Some(canary) if canary.revision == target.revision => proceed(next, s, policy, now),
        _ => start(next, target, policy, now),
    }
}

/// Drops the canary, if there is one.
fn superseded(next: &mut RolloutStatus, why: &str) -> Vec<Notice> {
    let Some(canary) = next.canary.take() else { return Vec::new() };
    idle(next);
    vec![Notice::normal(Reason::Superseded, format!("canary {} is dropped: {why}", canary.revision))]
}

fn idle(next: &mut RolloutStatus) {
    next.stage = RolloutStage::Idle;
    next.step = 0;
    next.since = None;
    next.step_since = None;
    next.analysis = None;
}

fn start(mut next: RolloutStatus, target: &RevisionStatus, policy: &Rollout, now: Timestamp) -> Transition {
    let mut because = superseded(&mut next, "the spec changed");
    if next.previous.as_ref().is_some_and(|p| p.revision == target.revision) {
        next.previous = None;
        next.previous_until = None;
    }
    next.canary = Some(target.clone());
    next.step = 0;
    next.analysis = None;
    next.stage = if policy.steps.is_empty() { RolloutStage::Promoting } else { RolloutStage::Scaling };
    next.since = Some(whole_seconds(now));
    next.step_since.clone_from(&next.since);
    because.push(Notice::normal(
        Reason::CanaryProgressing,
        format!("canary {} (candidate {}) starts", target.revision, target.candidate),
    ));
    Transition { next, because }
}

fn proceed(mut next: RolloutStatus, s: &Signals, policy: &Rollout, now: Timestamp) -> Transition {
    let elapsed = next.since.as_ref().map_or(SignedDuration::ZERO, |since| now.duration_since(since.0));
    let deadline = SignedDuration::from_secs(policy.progress_deadline_seconds.into());
    let hold = |step: usize| SignedDuration::from_secs(policy.steps.get(step).map_or(0, |s| s.hold_seconds).into());
    // The step as a whole has no more time than it would need if all went well, and the deadline besides.
    let in_step = next.step_since.as_ref().map_or(elapsed, |since| now.duration_since(since.0));
    let is_late = elapsed > deadline || in_step > deadline + hold(usize::try_from(next.step).unwrap_or(0));
    let metrics = analysis::judge(&s.counts, policy);
    let failure = analysis::failure(s, &metrics);
    let lacking = lacks(&metrics);
    next.analysis = Some(analysis::noted(&next, metrics, now));
    if let Some((reason, message)) = failure {
        return roll_back(next, reason, message, now);
    }
    let step = usize::try_from(next.step).unwrap_or(0);
    let weight = policy.steps.get(step).map(|s| s.weight);
    match (next.stage, weight) {
        (RolloutStage::Idle, _) | (RolloutStage::Holding | RolloutStage::Scaling, None) => {
            go_to(next, step, s, policy, now)
        }
        (RolloutStage::Scaling, Some(weight)) if s.canary_ready >= needed(weight, s.stable_ready) => {
            go_to(next, step, s, policy, now)
        }
        (RolloutStage::Holding, Some(weight)) if s.canary_ready < needed(weight, s.stable_ready) => {
            let note = format!(
                "the canary has {} of the {} ready pods that {weight} % need",
                s.canary_ready,
                needed(weight, s.stable_ready)
            );
            let next = RolloutStatus { stage: RolloutStage::Scaling, since: Some(whole_seconds(now)), ..next };
            Transition { next, because: vec![Notice::warning(Reason::CanaryProgressing, note)] }
        }
        (RolloutStage::Holding, Some(_)) => {
            let hold = hold(step);
            if elapsed < hold {
                return Transition { next, because: Vec::new() };
            }
            if s.silent > 0 {
                return unheard(next, s, elapsed > hold + deadline, now);
            }
            match (lacking, policy.analysis.on_not_enough_evidence) {
                (None, _) => go_to(next, step + 1, s, policy, now),
                (Some(_), OnNotEnoughEvidence::Hold) => Transition { next, because: Vec::new() },
                (Some(lacking), OnNotEnoughEvidence::RollBack) => {
                    roll_back(next, Reason::NotEnoughEvidence, lacking, now)
                }
                (Some(lacking), OnNotEnoughEvidence::Promote) => {
                    let mut transition = go_to(next, step + 1, s, policy, now);
                    transition.because.insert(0, Notice::warning(Reason::CanaryProgressing, lacking));
                    transition
                }
            }
        }
        (RolloutStage::Promoting, _) if s.canary_ready >= needed(100, s.stable_ready) => promote(next, policy, now),
        (RolloutStage::Scaling | RolloutStage::Promoting, _) if is_late => {
            let wanted = match (next.stage, weight) {
                (RolloutStage::Scaling, Some(weight)) => needed(weight, s.stable_ready),
                _ => needed(100, s.stable_ready),
            };
            let excuse = s.canary_excuse.as_deref().unwrap_or("its pods do not say why");
            let message = format!(
                "{} of {wanted} pods ready after {} seconds: {excuse}",
                s.canary_ready,
                elapsed.max(in_step).as_secs()
            );
            roll_back(next, Reason::ProgressDeadlineExceeded, message, now)
        }
        (RolloutStage::Scaling | RolloutStage::Promoting, _) => Transition { next, because: Vec::new() },
    }
}

/// No telemetry is not the same as no traffic: what nobody can see is not promoted.
fn unheard(next: RolloutStatus, s: &Signals, is_late: bool, now: Timestamp) -> Transition {
    if !is_late {
        return Transition { next, because: Vec::new() };
    }
    let message = format!(
        "{} stable pods do not say what they saw of the canary: is port 8082 of the pods reachable for the operator?",
        s.silent
    );
    roll_back(next, Reason::ProgressDeadlineExceeded, message, now)
}

/// To a step, or past the last one; straight to its weight where the pods are there already.
fn go_to(next: RolloutStatus, step: usize, s: &Signals, policy: &Rollout, now: Timestamp) -> Transition {
    let since = Some(whole_seconds(now));
    let index = i32::try_from(step).unwrap_or(i32::MAX);
    let step_since = if next.step == index { next.step_since.clone() } else { since.clone() };
    let next = RolloutStatus { step_since, ..next };
    let Some(to) = policy.steps.get(step) else {
        let count = i32::try_from(policy.steps.len()).unwrap_or(i32::MAX);
        let next = RolloutStatus { stage: RolloutStage::Promoting, step: count, since, ..next };
        let note = "all steps are passed; the canary is scaled to take every request".to_owned();
        return Transition { next, because: vec![Notice::normal(Reason::Promoting, note)] };
    };
    if s.canary_ready >= needed(to.weight, s.stable_ready) {
        let note = format!(
            "step {} of {}: {} % of the requests for {} seconds",
            step + 1,
            policy.steps.len(),
            to.weight,
            to.hold_seconds
        );
        let next = RolloutStatus { stage: RolloutStage::Holding, step: index, since, ..next };
        return Transition { next, because: vec![Notice::normal(Reason::CanaryProgressing, note)] };
    }
    let next = RolloutStatus { stage: RolloutStage::Scaling, step: index, since, ..next };
    Transition { next, because: Vec::new() }
}

fn promote(mut next: RolloutStatus, policy: &Rollout, now: Timestamp) -> Transition {
    let Some(canary) = next.canary.take() else { return Transition { next, because: Vec::new() } };
    let note = format!("revision {} (candidate {}) is stable", canary.revision, canary.candidate);
    let delay = SignedDuration::from_secs(policy.scale_down_delay_seconds.into());
    next.previous = next.stable.replace(canary);
    next.previous_until = whole_seconds(now).0.checked_add(delay).ok().map(Time);
    next.stable_was_ready = true;
    idle(&mut next);
    Transition { next, because: vec![Notice::normal(Reason::Promoted, note)] }
}

fn roll_back(mut next: RolloutStatus, reason: Reason, message: String, now: Timestamp) -> Transition {
    let Some(canary) = next.canary.take() else { return Transition { next, because: Vec::new() } };
    let note =
        format!("canary {} (candidate {}) is rolled back: {reason}: {message}", canary.revision, canary.candidate);
    next.failed = Some(FailedRevision {
        revision: canary.revision,
        candidate: canary.candidate,
        reason: reason.as_str().to_owned(),
        message,
        at: whole_seconds(now),
    });
    idle(&mut next);
    Transition { next, because: vec![Notice::warning(Reason::RolledBack, note)] }
}

/// Kubernetes' times have no fractions. Rounded up, so that what lasts "at least" does.
fn whole_seconds(now: Timestamp) -> Time {
    let up = i64::from(now.subsec_nanosecond() > 0);
    Time(Timestamp::from_second(now.as_second().saturating_add(up)).unwrap_or(now))
}

#[cfg(test)]
mod tests;
