mod ab_test;
mod clock;
mod control;
mod error;
mod external;
mod judgement;
mod rows;
mod transitions;

use super::*;
use drydock_contract::{CORRECT, Feedback, StableWindow, count_latency};
use drydock_crds::{
    AbTest, Analysis, Better, CanaryStep, Control, ExternalMetric, FeedbackMetric, GatewayStatus, Metric,
    MetricOutcome, OnNoWinner, OnNotEnoughEvidence, OnWinner, Router, Shadow, Strategy, WebHook, Winner,
};

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn revision(name: &str) -> RevisionStatus {
    RevisionStatus { revision: name.into(), candidate: "int8".into(), package: "sha256:00".into() }
}

/// Steps of 20 % and 50 %, 10 s each; a deadline of 30 s, the old pods for 5 s.
fn policy() -> Rollout {
    Rollout {
        steps: [20, 50].map(|weight| CanaryStep { weight, hold_seconds: 10, pause: false }).to_vec(),
        analysis: Analysis::default(),
        progress_deadline_seconds: 30,
        scale_down_delay_seconds: 5,
        ..Rollout::default()
    }
}

fn served() -> RolloutStatus {
    RolloutStatus { stable: Some(revision("a")), stable_was_ready: true, ..RolloutStatus::default() }
}

fn canary(stage: RolloutStage, step: i32, seconds_ago: i64) -> RolloutStatus {
    RolloutStatus { canary: Some(revision("b")), stage, step, since: Some(Time(at(NOW - seconds_ago))), ..served() }
}

fn advance(at: &RolloutStatus, s: &Signals, policy: &Rollout, now: Timestamp) -> Transition {
    super::advance(at, s, Rules { policy, course: &course(policy) }, now)
}

fn waits(at: &RolloutStatus, policy: &Rollout, now: Timestamp) -> Option<String> {
    super::waits(at, Rules { policy, course: &course(policy) }, now)
}

fn wanted_weight(at: &RolloutStatus, policy: &Rollout) -> i32 {
    super::wanted_weight(at, &course(policy))
}

fn split(
    at: &RolloutStatus,
    policy: &Rollout,
    weight: i32,
    canary_ready: i32,
    stable_ready: i32,
) -> Option<drydock_contract::Split> {
    super::split(at, Rules { policy, course: &course(policy) }, weight, canary_ready, stable_ready)
}

/// Two stable pods, `b` asked for.
fn signals(canary_ready: i32) -> Signals {
    Signals {
        target: Some(revision("b")),
        stable_is_known: true,
        stable_ready: 2,
        stable_is_reachable: true,
        stable_desired: 2,
        canary_ready,
        flipped: true,
        ..Signals::default()
    }
}

fn failing(requests: u64, errors: u64) -> Signals {
    Signals { counts: SplitWindow { requests, errors, ..SplitWindow::default() }, ..signals(2) }
}

#[test]
fn the_first_revision_and_one_that_was_never_ready_have_nobody_to_protect() {
    let first = advance(
        &RolloutStatus::default(),
        &Signals { stable_is_known: false, stable_ready: 0, stable_is_reachable: false, ..signals(0) },
        &policy(),
        at(NOW),
    );
    assert_eq!(first.next.stable, Some(revision("b")));
    assert!(!first.next.stable_was_ready && first.next.canary.is_none());

    let never = RolloutStatus { stable_was_ready: false, ..served() };
    let replaced =
        advance(&never, &Signals { stable_ready: 0, stable_is_reachable: false, ..signals(0) }, &policy(), at(NOW));
    assert_eq!(replaced.next.stable, Some(revision("b")));
    // It answers already, though not everybody may reach it yet.
    let just_ready = Signals { stable_ready: 1, stable_is_reachable: false, ..signals(0) };
    let beside = advance(&never, &just_ready, &policy(), at(NOW)).next;
    assert_eq!((beside.stable, beside.canary), (Some(revision("a")), Some(revision("b"))));

    let at_zero = advance(
        &served(),
        &Signals { stable_ready: 0, stable_is_reachable: false, stable_desired: 0, ..signals(0) },
        &policy(),
        at(NOW),
    );
    assert_eq!(at_zero.next.stable, Some(revision("b")), "nobody sends requests to 0 pods");

    // What was decided about it holds when there are pods again.
    let none = Signals { stable_ready: 0, stable_is_reachable: false, stable_desired: 0, ..signals(0) };
    let at_none =
        |from: &RolloutStatus, control: Control| advance(from, &none, &Rollout { control, ..policy() }, at(NOW)).next;
    let failed = advance(&canary(RolloutStage::Holding, 0, 1), &failing(100, 50), &policy(), at(NOW)).next;
    let abort = Control { abort: Some("b".into()), ..Control::default() };
    let paused = Control { paused: true, ..Control::default() };
    for from in [served(), canary(RolloutStage::Holding, 0, 1)] {
        let aborted = at_none(&from, abort.clone());
        assert_eq!((aborted.stable, aborted.failed.map(|f| f.revision)), (Some(revision("a")), Some("b".into())));
        assert_eq!(at_none(&from, paused.clone()).stable, Some(revision("a")));
    }
    let held_back = at_none(&failed, Control::default());
    assert_eq!((held_back.stable, held_back.failed), (Some(revision("a")), failed.failed));

    // But one that is down and has been up is somebody's service.
    let down =
        advance(&served(), &Signals { stable_ready: 0, stable_is_reachable: false, ..signals(0) }, &policy(), at(NOW));
    assert_eq!(down.next.stable, Some(revision("a")));
}

#[test]
fn a_failed_revision_is_held_back_until_the_spec_asks_for_another() {
    let mut status = advance(&canary(RolloutStage::Holding, 0, 1), &failing(100, 50), &policy(), at(NOW)).next;
    let failed = status.failed.clone().unwrap();
    assert_eq!((failed.revision.as_str(), failed.reason.as_str()), ("b", "ErrorRate"));
    assert!(failed.message.contains("50 of 100") && failed.message.contains("limit 1.0 %"), "{}", failed.message);
    for _ in 0..3 {
        let t = advance(&status, &signals(2), &policy(), at(NOW + 1000));
        assert_eq!((t.next.clone(), t.because), (status.clone(), vec![]));
        status = t.next;
    }
    let other = advance(&status, &Signals { target: Some(revision("c")), ..signals(0) }, &policy(), at(NOW)).next;
    assert_eq!((other.failed, other.canary), (None, Some(revision("c"))));
    let stable = advance(&status, &Signals { target: Some(revision("a")), ..signals(0) }, &policy(), at(NOW)).next;
    assert_eq!((stable.failed, stable.canary), (None, None));
}

#[test]
fn the_replaced_revision_goes_when_its_time_is_over_and_the_service_has_moved() {
    let promoted = advance(&canary(RolloutStage::Promoting, 2, 1), &signals(2), &policy(), at(NOW)).next;
    assert_eq!((promoted.stable.clone(), promoted.previous.clone()), (Some(revision("b")), Some(revision("a"))));
    for (after, flipped, kept) in [(4, true, true), (5, false, true), (5, true, false), (1000, false, true)] {
        let next = advance(&promoted, &Signals { flipped, ..signals(0) }, &policy(), at(NOW + after)).next;
        assert_eq!(next.previous.is_some(), kept, "after {after} s, moved: {flipped}");
    }
}

/// The operator died after the switch and before the status (seed 8888 of the simulation): of the old pods some may be gone by now.
#[test]
fn what_the_service_selects_is_promoted_whatever_is_asked_for_by_then() {
    let promoting = canary(RolloutStage::Promoting, 2, 1);
    let selected = Signals { canary_is_selected: true, flipped: false, ..signals(2) };
    for (asked, suspended, canary) in
        [("b", false, None), ("a", true, None), ("a", false, Some("a")), ("c", false, Some("c"))]
    {
        let s = Signals { target: Some(revision(asked)), suspended, ..selected.clone() };
        let next = advance(&promoting, &s, &policy(), at(NOW)).next;
        assert_eq!((next.stable, next.canary), (Some(revision("b")), canary.map(revision)), "{asked}");
        // What is gone back to is not what is kept.
        assert_eq!(next.previous, (asked != "a" || suspended).then(|| revision("a")), "{asked}");
    }
    // Whoever points the Service there by hand during a step has promoted nothing.
    let holding = advance(&canary(RolloutStage::Holding, 0, 1), &selected, &policy(), at(NOW)).next;
    assert_eq!((holding.stable, holding.canary), (Some(revision("a")), Some(revision("b"))));
}

#[test]
fn the_clock_stands_still_while_suspended() {
    let frozen =
        advance(&canary(RolloutStage::Holding, 0, 9), &Signals { suspended: true, ..signals(1) }, &policy(), at(NOW))
            .next;
    assert_eq!(frozen.since, None);
    let again = advance(&frozen, &signals(1), &policy(), at(NOW + 100)).next;
    assert_eq!((again.stage, again.step, again.since), (RolloutStage::Holding, 0, Some(Time(at(NOW + 100)))));
}

#[test]
fn without_steps_it_is_promoted_when_it_can_take_everything() {
    let policy = Rollout { steps: vec![], ..policy() };
    let started = advance(&served(), &signals(0), &policy, at(NOW)).next;
    assert_eq!((started.stage, wanted_weight(&started, &policy)), (RolloutStage::Promoting, 0));
    assert!(advance(&started, &signals(1), &policy, at(NOW)).next.canary.is_some());
    assert_eq!(advance(&started, &signals(2), &policy, at(NOW)).next.stable, Some(revision("b")));
}

#[test]
fn a_step_of_another_course_begins_anew() {
    let judged = |s: Signals| Signals { counts: SplitWindow { requests: 400, ..SplitWindow::default() }, ..s };
    let shadow =
        Rollout { strategy: Strategy::Shadow, shadow: Some(Shadow { percentage: 20 }), steps: Vec::new(), ..policy() };
    let of = |policy: &Rollout, step, seconds_ago| {
        let course = Some(course::digest(policy, &course(policy)));
        RolloutStatus { course, ..canary(RolloutStage::Holding, step, seconds_ago) }
    };
    let now = Some(Time(at(NOW)));
    // A day as a shadow is no time at 20 %.
    let t = advance(&of(&shadow, 0, 86_400), &judged(signals(2)), &policy(), at(NOW));
    assert_eq!((t.next.stage, t.next.step, &t.next.since), (RolloutStage::Holding, 0, &now), "{t:?}");
    assert!(t.because[0].note.contains("the steps have changed"), "{t:?}");
    assert_eq!(advance(&t.next, &judged(signals(2)), &policy(), at(NOW + 9)).next.step, 0);
    // A shadow has no second step, and does not promote by itself.
    let t = advance(&of(&policy(), 1, 5), &judged(signals(2)), &shadow, at(NOW));
    assert_eq!((t.next.stage, t.next.step, &t.next.since), (RolloutStage::Holding, 0, &now), "{t:?}");
    assert_eq!(advance(&t.next, &judged(signals(2)), &shadow, at(NOW + 99_999)).next.stage, RolloutStage::Holding);
    // Not even one that was about to take over.
    let promoting = RolloutStatus { stage: RolloutStage::Promoting, ..of(&policy(), 2, 5) };
    assert_eq!(advance(&promoting, &judged(signals(2)), &shadow, at(NOW)).next.stage, RolloutStage::Holding);
    // Without any step there is nothing to wait for.
    let none = Rollout { steps: Vec::new(), ..policy() };
    assert_eq!(advance(&of(&policy(), 0, 1), &signals(2), &none, at(NOW)).next.stage, RolloutStage::Promoting);
    // A longer hold is asked of the step that is, and an old status is taken as it is.
    let mut longer = policy();
    longer.steps[0].hold_seconds = 20;
    let old = canary(RolloutStage::Holding, 0, 15);
    for from in [of(&policy(), 0, 15), old] {
        let held = advance(&from, &judged(signals(2)), &longer, at(NOW)).next;
        assert_eq!((held.step, &held.since), (0, &from.since));
        assert_eq!(advance(&held, &judged(signals(2)), &longer, at(NOW + 5)).next.step, 1);
    }
}

#[test]
fn a_hold_stands_still_while_pods_are_missing_and_goes_on() {
    let judged = |s: Signals| Signals { counts: SplitWindow { requests: 200, ..SplitWindow::default() }, ..s };
    let course = Some(course::digest(&policy(), &course(&policy())));
    // Seven of ten seconds are held, then two pods of which one is needed are gone, twice.
    let held = RolloutStatus { course, ..canary(RolloutStage::Holding, 0, 7) };
    let lost = advance(&held, &judged(signals(0)), &policy(), at(NOW)).next;
    assert_eq!((lost.stage, lost.held, lost.held_seconds), (RolloutStage::Scaling, true, 7));
    let back = advance(&lost, &judged(signals(1)), &policy(), at(NOW + 20)).next;
    assert_eq!((back.stage, back.step, back.held_seconds), (RolloutStage::Holding, 0, 7));
    assert_ne!(window(&back), window(&held), "its requests are counted anew");
    let lost = advance(&back, &judged(signals(0)), &policy(), at(NOW + 21)).next;
    assert_eq!(lost.held_seconds, 8);
    let back = advance(&lost, &judged(signals(1)), &policy(), at(NOW + 30)).next;
    assert_eq!(advance(&back, &judged(signals(1)), &policy(), at(NOW + 31)).next.step, 0);
    let passed = advance(&back, &judged(signals(1)), &policy(), at(NOW + 32)).next;
    assert_eq!((passed.step, passed.held_seconds), (1, 0), "the next step has all of its own");
    // At another share nothing is held already.
    let mut other = policy();
    other.steps[0].weight = 30;
    let begun = advance(&lost, &judged(signals(1)), &other, at(NOW + 30)).next;
    assert_eq!((begun.stage, begun.step, begun.held_seconds), (RolloutStage::Holding, 0, 0));
}

#[test]
fn nothing_goes_on_without_the_service_and_nothing_is_late_for_it() {
    let lost = |ready| Signals { service_is_lost: Some("m-canary".into()), ..signals(ready) };
    let held = canary(RolloutStage::Holding, 0, 7);
    let t = advance(&held, &lost(1), &policy(), at(NOW));
    assert_eq!((t.next.stage, t.next.held_seconds), (RolloutStage::Scaling, 7));
    assert!(t.because[0].note.contains("m-canary"), "{:?}", t.because);
    let waits = advance(&t.next, &lost(1), &policy(), at(NOW + 1)).next;
    let later = advance(&waits, &lost(0), &policy(), at(NOW + 99_999)).next;
    assert_eq!((later.stage, &later.failed), (RolloutStage::Scaling, &None));
    let back = advance(&later, &signals(1), &policy(), at(NOW + 100_000)).next;
    assert_eq!((back.stage, back.step, back.held_seconds), (RolloutStage::Holding, 0, 7));
    let begins = advance(&served(), &lost(2), &policy(), at(NOW)).next;
    assert_eq!(advance(&begins, &lost(2), &policy(), at(NOW + 1)).next.stage, RolloutStage::Scaling);
    // Nobody is sent there once every request is to go to it by its own Service.
    let promoting = canary(RolloutStage::Promoting, 2, 1);
    assert_eq!(advance(&promoting, &lost(2), &policy(), at(NOW)).next.stable, Some(revision("b")));
}

#[test]
fn a_pass_tells_the_numbers_that_it_decided_by() {
    let t = advance(&canary(RolloutStage::Holding, 0, 1), &failing(100, 50), &policy(), at(NOW));
    assert!(t.next.failed.is_some() && t.next.analysis.is_none());
    assert!(t.metrics.iter().any(|m| m.outcome == MetricOutcome::Fail && m.samples == 100), "{:?}", t.metrics);
    assert!(advance(&served(), &failing(100, 50), &policy(), at(NOW)).metrics.is_empty(), "no canary yet");
}

#[test]
fn a_gateway_is_waited_for_anew_after_a_rollback_and_not_before_the_first_revision() {
    let policy = Rollout { router: Router::Gateway, ..policy() };
    let pending = Signals { routes: Routes::Pending("why".into()), ..failing(100, 50) };
    let gateway = Some(GatewayStatus { pending_since: Some(Time(at(NOW - 99))), ..GatewayStatus::default() });
    let late = RolloutStatus { gateway, ..canary(RolloutStage::Holding, 0, 1) };
    let next = advance(&late, &pending, &policy, at(NOW)).next;
    assert!(is_late(&late, at(NOW)) && next.failed.is_some() && !is_late(&next, at(NOW)), "{next:?}");
    let none = Signals { target: None, stable_is_known: false, ..pending };
    let next = advance(&RolloutStatus::default(), &none, &policy, at(NOW)).next;
    assert_eq!(next.gateway, Some(GatewayStatus::default()));
}

#[test]
fn what_pods_are_told() {
    let at = canary(RolloutStage::Holding, 0, 0);
    assert_eq!(split(&at, &policy(), 0, 0, 2), None);
    let told = split(&at, &policy(), 20, 1, 2).unwrap();
    assert_eq!((told.weight, told.revision.as_str(), told.window.as_str(), told.compare), (20, "b", "b-0-1000000", 0));
    assert_eq!(split(&served(), &policy(), 20, 1, 2), None);
}

#[test]
fn at_least_means_at_least() {
    let since = whole_seconds("2026-01-01T00:00:00.5Z".parse().unwrap());
    assert_eq!(since.0, "2026-01-01T00:00:01Z".parse().unwrap());
}
