//! The canary's way, as a table of transitions.

use drydock_crds::{OnNotEnoughEvidence, Reason, RolloutStage, RolloutStatus};
use jiff::Timestamp;

use super::ab_test::{self, End};
use super::sight::Sight;
use super::{Rules, Signals, Transition, analysis, control, needed, promote, roll_back, whole_seconds};
use crate::plan::Notice;

type Row<'a> = (&'static [RolloutStage], fn(&Sight<'a>) -> bool, fn(Sight<'a>) -> Transition);

pub(super) const ROWS: usize = 22;

/// Where the canary is, what is seen, and what follows. The first row that holds decides; none: it stays as it is.
fn table<'a>() -> [Row<'a>; ROWS] {
    use RolloutStage::{Holding, Idle, Promoting, Scaling};
    [
        (&[Idle, Scaling, Holding, Promoting], Sight::is_aborted, abort),
        (&[Idle, Scaling, Holding, Promoting], Sight::is_worse, fail),
        (&[Scaling, Holding, Promoting], Sight::has_another_course, begin_again),
        (&[Idle, Scaling, Holding], Sight::is_promoted_by_hand, skip),
        (&[Idle, Scaling, Holding], Sight::has_no_step, enter),
        (&[Idle], Sight::always, enter),
        (&[Scaling], Sight::may_go_on, enter),
        (&[Holding], Sight::lacks_pods, lose_pods),
        (&[Holding], Sight::is_unrouted, stay),
        (&[Holding], Sight::is_silent_behind_a_gateway, give_up_listening),
        (&[Holding], Sight::lacks_service, lose_service),
        (&[Holding], Sight::holds, stay),
        (&[Holding], Sight::waits, wait),
        (&[Holding], Sight::is_unheard_for_long, give_up_listening),
        (&[Holding], Sight::is_unheard, stay),
        (&[Holding], Sight::has_lost, lose_test),
        (&[Holding], Sight::awaits_answers, stay),
        (&[Holding], Sight::lacks_evidence_for_good, give_up_waiting),
        (&[Holding], Sight::awaits_evidence, stay),
        (&[Holding], Sight::always, pass),
        (&[Promoting], Sight::may_take_over, take_over),
        (&[Scaling, Promoting], Sight::is_late, run_late),
    ]
}

/// One step on, if it is time for one.
pub fn proceed(mut sight: Sight<'_>) -> Transition {
    match row(&mut sight).and_then(|row| table().into_iter().nth(row)) {
        Some((_, _, then)) => then(sight),
        None => stay(sight),
    }
}

/// The index of the row that decides.
pub(super) fn row(sight: &mut Sight<'_>) -> Option<usize> {
    sight.set_clocks();
    sight.note_analysis();
    sight.note_course();
    table().iter().position(|(stages, when, _)| stages.contains(&sight.at.stage) && when(sight))
}

fn stay(sight: Sight<'_>) -> Transition {
    Transition::to(sight.at, Vec::new())
}

/// The step's clock stands still: to wait for a person is not to be late.
fn wait(sight: Sight<'_>) -> Transition {
    Transition::to(RolloutStatus { step_since: None, ..sight.at }, Vec::new())
}

fn abort(sight: Sight<'_>) -> Transition {
    let why = control::names_it(sight.control());
    roll_back(sight.at, Reason::Aborted, why, sight.now)
}

fn fail(sight: Sight<'_>) -> Transition {
    match analysis::failure(sight.signals, sight.metrics) {
        Some((reason, message)) => roll_back(sight.at, reason, message, sight.now),
        None => stay(sight),
    }
}

/// Past all steps, with the weight that it has.
fn skip(sight: Sight<'_>) -> Transition {
    let since = Some(whole_seconds(sight.now));
    let reached = sight.index() + usize::from(sight.at.held || sight.at.stage == RolloutStage::Holding);
    let by = control::told(sight.control().by.as_ref().and_then(|by| by.promote.as_ref()));
    let note = format!("control.promote names canary {}{by}: what is left of its steps is skipped", sight.revision());
    let next = RolloutStatus {
        stage: RolloutStage::Promoting,
        step: i32::try_from(reached.min(sight.course.len())).unwrap_or(i32::MAX),
        step_since: since.clone(),
        since,
        takeover_replicas: sight.signals.together,
        held: false,
        held_seconds: 0,
        ..sight.at
    };
    Transition::to(next, vec![Notice::normal(Reason::Promoting, note)])
}

fn enter(sight: Sight<'_>) -> Transition {
    let step = sight.index();
    go_to(sight, step)
}

/// The steps are others now: the time that the canary has had, and the step it has reached, are of those that were.
fn begin_again(mut sight: Sight<'_>) -> Transition {
    let last = sight.course.len().saturating_sub(1);
    let step = sight.index().min(last);
    sight.at.course = Some(sight.digest());
    sight.at.step_since = Some(whole_seconds(sight.now));
    sight.at.takeover_replicas = None;
    sight.at.ab_test = None;
    sight.at.held = false;
    let mut because = Vec::new();
    if !sight.course.is_empty() {
        let note = format!("the steps have changed: step {} of {} begins", step + 1, last + 1);
        because.push(Notice::normal(Reason::CanaryProgressing, note));
    }
    let mut transition = go_to(sight, step);
    because.append(&mut transition.because);
    Transition { because, ..transition }
}

fn lose_pods(sight: Sight<'_>) -> Transition {
    let share = sight.step().map_or("all requests".to_owned(), |s| match s.weight {
        0 => s.share(),
        weight => format!("{weight} %"),
    });
    let note =
        format!("the canary has {} of the {} ready pods that {share} need", sight.signals.canary_ready, sight.wanted());
    scale_again(sight, note)
}

fn lose_service(sight: Sight<'_>) -> Transition {
    let name = sight.signals.service_is_lost.as_deref().unwrap_or_default();
    let note = format!("the Service {name} is not there, or not ours: the canary gets nothing until it is");
    scale_again(sight, note)
}

/// The step's time stands still, and goes on from where it was. Its counts begin anew, with the stage: what failed while pods were
/// missing says nothing of those that come.
fn scale_again(sight: Sight<'_>, note: String) -> Transition {
    let held = i32::try_from(sight.elapsed().as_secs().max(0)).unwrap_or(i32::MAX);
    let next = RolloutStatus {
        stage: RolloutStage::Scaling,
        held: true,
        held_seconds: sight.at.held_seconds.saturating_add(held),
        since: Some(whole_seconds(sight.now)),
        ..sight.at
    };
    Transition::to(next, vec![Notice::warning(Reason::CanaryProgressing, note)])
}

fn give_up_listening(sight: Sight<'_>) -> Transition {
    let who = if sight.at.gateway.is_some() { "pods" } else { "stable pods" };
    let message = format!(
        "{} {who} do not say what they saw of the canary: is port 8082 of the pods reachable for the operator?",
        sight.signals.silent
    );
    roll_back(sight.at, Reason::ProgressDeadlineExceeded, message, sight.now)
}

fn give_up_waiting(sight: Sight<'_>) -> Transition {
    let lacking = sight.lacking(OnNotEnoughEvidence::RollBack).unwrap_or_default();
    roll_back(sight.at, Reason::NotEnoughEvidence, lacking, sight.now)
}

/// What it has found stays in the status.
fn lose_test(sight: Sight<'_>) -> Transition {
    let reason = if sight.test() == End::StableWins { Reason::Outperformed } else { Reason::NoWinner };
    let found = ab_test::of_window(&sight.at).map(|t| t.message.clone()).unwrap_or_default();
    roll_back(sight.at, reason, found, sight.now)
}

fn pass(sight: Sight<'_>) -> Transition {
    let mut because: Vec<Notice> = sight
        .lacking(OnNotEnoughEvidence::Promote)
        .map(|lacking| Notice::warning(Reason::CanaryProgressing, lacking))
        .into_iter()
        .collect();
    let step = sight.index() + 1;
    let mut transition = go_to(sight, step);
    because.append(&mut transition.because);
    Transition { because, ..transition }
}

fn take_over(sight: Sight<'_>) -> Transition {
    promote(sight.at, sight.policy, sight.now)
}

fn run_late(sight: Sight<'_>) -> Transition {
    let excuse = sight.signals.canary_excuse.as_deref().unwrap_or("its pods do not say why");
    let message = format!(
        "{} of {} pods ready after {} seconds: {excuse}",
        sight.signals.canary_ready,
        sight.wanted(),
        sight.elapsed().max(sight.in_step()).as_secs()
    );
    roll_back(sight.at, Reason::ProgressDeadlineExceeded, message, sight.now)
}

/// To a step, or past the last one; straight to its weight where the pods are there already.
fn go_to(sight: Sight<'_>, step: usize) -> Transition {
    let since = Some(whole_seconds(sight.now));
    let index = i32::try_from(step).unwrap_or(i32::MAX);
    let step_since = if sight.at.step == index { sight.at.step_since.clone() } else { since.clone() };
    let count = sight.course.len();
    let may_hold = !sight.lacks_service() && !sight.is_unrouted();
    // Only what the same step has held counts.
    let goes_on = sight.at.held && sight.at.step == index;
    let held_seconds = if goes_on { sight.at.held_seconds } else { 0 };
    let next = RolloutStatus { step_since, since, held: false, held_seconds, ..sight.at };
    let Some(to) = sight.course.get(step) else {
        let step = i32::try_from(count).unwrap_or(i32::MAX);
        let takeover_replicas = sight.signals.together;
        let next = RolloutStatus { stage: RolloutStage::Promoting, step, takeover_replicas, held_seconds: 0, ..next };
        let note = "all steps are passed; the canary is scaled to take every request".to_owned();
        return Transition::to(next, vec![Notice::normal(Reason::Promoting, note)]);
    };
    let has_pods = sight.signals.canary_ready >= needed(to.size, sight.signals.stable_ready);
    if has_pods && may_hold {
        let note = format!("step {} of {count}: {}", step + 1, to.tell());
        let next = RolloutStatus { stage: RolloutStage::Holding, step: index, ..next };
        return Transition::to(next, vec![Notice::normal(Reason::CanaryProgressing, note)]);
    }
    Transition::to(RolloutStatus { stage: RolloutStage::Scaling, step: index, ..next }, Vec::new())
}

/// What a person has to do for the rollout to go on.
pub fn waits(at: &RolloutStatus, rules: Rules<'_>, now: Timestamp) -> Option<String> {
    let Rules { policy, course } = rules;
    let revision = &at.canary.as_ref()?.revision;
    if policy.control.roll_back_to.is_some() {
        return None;
    }
    if policy.control.paused {
        return Some("control.paused is true".to_owned());
    }
    let signals = Signals::default();
    let sight = Sight { signals: &signals, policy, course, now, at: at.clone(), metrics: &[] };
    let is_waiting = at.stage == RolloutStage::Holding && !sight.holds() && sight.waits();
    let word = format!("{revision}/{}", at.step);
    let is_spent = at.proceeded.as_ref().is_some_and(|spent| *spent == word);
    let how = if is_spent { "take control.proceed out and set it again" } else { "set control.proceed" };
    is_waiting.then(|| format!("{how} to {word} to go on"))
}
