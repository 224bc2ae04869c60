use super::*;
use drydock_contract::{StableWindow, count_latency};
use drydock_crds::{Analysis, CanaryStep, Control, MetricOutcome, OnNotEnoughEvidence, Shadow, Strategy};

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

struct Case {
    name: &'static str,
    from: RolloutStatus,
    signals: Signals,
    /// Stage, step, canary, weight that is wanted.
    to: (RolloutStage, i32, Option<&'static str>, i32),
    reasons: &'static [Reason],
}

#[test]
fn transitions() {
    use RolloutStage::*;
    let quiet = |s: Signals| Signals { counts: SplitWindow { requests: 3, ..SplitWindow::default() }, ..s };
    let judged = |s: Signals| Signals { counts: SplitWindow { requests: 200, ..SplitWindow::default() }, ..s };
    let cases = vec![
        Case {
            name: "a new target starts a canary",
            from: served(),
            signals: signals(0),
            to: (Scaling, 0, Some("b"), 0),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "no pod, no weight",
            from: canary(Scaling, 0, 29),
            signals: signals(0),
            to: (Scaling, 0, Some("b"), 0),
            reasons: &[],
        },
        Case {
            name: "ready for 20 %",
            from: canary(Scaling, 0, 3),
            signals: signals(1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "too late",
            from: canary(Scaling, 0, 31),
            signals: signals(0),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "ready at the last moment",
            from: canary(Scaling, 0, 31),
            signals: signals(1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "holds",
            from: canary(Holding, 0, 9),
            signals: judged(signals(1)),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "held; one pod is enough for 50 % of two",
            from: canary(Holding, 0, 10),
            signals: judged(signals(1)),
            to: (Holding, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "held in silence",
            from: canary(Holding, 0, 10),
            signals: quiet(signals(1)),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "the next step needs more pods",
            from: canary(Holding, 0, 10),
            signals: judged(Signals { stable_ready: 4, ..signals(1) }),
            to: (Scaling, 1, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "pods lost",
            from: canary(Holding, 1, 5),
            signals: signals(0),
            to: (Scaling, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "pods lost, and there again",
            from: RolloutStatus { held: true, ..canary(Scaling, 1, 5) },
            signals: signals(1),
            to: (Holding, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "the last step is held",
            from: canary(Holding, 1, 10),
            signals: judged(signals(2)),
            to: (Promoting, 2, Some("b"), 50),
            reasons: &[Reason::Promoting],
        },
        Case {
            name: "not enough to take over",
            from: canary(Promoting, 2, 5),
            signals: signals(1),
            to: (Promoting, 2, Some("b"), 50),
            reasons: &[],
        },
        Case {
            name: "never enough to take over",
            from: canary(Promoting, 2, 31),
            signals: signals(1),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "takes over",
            from: canary(Promoting, 2, 5),
            signals: signals(2),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::Promoted],
        },
        Case {
            name: "errors",
            from: canary(Holding, 0, 1),
            signals: failing(60, 6),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "one error says little",
            from: canary(Holding, 0, 1),
            signals: failing(20, 1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "errors while promoting",
            from: canary(Promoting, 2, 1),
            signals: failing(20, 20),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "too few to be sure",
            from: canary(Holding, 0, 1),
            signals: failing(19, 19),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "exactly at the limit",
            from: canary(Holding, 0, 1),
            signals: failing(100, 1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "crashes",
            from: canary(Scaling, 0, 1),
            signals: Signals { canary_crash: Some("it crashed".into()), ..signals(0) },
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "another target",
            from: canary(Holding, 1, 1),
            signals: Signals { target: Some(revision("c")), ..signals(2) },
            to: (Scaling, 0, Some("c"), 0),
            reasons: &[Reason::Superseded, Reason::CanaryProgressing],
        },
        Case {
            name: "back to stable",
            from: canary(Holding, 1, 1),
            signals: Signals { target: Some(revision("a")), ..signals(2) },
            to: (Idle, 0, None, 0),
            reasons: &[Reason::Superseded],
        },
        Case {
            name: "the target is not known",
            from: canary(Holding, 1, 1),
            signals: Signals { target: None, ..signals(2) },
            to: (Idle, 0, None, 0),
            reasons: &[Reason::Superseded],
        },
        Case {
            name: "suspended, though it fails",
            from: canary(Holding, 1, 1),
            signals: Signals { suspended: true, ..failing(100, 100) },
            to: (Holding, 1, Some("b"), 50),
            reasons: &[],
        },
        Case {
            name: "steps were taken away",
            from: canary(Holding, 7, 1),
            signals: signals(1),
            to: (Holding, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing, Reason::CanaryProgressing],
        },
    ];
    for case in cases {
        let Transition { next, because } = advance(&case.from, &case.signals, &policy(), at(NOW));
        let seen =
            (next.stage, next.step, next.canary.as_ref().map(|c| c.revision.as_str()), wanted_weight(&next, &policy()));
        assert_eq!(seen, case.to, "{}", case.name);
        assert_eq!(because.iter().map(|n| n.reason).collect::<Vec<_>>(), case.reasons, "{}: {because:?}", case.name);
        assert_eq!(next.stable.is_some(), case.from.stable.is_some(), "{}", case.name);
    }
}

/// Name, what the person says, from where, what is seen, and as in [`Case`] where to and why.
type Word =
    (&'static str, Control, RolloutStatus, Signals, (RolloutStage, i32, Option<&'static str>, i32), &'static [Reason]);

#[test]
fn control_moves_the_revision_that_it_names_and_no_other() {
    use RolloutStage::*;
    let word = |w: &str| Some(w.to_owned());
    let none = Control::default;
    let judged = |s: Signals| Signals { counts: SplitWindow { requests: 100, ..SplitWindow::default() }, ..s };
    let held = || canary(Holding, 0, 10);
    let cases: Vec<Word> = vec![
        ("paused before it starts", Control { paused: true, ..none() }, served(), signals(0), (Idle, 0, None, 0), &[]),
        (
            "paused while scaling",
            Control { paused: true, ..none() },
            canary(Scaling, 0, 3),
            signals(1),
            (Scaling, 0, Some("b"), 0),
            &[],
        ),
        (
            "paused for long, without pods",
            Control { paused: true, ..none() },
            canary(Scaling, 0, 9999),
            signals(0),
            (Scaling, 0, Some("b"), 0),
            &[],
        ),
        (
            "paused while holding",
            Control { paused: true, ..none() },
            held(),
            judged(signals(1)),
            (Holding, 0, Some("b"), 20),
            &[],
        ),
        (
            "paused before it takes over",
            Control { paused: true, ..none() },
            canary(Promoting, 2, 99),
            signals(2),
            (Promoting, 2, Some("b"), 50),
            &[],
        ),
        (
            "paused, and worse",
            Control { paused: true, ..none() },
            held(),
            failing(100, 50),
            (Idle, 0, None, 0),
            &[Reason::RolledBack],
        ),
        (
            "paused, and promoted",
            Control { paused: true, promote: word("b"), ..none() },
            held(),
            judged(signals(1)),
            (Holding, 0, Some("b"), 20),
            &[],
        ),
        (
            "promoted while holding",
            Control { promote: word("b"), ..none() },
            canary(Holding, 0, 1),
            signals(1),
            (Promoting, 1, Some("b"), 20),
            &[Reason::Promoting],
        ),
        (
            "promoted while scaling",
            Control { promote: word("b"), ..none() },
            canary(Scaling, 1, 1),
            signals(0),
            (Promoting, 1, Some("b"), 20),
            &[Reason::Promoting],
        ),
        (
            "promoted, and worse",
            Control { promote: word("b"), ..none() },
            canary(Holding, 0, 1),
            failing(100, 50),
            (Idle, 0, None, 0),
            &[Reason::RolledBack],
        ),
        (
            "another is promoted",
            Control { promote: word("c"), ..none() },
            canary(Holding, 0, 1),
            signals(1),
            (Holding, 0, Some("b"), 20),
            &[],
        ),
        (
            "aborted",
            Control { abort: word("b"), ..none() },
            canary(Holding, 1, 1),
            signals(2),
            (Idle, 0, None, 0),
            &[Reason::RolledBack],
        ),
        (
            "aborted while paused",
            Control { abort: word("b"), paused: true, ..none() },
            canary(Holding, 1, 1),
            signals(2),
            (Idle, 0, None, 0),
            &[Reason::RolledBack],
        ),
        (
            "aborted before it starts",
            Control { abort: word("b"), ..none() },
            served(),
            signals(0),
            (Idle, 0, None, 0),
            &[Reason::RolledBack],
        ),
        (
            "another is aborted",
            Control { abort: word("c"), ..none() },
            canary(Holding, 1, 1),
            signals(2),
            (Holding, 1, Some("b"), 50),
            &[],
        ),
    ];
    for (name, control, from, signals, to, reasons) in cases {
        let policy = Rollout { control, ..policy() };
        let Transition { next, because } = advance(&from, &signals, &policy, at(NOW));
        let seen =
            (next.stage, next.step, next.canary.as_ref().map(|c| c.revision.as_str()), wanted_weight(&next, &policy));
        assert_eq!(seen, to, "{name}");
        assert_eq!(because.iter().map(|n| n.reason).collect::<Vec<_>>(), reasons, "{name}: {because:?}");
    }
}

#[test]
fn a_pause_lasts_until_somebody_ends_it_and_is_not_time_lost() {
    let mut policy = policy();
    policy.steps[0].pause = true;
    let judged = Signals { counts: SplitWindow { requests: 100, ..SplitWindow::default() }, ..signals(2) };
    let from = RolloutStatus { step_since: Some(Time(at(NOW - 5))), ..canary(RolloutStage::Holding, 0, 5) };
    let holding = advance(&from, &judged, &policy, at(NOW)).next;
    assert_eq!(waits(&holding, &policy, at(NOW)), None, "it holds first");
    let waiting = advance(&holding, &judged, &policy, at(NOW + 5)).next;
    let later = advance(&waiting, &judged, &policy, at(NOW + 100_000)).next;
    assert_eq!((later.stage, later.step, &later), (RolloutStage::Holding, 0, &waiting), "nothing is written meanwhile");
    assert_eq!(waits(&later, &policy, at(NOW + 100_000)).unwrap(), "set control.proceed to b/0 to go on");
    // A pod stumbles after days, when no deadline may hold the days against it.
    let lost = advance(&later, &Signals { canary_ready: 0, ..judged.clone() }, &policy, at(NOW + 100_000)).next;
    let lost = advance(&lost, &Signals { canary_ready: 0, ..judged.clone() }, &policy, at(NOW + 100_010)).next;
    assert_eq!(lost.stage, RolloutStage::Scaling);
    policy.control.proceed = Some("b/0".into());
    let silent = Signals { silent: 1, ..judged.clone() };
    let unheard = advance(&later, &silent, &policy, at(NOW + 100_000)).next;
    assert_eq!(
        (unheard.stage, unheard.step),
        (RolloutStage::Holding, 0),
        "it listens for as long as another step does"
    );
    let on = advance(&later, &judged, &policy, at(NOW + 100_000)).next;
    assert_eq!((on.stage, on.step), (RolloutStage::Holding, 1));
}

#[test]
fn a_word_is_for_one_attempt_until_it_is_set_again() {
    let mut policy = policy();
    policy.steps[0].pause = true;
    policy.control.proceed = Some("b/0".into());
    policy.control.promote = Some("b".into());
    let on = advance(&canary(RolloutStage::Holding, 0, 1), &signals(2), &policy, at(NOW)).next;
    assert_eq!((on.stage, &on.promoted, &on.proceeded), (RolloutStage::Promoting, &None, &Some("b/0".into())));
    let promoted = advance(&on, &signals(2), &policy, at(NOW)).next;
    assert_eq!((&promoted.stable, &promoted.promoted), (&Some(revision("b")), &Some("b".into())));
    // Back to the one before, and forward again.
    let again = RolloutStatus {
        promoted: promoted.promoted.clone(),
        proceeded: promoted.proceeded.clone(),
        ..canary(RolloutStage::Holding, 0, 100)
    };
    let judged = Signals { counts: SplitWindow { requests: 100, ..SplitWindow::default() }, ..signals(2) };
    let waiting = advance(&again, &judged, &policy, at(NOW)).next;
    assert_eq!((waiting.stage, waiting.step), (RolloutStage::Holding, 0));
    assert_eq!(waits(&waiting, &policy, at(NOW)).unwrap(), "take control.proceed out and set it again to b/0 to go on");
    let word = std::mem::take(&mut policy.control);
    let without = advance(&waiting, &judged, &policy, at(NOW)).next;
    assert_eq!((&without.promoted, &without.proceeded, without.step), (&None, &None, 0));
    policy.control = Control { proceed: word.proceed, ..Control::default() };
    let passed = advance(&without, &judged, &policy, at(NOW)).next;
    assert_eq!((passed.step, passed.proceeded.as_deref()), (1, Some("b/0")));
}

#[test]
fn a_failure_is_forgotten_once_for_each_number() {
    let mut policy = policy();
    policy.control.retry = Some("b@1".into());
    let fails = |from: &RolloutStatus, policy: &Rollout| advance(from, &failing(100, 50), policy, at(NOW)).next;
    let early = fails(&canary(RolloutStage::Holding, 0, 1), &policy);
    assert!(early.failed.is_some() && early.retried.as_deref() == Some("b@1"), "it was there before the failure");
    assert!(advance(&early, &signals(0), &policy, at(NOW)).next.failed.is_some());
    policy.control.retry = Some("c@2".into());
    assert!(advance(&early, &signals(0), &policy, at(NOW)).next.failed.is_some(), "another revision's");
    policy.control.retry = Some("b@2".into());
    let Transition { next, because } = advance(&early, &signals(0), &policy, at(NOW));
    assert_eq!((next.failed.clone(), next.canary.clone()), (None, Some(revision("b"))));
    assert_eq!(because[0].reason, Reason::Retried);
    let again = fails(&RolloutStatus { stage: RolloutStage::Holding, ..next }, &policy);
    assert!(again.failed.is_some());
    assert!(advance(&again, &signals(0), &policy, at(NOW)).next.failed.is_some(), "once");
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

#[test]
fn agreement() {
    let mut policy = policy();
    policy.analysis.min_agreement = Some(95.0);
    let with = |compared, agreed| Signals {
        counts: SplitWindow { requests: 100, compared, agreed, ..SplitWindow::default() },
        ..signals(2)
    };
    for (compared, agreed, fails) in
        [(100, 80, true), (100, 94, false), (100, 95, false), (10_000, 9400, true), (19, 0, false), (0, 0, false)]
    {
        let t = advance(&canary(RolloutStage::Holding, 0, 1), &with(compared, agreed), &policy, at(NOW));
        assert_eq!(t.next.failed.map(|f| f.reason), fails.then(|| "Disagreement".to_owned()), "{agreed} of {compared}");
    }
}

#[test]
fn a_step_that_lacks_evidence_does_what_it_is_told_and_says_so() {
    let with = |on_not_enough_evidence, requests| {
        let mut policy = policy();
        policy.analysis.on_not_enough_evidence = on_not_enough_evidence;
        let counts = SplitWindow { requests, ..SplitWindow::default() };
        advance(&canary(RolloutStage::Holding, 0, 10), &Signals { counts, ..signals(1) }, &policy, at(NOW))
    };
    let held = with(OnNotEnoughEvidence::Hold, 3);
    assert_eq!((held.next.step, held.next.stage, held.because.len()), (0, RolloutStage::Holding, 0));
    let metrics = held.next.analysis.clone().unwrap().metrics;
    assert!(metrics.iter().all(|m| m.outcome == MetricOutcome::NotEnoughEvidence && m.samples == 3), "{metrics:?}");
    let more = u64::try_from(metrics[0].more_needed.unwrap().max(metrics[1].more_needed.unwrap())).unwrap();
    assert_eq!(with(OnNotEnoughEvidence::Hold, 3 + more - 1).next.step, 0);
    assert_eq!(with(OnNotEnoughEvidence::Hold, 3 + more).next.step, 1, "{more}");

    let promoted = with(OnNotEnoughEvidence::Promote, 0);
    assert_eq!(promoted.next.step, 1);
    assert!(promoted.because[0].warning && promoted.because[0].note.contains("after 0 requests"), "{promoted:?}");

    let failed = with(OnNotEnoughEvidence::RollBack, 3).next.failed.unwrap();
    assert_eq!(failed.reason, "NotEnoughEvidence");
    assert!(failed.message.contains("more needed"), "{failed:?}");
}

#[test]
fn worse_than_the_stable_revision_though_within_the_limit() {
    let mut policy = policy();
    policy.analysis.max_error_rate = 20.0;
    let stable = |errors| Some(StableWindow { requests: 1600, errors, ..StableWindow::default() });
    let counts = |of| SplitWindow { requests: 400, errors: 60, stable: stable(of), ..SplitWindow::default() };
    let after = |of| {
        advance(&canary(RolloutStage::Holding, 0, 1), &Signals { counts: counts(of), ..signals(2) }, &policy, at(NOW))
    };
    let failed = after(0).next.failed.unwrap();
    assert!(failed.message.contains("of the stable revision 0.0 % (0 of 1600)"), "{failed:?}");
    assert_eq!(after(240).next.failed, None, "both fail as often");
}

#[test]
fn a_slow_canary() {
    let mut policy = policy();
    policy.analysis.max_latency_ratio = Some(1.5);
    let all_at = |milliseconds, n| {
        let mut buckets = Vec::new();
        for _ in 0..n {
            count_latency(&mut buckets, std::time::Duration::from_millis(milliseconds));
        }
        buckets
    };
    for (milliseconds, failed) in [(10, None), (100, Some("Latency"))] {
        let stable = StableWindow { requests: 800, errors: 0, latencies: all_at(10, 800) };
        let latencies = all_at(milliseconds, 200);
        let counts = SplitWindow { requests: 210, latencies, stable: Some(stable), ..SplitWindow::default() };
        let t = advance(&canary(RolloutStage::Holding, 0, 10), &Signals { counts, ..signals(1) }, &policy, at(NOW));
        assert_eq!(t.next.failed.as_ref().map(|f| f.reason.as_str()), failed, "{t:?}");
        assert_eq!(t.next.step, i32::from(failed.is_none()), "{t:?}");
    }
}

#[test]
fn what_is_seen_is_written_down_when_an_outcome_changes_and_now_and_then() {
    let look = |from: &RolloutStatus, requests, second| {
        let counts = SplitWindow { requests, ..SplitWindow::default() };
        advance(from, &Signals { counts, ..signals(1) }, &policy(), at(second)).next
    };
    let first = look(&canary(RolloutStage::Holding, 0, 0), 30, NOW);
    assert_eq!(look(&first, 31, NOW + 1), first);
    assert_ne!(look(&first, 200, NOW + 1).analysis, first.analysis, "passed");
    assert_ne!(look(&first, 31, NOW + 10).analysis, first.analysis, "ten seconds later");
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
        let course = Some(course::digest(policy.strategy, &course(policy)));
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
fn what_is_called_back_takes_over_with_the_pods_that_it_has_and_is_never_too_late() {
    let policy = Rollout { control: Control { roll_back_to: Some("b".into()), ..Control::default() }, ..policy() };
    let back = |ready| Signals { rolls_back: true, stable_ready: 9, together: Some(9), ..signals(ready) };
    let served = RolloutStatus { previous: Some(revision("b")), previous_until: Some(Time(at(NOW + 5))), ..served() };
    let started = advance(&served, &back(6), &policy, at(NOW)).next;
    assert_eq!((started.stage, started.called_back), (RolloutStage::Promoting, true));
    let none = advance(&started, &back(0), &policy, at(NOW + 99_999)).next;
    assert_eq!((none.stage, &none.failed), (RolloutStage::Promoting, &None), "it waits for one");
    let flipped = advance(&none, &back(1), &policy, at(NOW + 99_999)).next;
    assert_eq!((flipped.stable, flipped.called_back, flipped.takeover_replicas), (Some(revision("b")), false, Some(9)));
    // One whose pods are gone is scaled first, however long it takes.
    let recorded = advance(&super::tests::served(), &back(0), &policy, at(NOW)).next;
    let late = advance(&recorded, &back(6), &policy, at(NOW + 99_999)).next;
    assert_eq!((late.stage, late.failed, late.stable), (RolloutStage::Promoting, None, Some(revision("a"))));
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
