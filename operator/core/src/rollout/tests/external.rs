//! What others say, and what follows.

use super::*;
use crate::external::{Answer, key};
use drydock_crds::{CheckJob, ExternalMetric, Metric, PrometheusQuery, WebHook};

fn number(max: Option<f64>, min: Option<f64>) -> ExternalMetric {
    let prometheus = Some(PrometheusQuery { address: "http://p".into(), query: "up".into() });
    ExternalMetric { name: "errors".into(), prometheus, max, min, ..ExternalMetric::default() }
}

fn gate() -> ExternalMetric {
    ExternalMetric { name: "gate".into(), web_hook: Some(WebHook::default()), ..ExternalMetric::default() }
}

fn check() -> ExternalMetric {
    ExternalMetric { name: "check".into(), job: Some(CheckJob::default()), ..ExternalMetric::default() }
}

/// Seconds held of the ten of the step.
fn held(seconds: i64) -> RolloutStatus {
    canary(RolloutStage::Holding, 0, seconds)
}

/// A canary that is good by its counts, and of which one source has said all this, in this order.
fn after(of: &ExternalMetric, on: OnNotEnoughEvidence, seconds: i64, said: &[Answer]) -> Transition {
    let mut policy = policy();
    policy.analysis.external = vec![of.clone()];
    policy.analysis.on_not_enough_evidence = on;
    let before = held(seconds);
    let own = StableWindow { requests: 4000, ..StableWindow::default() };
    let counts = SplitWindow { requests: 1000, stable: Some(own), ..SplitWindow::default() };
    let mut signals = Signals { counts, ..signals(1) };
    for answer in said {
        let last = signals.external.get(&of.name);
        let heard = Heard::after(last, &key(of, &before), of, answer.clone(), at(NOW));
        signals.external.insert(of.name.clone(), heard);
    }
    advance(&before, &signals, &policy, at(NOW))
}

fn outcome(t: &Transition) -> &MetricStatus {
    t.metrics.iter().find(|m| m.metric == Metric::External).unwrap()
}

#[test]
fn each_answer_and_what_is_made_of_it() {
    use Answer::{No, Nothing, Number, Yes};
    use MetricOutcome::{Fail, NotEnoughEvidence, Pass};
    let no = || No("HTTP 403".into());
    let nothing = || Nothing("connection refused".into());
    let at_most = number(Some(0.5), None);
    let tolerant = ExternalMetric { failure_limit: 2, ..at_most.clone() };
    let within = number(Some(1.0), Some(-1.0));
    for (case, of, said, expected, statistic, samples) in [
        ("nothing heard", &at_most, vec![], NotEnoughEvidence, 0.0, 0),
        ("at the limit", &at_most, vec![Number(0.5)], Pass, 0.0, 1),
        ("over it", &at_most, vec![Number(0.500_001)], Fail, 1.0, 1),
        ("without end", &at_most, vec![Number(f64::INFINITY)], Fail, 1.0, 1),
        ("below nothing", &at_most, vec![Number(f64::NEG_INFINITY)], Pass, 0.0, 1),
        ("good, then bad", &at_most, vec![Number(0.1), Number(0.6)], Fail, 1.0, 2),
        ("bad is bad for good", &at_most, vec![Number(0.6), Number(0.1)], Fail, 1.0, 2),
        ("unreachable", &at_most, vec![nothing()], NotEnoughEvidence, 0.0, 0),
        ("unreachable for long", &at_most, vec![nothing(); 1000], NotEnoughEvidence, 0.0, 0),
        ("good, then unreachable", &at_most, vec![Number(0.1), nothing()], NotEnoughEvidence, 0.0, 1),
        ("unreachable, then good", &at_most, vec![nothing(), Number(0.1)], Pass, 0.0, 1),
        ("bad, and allowed", &tolerant, vec![Number(0.6)], NotEnoughEvidence, 1.0, 1),
        ("bad, allowed, and good again", &tolerant, vec![Number(0.6), Number(0.6), Number(0.1)], Pass, 2.0, 3),
        (
            "bad once too often",
            &tolerant,
            vec![Number(0.6), Number(0.1), Number(0.6), nothing(), Number(0.6)],
            Fail,
            3.0,
            4,
        ),
        ("over the least", &within, vec![Number(-1.0)], Pass, 0.0, 1),
        ("under the least", &within, vec![Number(-1.1)], Fail, 1.0, 1),
        ("yes", &gate(), vec![Yes], Pass, 0.0, 1),
        ("no", &gate(), vec![no()], Fail, 1.0, 1),
        ("exit code 0", &check(), vec![Yes], Pass, 0.0, 1),
        ("exit code 1", &check(), vec![No("exit code 1: ".into())], Fail, 1.0, 1),
        ("it runs", &check(), vec![], NotEnoughEvidence, 0.0, 0),
    ] {
        let t = after(of, OnNotEnoughEvidence::Hold, 5, &said);
        let m = outcome(&t);
        assert_eq!((m.outcome, m.statistic, m.samples), (expected, statistic, samples), "{case}: {m:?}");
        assert_eq!(m.threshold as i32, of.failure_limit + 1, "{case}");
        assert_eq!(m.name.as_ref(), Some(&of.name), "{case}");
        let failed = t.next.failed.map(|f| f.reason);
        assert_eq!(failed, (expected == Fail).then(|| "External".to_owned()), "{case}");
    }
}

#[test]
fn a_step_is_passed_by_the_last_answer() {
    use OnNotEnoughEvidence::{Hold, Promote, RollBack};
    let bad = || Answer::No("HTTP 403".into());
    let tolerant = ExternalMetric { failure_limit: 1, ..gate() };
    let nothing = || Answer::Nothing("HTTP 503".into());
    for (case, on, said, step, failed) in [
        ("yes", Hold, vec![Answer::Yes], 1, None),
        // Nobody knows yet, and will soon: whatever is asked of missing evidence.
        ("not heard", Hold, vec![], 0, None),
        ("not heard", Promote, vec![], 0, None),
        ("not heard", RollBack, vec![], 0, None),
        ("unreachable", Hold, vec![nothing()], 0, None),
        ("unreachable", Promote, vec![nothing()], 1, None),
        ("unreachable", RollBack, vec![nothing()], 0, Some("NotEnoughEvidence")),
        ("no, and allowed", Hold, vec![bad()], 0, None),
        ("no, and allowed", RollBack, vec![Answer::Yes, bad()], 0, Some("NotEnoughEvidence")),
        ("no, and yes", RollBack, vec![bad(), Answer::Yes], 1, None),
    ] {
        let t = after(&tolerant, on, 11, &said);
        let found = t.next.failed.as_ref().map(|f| f.reason.as_str());
        assert_eq!((t.next.step * i32::from(found.is_none()), found), (step, failed), "{case}, {on:?}");
        let is_told = t.because.iter().any(|n| n.warning && n.note.contains("gate does not say: HTTP 503"));
        assert_eq!(is_told, case == "unreachable" && on != Hold, "{case}, {on:?}: {:?}", t.because);
    }
}

/// An own word goes before that of the analysis.
#[test]
fn each_source_may_have_its_own_word_about_missing_evidence() {
    use OnNotEnoughEvidence::{Hold, Promote, RollBack};
    let said = [Answer::Nothing("HTTP 503".into())];
    for (own, of_all, step, is_back) in
        [(Promote, Hold, 1, false), (Hold, Promote, 0, false), (RollBack, Hold, 0, true), (Hold, RollBack, 0, false)]
    {
        let of = ExternalMetric { on_not_enough_evidence: Some(own), ..gate() };
        let t = after(&of, of_all, 11, &said);
        assert_eq!((t.next.step, t.next.failed.is_some()), (step, is_back), "{own:?} of {of_all:?}");
    }
}

/// Each step asks anew, and so does a question that is edited.
#[test]
fn what_was_heard_of_something_else_counts_for_nothing() {
    let mut policy = policy();
    policy.analysis.external = vec![gate()];
    let before = held(5);
    let edited = ExternalMetric { web_hook: Some(WebHook { url: "http://b".into(), ..WebHook::default() }), ..gate() };
    let yes = |key: &str| Heard::after(None, key, &gate(), Answer::Yes, at(NOW));
    for (name, key, expected) in [
        ("the same", key(&gate(), &before), MetricOutcome::Pass),
        ("another step", key(&gate(), &canary(RolloutStage::Holding, 1, 5)), MetricOutcome::NotEnoughEvidence),
        ("another time", key(&gate(), &held(6)), MetricOutcome::NotEnoughEvidence),
        ("another question", key(&edited, &before), MetricOutcome::NotEnoughEvidence),
    ] {
        let external = [("gate".to_owned(), yes(&key))].into();
        let t = advance(&before, &Signals { external, ..signals(1) }, &policy, at(NOW));
        assert_eq!(outcome(&t).outcome, expected, "{name}");
    }
    let bad = Heard::after(Some(&yes("a")), "b", &gate(), Answer::No(String::new()), at(NOW));
    assert_eq!((bad.answers, bad.bad), (1, 1));
}

/// While it is scaled there may be no pod to speak of.
#[test]
fn nobody_is_asked_but_of_a_step_that_is_held() {
    let mut policy = policy();
    policy.analysis.external = vec![gate()];
    for stage in [RolloutStage::Scaling, RolloutStage::Promoting] {
        let t = advance(&canary(stage, 1, 1), &signals(0), &policy, at(NOW));
        assert!(t.metrics.iter().all(|m| m.metric != Metric::External), "{stage:?}");
    }
}

/// It is no part of alpha.
#[test]
fn the_other_metrics_are_judged_as_before() {
    let without = advance(&held(5), &failing(50, 2), &policy(), at(NOW)).metrics;
    let mut policy = policy();
    policy.analysis.external = vec![gate(), check()];
    let with = advance(&held(5), &failing(50, 2), &policy, at(NOW)).metrics;
    assert_eq!(with[..without.len()], without[..]);
    assert_eq!(with.len(), without.len() + 2);
}
