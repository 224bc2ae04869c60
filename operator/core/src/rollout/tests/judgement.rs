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

/// 95 % has been shown in the first step. To ask for more, or by another tolerance, is to ask again; and so it is of a status from before
/// the rules were noted.
#[test]
fn what_has_passed_by_other_rules_has_not_passed() {
    let with = |min| {
        let mut policy = policy();
        policy.analysis.min_agreement = Some(min);
        policy
    };
    let counts = SplitWindow { requests: 200, compared: 2000, agreed: 1980, ..SplitWindow::default() };
    let shown = Signals { counts, ..signals(2) };
    let second = advance(&canary(RolloutStage::Holding, 0, 10), &shown, &with(95.0), at(NOW)).next;
    assert_eq!(second.step, 1, "{second:?}");
    let quiet = Signals { counts: SplitWindow { requests: 200, ..SplitWindow::default() }, ..signals(2) };
    let step = |from: &RolloutStatus, min| advance(from, &quiet, &with(min), at(NOW + 10)).next.step;
    assert_eq!((step(&second, 95.0), step(&second, 98.0), step(&second, 90.0)), (2, 1, 1));
    let mut old = second.clone();
    old.analysis.as_mut().unwrap().rules.clear();
    assert_eq!(step(&old, 95.0), 1);
    // Nor is it forgotten what they were while nothing else changes.
    let edited = advance(&second, &quiet, &with(98.0), at(NOW + 1)).next;
    assert_eq!(step(&edited, 98.0), 1, "{edited:?}");
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

/// More requests would not help, and the rollout brings the sidecar that would.
#[test]
fn a_sidecar_that_measures_no_latency_says_what_to_do() {
    let mut policy = policy();
    policy.analysis.max_latency_ratio = Some(1.5);
    let lacking = |requests: u64, latencies: Vec<u64>| {
        let stable = StableWindow { requests: 800, errors: 0, latencies: Vec::new(), ..StableWindow::default() };
        let counts = SplitWindow { requests, latencies, stable: Some(stable), ..SplitWindow::default() };
        let t = advance(&canary(RolloutStage::Holding, 0, 10), &Signals { counts, ..signals(1) }, &policy, at(NOW));
        lacks(t.metrics.iter()).unwrap()
    };
    assert!(lacking(200, Vec::new()).contains("take analysis.maxLatencyRatio out"), "{}", lacking(200, Vec::new()));
    assert!(!lacking(0, Vec::new()).contains("maxLatencyRatio"), "no request, no complaint");
    assert!(!lacking(200, vec![0, 200]).contains("maxLatencyRatio"), "{}", lacking(200, vec![0, 200]));
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
    assert!(lacks(next.analysis.unwrap().metrics.iter()).is_some_and(|l| l.contains("seconds after 0 values")));
}

/// So many of users, and so many that were made up: failed of all.
fn asked(users: (u64, u64), synthetic: (u64, u64)) -> Vec<MetricStatus> {
    let counts = |(errors, requests)| SplitWindow {
        requests,
        errors,
        stable: Some(StableWindow { requests, ..StableWindow::default() }),
        ..SplitWindow::default()
    };
    let all = SplitWindow { synthetic: Some(Box::new(counts(synthetic))), ..counts(users) };
    advance(&canary(RolloutStage::Holding, 0, 1), &Signals { counts: all, ..signals(2) }, &policy(), at(NOW)).metrics
}

#[test]
fn synthetic_requests_are_judged_apart_and_thin_out_nothing() {
    use MetricOutcome::{Fail, NotEnoughEvidence, Pass};
    for (users, synthetic, outcome, samples) in [
        ((0, 0), (0, 1), NotEnoughEvidence, (0, 1)),
        ((0, 0), (0, 200), Pass, (0, 200)),
        ((0, 10), (0, 200), Pass, (10, 200)),
        ((0, 200), (0, 10), Pass, (200, 10)),
        ((0, 0), (30, 200), Fail, (0, 200)),
        // What users are told is not made better by what nobody has asked.
        ((30, 200), (0, 100_000), Fail, (200, 100_000)),
        // Too few for a verdict, and too bad for one by others.
        ((1, 4), (0, 100_000), NotEnoughEvidence, (4, 100_000)),
        // Nor is a canary that fails what was recorded promoted because users ask something else.
        ((0, 10_000), (30, 60), Fail, (10_000, 60)),
    ] {
        let found = asked(users, synthetic);
        let rate = &found[0];
        let seen = (rate.outcome, rate.samples, rate.synthetic);
        assert_eq!(seen, (outcome, samples.0, Some(samples.1)), "{users:?} {synthetic:?}: {rate:?}");
    }
    let words = asked((1, 4), (30, 200))[0].message.clone();
    assert!(words.contains("30 of 200 synthetic requests failed"), "{words}");
    assert!(
        words.ends_with(
            "of users: error rate 25.0 %, limit 1.0 %: 1 of 4 requests failed (1 errors, 0 timeouts, 0 unreachable)"
        ),
        "{words}"
    );
    assert!(
        lacks(asked((0, 3), (0, 20)).iter())
            .unwrap()
            .contains("error rate after 3 requests and 20 synthetic ones, about")
    );
}

/// An input that is asked a thousand times is one input.
#[test]
fn recorded_inputs_count_once() {
    let mut policy = policy();
    policy.analysis.min_agreement = Some(95.0);
    let found = |users: (u64, u64), asked, agreed: &[bool]| {
        let inputs = (0..).zip(agreed.iter().copied()).collect();
        let synthetic = SplitWindow { requests: asked, compared: asked, inputs, ..SplitWindow::default() };
        let (agreed, compared) = users;
        let counts = SplitWindow { compared, agreed, synthetic: Some(Box::new(synthetic)), ..SplitWindow::default() };
        let t = advance(&canary(RolloutStage::Holding, 0, 1), &Signals { counts, ..signals(2) }, &policy, at(NOW));
        t.metrics.into_iter().find(|m| m.metric == Metric::Agreement).unwrap()
    };
    for (users, asked, agreed, outcome) in [
        ((0, 0), 1_000_000, &[true; 4][..], MetricOutcome::NotEnoughEvidence),
        ((0, 0), 40, &[false; 4], MetricOutcome::Fail),
        // No verdict on fewer answers than minRequests.
        ((0, 0), 19, &[false; 4], MetricOutcome::NotEnoughEvidence),
        ((0, 0), 1_000_000, &[true, true, true, false], MetricOutcome::NotEnoughEvidence),
        ((200, 200), 40, &[true; 4], MetricOutcome::Pass),
    ] {
        let m = found(users, asked, agreed);
        assert_eq!(m.outcome, outcome, "{users:?} {asked} {agreed:?}: {m:?}");
        assert_eq!((m.samples, m.synthetic), (users.1 as i64, Some(4)));
    }
    assert!(
        found((9, 10), 8, &[true; 4])
            .message
            .contains("13 of 14 compared answers name the same class, 4 of 4 recorded inputs among them")
    );
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
