//! What the analysis says, and what follows.

use super::*;

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
        let stable = StableWindow { requests: 800, latencies: all_at(10, 800), ..StableWindow::default() };
        let latencies = all_at(milliseconds, 200);
        let counts = SplitWindow { requests: 210, latencies, stable: Some(stable), ..SplitWindow::default() };
        let t = advance(&canary(RolloutStage::Holding, 0, 10), &Signals { counts, ..signals(1) }, &policy, at(NOW));
        assert_eq!(t.next.failed.as_ref().map(|f| f.reason.as_str()), failed, "{t:?}");
        assert_eq!(t.next.step, i32::from(failed.is_none()), "{t:?}");
    }
}

#[test]
fn what_users_say() {
    let mut policy = policy();
    policy.analysis.max_accuracy_drop = Some(5.0);
    policy.analysis.metrics = vec![FeedbackMetric {
        name: "seconds".into(),
        max: 60.0,
        better: Better::Lower,
        max_worsening: Some(3.0),
        ..FeedbackMetric::default()
    }];
    let said = |correct, seconds| {
        let of = |count: u64, mean| Feedback { count, sum: count as f64 * mean };
        [(CORRECT.to_owned(), of(4000, correct)), ("seconds".to_owned(), of(4000, seconds))].into()
    };
    let after = |correct, seconds| {
        let stable = StableWindow { requests: 2000, feedback: said(0.9, 10.0), ..StableWindow::default() };
        let feedback = said(correct, seconds);
        let counts = SplitWindow { requests: 2000, feedback, stable: Some(stable), ..SplitWindow::default() };
        advance(&canary(RolloutStage::Holding, 0, 10), &Signals { counts, ..signals(1) }, &policy, at(NOW)).next
    };
    for (correct, seconds, failed, step) in [
        (0.9, 10.0, None, 1),
        (0.95, 5.0, None, 1),
        (0.7, 10.0, Some("accuracy 70.0 %, of the stable revision 90.0 %"), 0),
        (0.9, 25.0, Some("seconds 25.0000, of the stable revision 10.0000"), 0),
        // Within the limits, and not surely so.
        (0.855, 12.9, None, 0),
    ] {
        let next = after(correct, seconds);
        assert_eq!(next.failed.is_some(), failed.is_some(), "{correct} {seconds}: {next:?}");
        assert_eq!(next.step, step, "{correct} {seconds}: {next:?}");
        if let (Some(f), Some(expected)) = (&next.failed, failed) {
            assert!(f.reason == "Feedback" && f.message.starts_with(expected), "{f:?}");
        }
    }
    // What is said of nothing is no evidence, and no failure.
    let silent = Signals { counts: SplitWindow { requests: 2000, ..SplitWindow::default() }, ..signals(1) };
    let next = advance(&canary(RolloutStage::Holding, 0, 10), &silent, &policy, at(NOW)).next;
    assert_eq!((next.failed.clone(), next.step), (None, 0), "{next:?}");
    assert!(lacks(&next.analysis.unwrap().metrics).is_some_and(|l| l.contains("seconds after 0 values")));
}

fn a_b(test: AbTest) -> Rollout {
    let conversion = FeedbackMetric { name: "conversion".into(), ..FeedbackMetric::default() };
    let analysis = Analysis { metrics: vec![conversion], ..Analysis::default() };
    Rollout { strategy: Strategy::AbTest, ab_test: Some(test), analysis, ..policy() }
}

fn by(metric: &str) -> AbTest {
    AbTest { metric: Some(metric.into()), duration_seconds: Some(10), ..AbTest::default() }
}

/// Of so many users in each arm, the share of the canary's; of the stable revision's one in ten.
fn users(n: u64, share: f64) -> Signals {
    let said = |share: f64| [("conversion".to_owned(), Feedback { count: n, sum: n as f64 * share })].into();
    let stable = StableWindow { requests: n, feedback: said(0.1), ..StableWindow::default() };
    let counts = SplitWindow { requests: n, feedback: said(share), stable: Some(stable), ..SplitWindow::default() };
    Signals { counts, ..signals(2) }
}

#[test]
fn an_a_b_test_ends_as_the_spec_says() {
    use OnNoWinner::KeepStable;
    use OnWinner::Apply;
    let applies = AbTest { on_winner: Apply, on_no_winner: KeepStable, ..by("conversion") };
    let sampled = AbTest { duration_seconds: None, sample_size: Some(3000), ..applies.clone() };
    let cases = [
        // (the test, seconds, users, share) -> (stage, why it failed, winner)
        (&applies, 9, 4000, 0.2, (RolloutStage::Holding, None, Winner::Canary)),
        (&applies, 10, 4000, 0.2, (RolloutStage::Promoting, None, Winner::Canary)),
        (&applies, 10, 4000, 0.04, (RolloutStage::Idle, Some("Outperformed"), Winner::Stable)),
        (&applies, 10, 4000, 0.1, (RolloutStage::Idle, Some("NoWinner"), Winner::None)),
        (&sampled, 99_999, 2999, 0.1, (RolloutStage::Holding, None, Winner::None)),
        (&sampled, 1, 3000, 0.2, (RolloutStage::Promoting, None, Winner::Canary)),
        (&by("conversion"), 10, 4000, 0.2, (RolloutStage::Holding, None, Winner::Canary)),
        (&by("conversion"), 10, 4000, 0.04, (RolloutStage::Holding, None, Winner::Stable)),
        (&by("conversion"), 10, 4000, 0.1, (RolloutStage::Holding, None, Winner::None)),
        // No verdict on so few, and an error rate that is not known keeps a winner waiting.
        (&applies, 10, 15, 1.0, (RolloutStage::Idle, Some("NoWinner"), Winner::None)),
        (&applies, 10, 60, 0.9, (RolloutStage::Holding, None, Winner::Canary)),
    ];
    for (test, seconds, n, share, expected) in cases {
        let policy = a_b(test.clone());
        let next = advance(&canary(RolloutStage::Holding, 0, seconds), &users(n, share), &policy, at(NOW)).next;
        let found = next.ab_test.clone().unwrap();
        let failed = next.failed.as_ref().map(|f| f.reason.as_str());
        assert_eq!((next.stage, failed, found.winner), expected, "{seconds} s, {n}, {share}: {next:?}");
        assert_eq!(found.revision, "b");
        assert!(found.lower <= found.effect && found.effect <= found.upper, "{found:?}");
    }
}

#[test]
fn a_person_overrules_an_a_b_test_and_is_waited_for() {
    let applies = AbTest { on_winner: OnWinner::Apply, ..by("conversion") };
    let from = canary(RolloutStage::Holding, 0, 10);
    let word = |control| Rollout { control, ..a_b(applies.clone()) };
    let proceed = word(Control { proceed: Some("b/0".into()), ..Control::default() });
    assert_eq!(advance(&from, &users(4000, 0.04), &proceed, at(NOW)).next.stage, RolloutStage::Promoting);
    let paused = word(Control { paused: true, ..Control::default() });
    for share in [0.2, 0.04] {
        assert_eq!(advance(&from, &users(4000, share), &paused, at(NOW)).next.stage, RolloutStage::Holding);
    }
    // Of what it waits is said, and only once it does.
    let held = a_b(by("conversion"));
    let look = |from: &RolloutStatus, second| advance(from, &users(4000, 0.2), &held, at(second)).next;
    let during = look(&canary(RolloutStage::Holding, 0, 5), NOW);
    assert_eq!(waits(&during, &held, at(NOW)), None);
    let after = look(&during, NOW + 5);
    assert_eq!(waits(&after, &held, at(NOW + 5)), Some("set control.proceed to b/0 to go on".into()));
    // What it has found outlives it, until another canary begins.
    let promoted = RolloutStatus { stage: RolloutStage::Promoting, step: 1, ..after };
    let next = advance(&promoted, &users(4000, 0.2), &held, at(NOW + 6)).next;
    assert_eq!(
        (next.stable.as_ref(), next.ab_test.as_ref().map(|t| t.winner)),
        (Some(&revision("b")), Some(Winner::Canary))
    );
    let other = Signals { target: Some(revision("c")), ..signals(0) };
    assert_eq!(advance(&next, &other, &held, at(NOW + 7)).next.ab_test, None);
}

#[test]
fn winners_by_what_is_there_without_a_word() {
    let latencies = |milliseconds| {
        let mut buckets = Vec::new();
        (0..500).for_each(|_| count_latency(&mut buckets, std::time::Duration::from_millis(milliseconds)));
        buckets
    };
    let stable = StableWindow {
        requests: 2000,
        errors: 100,
        latencies: latencies(40),
        feedback: [(CORRECT.to_owned(), Feedback { count: 2000, sum: 1600.0 })].into(),
    };
    let counts = SplitWindow {
        requests: 2000,
        latencies: latencies(10),
        feedback: [(CORRECT.to_owned(), Feedback { count: 2000, sum: 1840.0 })].into(),
        stable: Some(stable),
        ..SplitWindow::default()
    };
    for (metric, effect) in [("ErrorRate", -5.0), ("Latency", 0.25), ("Accuracy", 12.0)] {
        let signals = Signals { counts: counts.clone(), ..signals(2) };
        let found =
            advance(&canary(RolloutStage::Holding, 0, 1), &signals, &a_b(by(metric)), at(NOW)).next.ab_test.unwrap();
        assert_eq!((found.winner, found.effect, found.ended), (Winner::Canary, Some(effect), false), "{found:?}");
        assert!(found.message.ends_with("the canary is better"), "{found:?}");
    }
    // Nobody has said anything yet.
    let found = advance(&canary(RolloutStage::Holding, 0, 1), &signals(2), &a_b(by("Latency")), at(NOW)).next.ab_test;
    let found = found.unwrap();
    assert_eq!((found.winner, found.effect, found.upper), (Winner::None, None, None), "{found:?}");
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
