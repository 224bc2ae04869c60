//! What a person decides.

use super::*;

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
        let Transition { next, because, .. } = advance(&from, &signals, &policy, at(NOW));
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
    let Transition { next, because, .. } = advance(&early, &signals(0), &policy, at(NOW));
    assert_eq!((next.failed.clone(), next.canary.clone()), (None, Some(revision("b"))));
    assert_eq!(because[0].reason, Reason::Retried);
    let again = fails(&RolloutStatus { stage: RolloutStage::Holding, ..next }, &policy);
    assert!(again.failed.is_some());
    assert!(advance(&again, &signals(0), &policy, at(NOW)).next.failed.is_some(), "once");
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
