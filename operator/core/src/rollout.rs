//! How one revision takes the place of another: a state machine, as data.
//!
//! ```text
//!            ┌──────────── pods lost ───────────┐
//!            ▼                                  │
//! Idle ─▶ Scaling(0) ─▶ Holding(0) ─▶ Scaling(1) ─▶ Holding(1) ─▶ … ─▶ Promoting ─▶ Idle
//!            └──────────────┴── worse, broken, too late: rolled back ──────┴──▶ Idle
//! ```

mod ab_test;
mod analysis;
mod capacity;
mod clock;
mod control;
mod course;
mod external;
mod feedback;
mod gateway;
mod share;
mod sight;
mod synthetic;
mod table;

use std::collections::BTreeMap;

use drydock_contract::SplitWindow;
use drydock_crds::{
    Control, FailedRevision, MetricStatus, Reason, RevisionStatus, Rollout, RolloutStage, RolloutStatus,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use analysis::{beside, lacks, sum};
pub use capacity::{cap, needed};
pub use control::{proceeds, promotes};
pub use course::{Step, course};
pub use gateway::{Routes, is_late};
pub use share::{Shares, shares, split, wanted_size, wanted_weight, window};
pub use table::waits;

use crate::external::Heard;
use crate::plan::Notice;
use analysis::judge;
use sight::Sight;

/// What the rollout depends on, seen now.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on one another")]
pub struct Signals {
    pub suspended: bool,
    /// What the spec asks for but for `rollBackTo`; `None` while it is not known.
    pub asked: Option<RevisionStatus>,
    /// Whether `rollBackTo` says what is to be served: it does so at once.
    pub rolls_back: bool,
    /// What is to be served; `None` while it is not known.
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
    /// Whether `<name>` selects the canary.
    pub canary_is_selected: bool,
    pub canary_ready: i32,
    /// As many as the autoscalers of both revisions keep; `None` without autoscalers.
    pub together: Option<i32>,
    /// The name of a Service that the canary is reached by and that is not ours, or not there.
    pub service_is_lost: Option<String>,
    /// Why the canary cannot stay up.
    pub canary_crash: Option<String>,
    /// What the canary's pods say of themselves.
    pub canary_excuse: Option<String>,
    /// Seen by the stable pods in the window of [`window`].
    pub counts: SplitWindow,
    /// What the sources of `analysis.external` have said, by their names.
    pub external: BTreeMap<String, Heard>,
    /// Pods that were told to count, and do not say what they have counted.
    pub silent: i32,
    /// How a gateway's routes stand to what the stage asks for.
    pub routes: Routes,
    /// The share that the stage asks for, as far as the canary can take it.
    pub weight: i32,
}

impl Signals {
    /// The same, once the canary is the stable revision: of another canary nothing is seen yet.
    fn taken_over(&self) -> Self {
        Self {
            stable_ready: self.canary_ready,
            stable_is_reachable: self.canary_ready > 0,
            flipped: true,
            canary_is_selected: false,
            canary_ready: 0,
            canary_crash: None,
            canary_excuse: None,
            counts: SplitWindow::default(),
            external: BTreeMap::new(),
            silent: 0,
            weight: 0,
            ..self.clone()
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub next: RolloutStatus,
    /// What to tell; empty if nothing happened.
    pub because: Vec<Notice>,
    /// How the canary stood, for the records too: what is written down is what was decided by.
    pub metrics: Vec<MetricStatus>,
}

impl Transition {
    fn to(next: RolloutStatus, because: Vec<Notice>) -> Self {
        Self { next, because, metrics: Vec::new() }
    }
}

/// What a rollout goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub policy: &'a Rollout,
    /// [`course`] of it.
    pub course: &'a [Step],
}

/// One step on, if it is time for one.
pub fn advance(at: &RolloutStatus, s: &Signals, rules: Rules<'_>, now: Timestamp) -> Transition {
    let Rules { policy, course } = rules;
    let judged = at.canary.as_ref().map(|_| judge(&s.counts, policy, course.len(), at.analysis.as_ref()));
    let mut metrics = judged.unwrap_or_default();
    metrics.extend(external::judge(&s.external, at, &policy.analysis));
    let mut transition = step_on(at, s, rules, &metrics, now);
    control::spend(at, &mut transition.next, &policy.control);
    Transition { metrics, ..transition }
}

fn step_on(at: &RolloutStatus, s: &Signals, rules: Rules<'_>, metrics: &[MetricStatus], now: Timestamp) -> Transition {
    let mut next = clock::set_right(at.clone(), rules.policy, now);
    if next.stable.is_some() && !s.stable_is_known {
        // Its record and its Deployment are gone: there is nothing to go on with, or to compare with.
        next = RolloutStatus {
            failed: next.failed,
            retried: next.retried,
            promoted: next.promoted,
            proceeded: next.proceeded,
            ..RolloutStatus::default()
        };
    }
    gateway::follow(&mut next, s, rules.policy, now);
    if next.stable.is_some() && s.stable_is_reachable {
        next.stable_was_ready = true;
        if next.canary.is_none() {
            next.since = None;
        }
    }
    if s.flipped && next.previous_until.as_ref().is_none_or(|until| until.0 <= now) {
        next.previous = None;
        next.previous_until = None;
        if next.canary.is_none() {
            next.takeover_replicas = None;
        }
    }
    let mut because = control::retry(&mut next, &rules.policy.control);
    let taken_over;
    let (mut s, mut metrics) = (s, metrics);
    if next.stage == RolloutStage::Promoting && s.canary_is_selected {
        // Dead between the switch and the status: what has all requests is not taken back for what may have fewer pods by now, whatever is asked for.
        let promoted = promote(next, rules.policy, now);
        next = promoted.next;
        because.extend(promoted.because);
        taken_over = s.taken_over();
        (s, metrics) = (&taken_over, &[]);
    }
    if s.suspended {
        // The clock stands still: the stage begins again when the rollout goes on.
        if next.canary.is_some() {
            next.since = None;
            next.step_since = None;
            next.ab_test = None;
        }
        return Transition::to(next, because);
    }
    if next.canary.is_some() && next.since.is_none() {
        next.since = Some(whole_seconds(now));
        next.step_since.clone_from(&next.since);
    }
    let mut transition = towards(next, s, rules, metrics, now);
    because.append(&mut transition.because);
    Transition { because, ..transition }
}

fn towards(
    mut next: RolloutStatus,
    s: &Signals,
    rules: Rules<'_>,
    metrics: &[MetricStatus],
    now: Timestamp,
) -> Transition {
    let policy = rules.policy;
    let Some(target) = &s.target else {
        // The spec asks for something else, and nobody knows yet what: what it asked for before is not it.
        let because = superseded(&mut next, "the spec changed");
        return Transition::to(next, because);
    };
    let is_asked = |revision: &str| s.asked.as_ref().is_some_and(|asked| asked.revision == revision);
    next.failed.take_if(|f| f.revision != target.revision && !is_asked(&f.revision));
    let is_stable = |of: &RolloutStatus| of.stable.as_ref().is_some_and(|r| r.revision == target.revision);
    if is_stable(&next) {
        let because = superseded(&mut next, "the spec asks for the stable revision again");
        return Transition::to(next, because);
    }
    // One that has been ready for a moment gets requests, though not yet by way of each node.
    let serves = next.stable_was_ready || s.stable_ready > 0;
    if next.stable.is_none() || !serves {
        return deploy(next, target, now);
    }
    if next.failed.as_ref().is_some_and(|f| f.revision == target.revision) {
        let because = superseded(&mut next, "the spec asks for a revision that was rolled back");
        return Transition::to(next, because);
    }
    let is_aborted = policy.control.abort.as_ref() == Some(&target.revision);
    let is_paused = policy.control.paused && !s.rolls_back;
    // Nobody sends requests to 0 pods; what was decided about the revision holds all the same when there are some again.
    let nobody_to_protect = s.stable_desired == 0 && s.stable_ready == 0 && !is_aborted && !is_paused;
    if !nobody_to_protect && next.canary.as_ref().is_some_and(|canary| canary.revision == target.revision) {
        return table::proceed(Sight { signals: s, policy, course: rules.course, now, at: next, metrics });
    }
    if is_aborted {
        return refuse(next, target, &policy.control, now);
    }
    if is_paused {
        let because = superseded(&mut next, "the spec changed");
        return Transition::to(next, because);
    }
    if nobody_to_protect {
        return deploy(next, target, now);
    }
    start(next, target, s, rules, now)
}

/// At once: there is nothing to compare it with.
fn deploy(mut next: RolloutStatus, target: &RevisionStatus, now: Timestamp) -> Transition {
    let mut because = superseded(&mut next, "the spec changed");
    next.stable = Some(target.clone());
    next.stable_was_ready = false;
    next.since = Some(whole_seconds(now));
    next.failed.take_if(|f| f.revision == target.revision);
    because.push(Notice::normal(
        Reason::Deploying,
        format!("revision {} (candidate {}) starts", target.revision, target.candidate),
    ));
    Transition::to(next, because)
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
    next.course = None;
    next.takeover_replicas = None;
    next.held = false;
    next.held_seconds = 0;
    next.called_back = false;
    next.analysis = None;
    // The weight is another now, and the gateway has its time for it: the pods that it still sends to stay meanwhile.
    if let Some(gateway) = &mut next.gateway {
        gateway.pending_since = None;
    }
}

/// A revision that was aborted before it began.
fn refuse(mut next: RolloutStatus, target: &RevisionStatus, control: &Control, now: Timestamp) -> Transition {
    let mut because = superseded(&mut next, "the spec changed");
    let mut transition = roll_back(
        RolloutStatus { canary: Some(target.clone()), ..next },
        Reason::Aborted,
        control::names_it(control),
        now,
    );
    because.append(&mut transition.because);
    Transition { because, ..transition }
}

fn start(
    mut next: RolloutStatus,
    target: &RevisionStatus,
    s: &Signals,
    rules: Rules<'_>,
    now: Timestamp,
) -> Transition {
    let Rules { policy, course } = rules;
    let mut because = superseded(&mut next, "the spec changed");
    if next.previous.as_ref().is_some_and(|p| p.revision == target.revision) {
        next.called_back = s.rolls_back;
        next.previous = None;
        next.previous_until = None;
    }
    next.canary = Some(target.clone());
    next.step = 0;
    next.analysis = None;
    next.ab_test = None;
    let at_once = course.is_empty();
    next.course = Some(course::digest(policy, course));
    next.stage = if at_once { RolloutStage::Promoting } else { RolloutStage::Scaling };
    next.takeover_replicas = s.together.filter(|_| at_once);
    next.since = Some(whole_seconds(now));
    next.step_since.clone_from(&next.since);
    because.push(Notice::normal(
        Reason::CanaryProgressing,
        format!("canary {} (candidate {}) starts", target.revision, target.candidate),
    ));
    Transition::to(next, because)
}

fn promote(mut next: RolloutStatus, policy: &Rollout, now: Timestamp) -> Transition {
    let Some(canary) = next.canary.take() else { return Transition::to(next, Vec::new()) };
    let note = format!("revision {} (candidate {}) is stable", canary.revision, canary.candidate);
    next.previous = next.stable.replace(canary);
    next.previous_until = Some(clock::replaced_until(policy, now));
    next.stable_was_ready = true;
    let takeover_replicas = next.takeover_replicas.take();
    idle(&mut next);
    next.takeover_replicas = takeover_replicas;
    Transition::to(next, vec![Notice::normal(Reason::Promoted, note)])
}

fn roll_back(mut next: RolloutStatus, reason: Reason, message: String, now: Timestamp) -> Transition {
    let Some(canary) = next.canary.take() else { return Transition::to(next, Vec::new()) };
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
    Transition::to(next, vec![Notice::warning(Reason::RolledBack, note)])
}

/// Kubernetes' times have no fractions. Rounded up, so that what lasts "at least" does.
fn whole_seconds(now: Timestamp) -> Time {
    let up = i64::from(now.subsec_nanosecond() > 0);
    Time(Timestamp::from_second(now.as_second().saturating_add(up)).unwrap_or(now))
}

#[cfg(test)]
mod tests;
