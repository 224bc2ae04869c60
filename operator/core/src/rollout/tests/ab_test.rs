//! Who wins an A/B test, and what becomes of it then.

use super::*;

pub(super) fn a_b(test: AbTest) -> Rollout {
    let conversion = FeedbackMetric { name: "conversion".into(), ..FeedbackMetric::default() };
    let analysis = Analysis { metrics: vec![conversion], ..Analysis::default() };
    Rollout { strategy: Strategy::AbTest, ab_test: Some(test), analysis, ..policy() }
}

fn by(metric: &str) -> AbTest {
    AbTest { metric: Some(metric.into()), duration_seconds: Some(10), ..AbTest::default() }
}

/// Of so many users in each arm, the share of the canary's; of the stable revision's one in ten.
pub(super) fn users(n: u64, share: f64) -> Signals {
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

/// Two weeks of users are not thrown away for a pod that was moved.
#[test]
fn a_canary_that_loses_a_pod_does_not_begin_the_test_anew() {
    let policy = a_b(AbTest { on_winner: OnWinner::Apply, ..by("conversion") });
    let look = |from: &RolloutStatus, ready, second| {
        advance(from, &Signals { canary_ready: ready, ..users(4000, 0.2) }, &policy, at(second)).next
    };
    let begun = look(&canary(RolloutStage::Holding, 0, 5), 2, NOW);
    let lost = look(&begun, 0, NOW + 1);
    assert_eq!((lost.stage, window(&lost)), (RolloutStage::Scaling, window(&begun)));
    let again = look(&lost, 2, NOW + 4);
    assert_eq!((again.stage, window(&again)), (RolloutStage::Holding, window(&begun)));
    assert_eq!(look(&again, 2, NOW + 5).stage, RolloutStage::Promoting, "ten seconds after it began");
    // Another course is another test, and so is one after a suspension.
    let longer = AbTest { percentage: 20, ..by("conversion") };
    let other = advance(&begun, &users(4000, 0.2), &a_b(longer), at(NOW + 1)).next;
    assert_eq!((other.stage, &other.ab_test), (RolloutStage::Holding, &None));
    let suspended = advance(&begun, &Signals { suspended: true, ..users(1, 0.0) }, &policy, at(NOW + 1)).next;
    let resumed = look(&suspended, 2, NOW + 99);
    assert_ne!(window(&resumed), window(&begun));
    assert_eq!(look(&resumed, 2, NOW + 108).stage, RolloutStage::Holding);
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
