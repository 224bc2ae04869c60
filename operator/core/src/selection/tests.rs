use strum::VariantArray as _;

use super::*;
use drydock_contract::{Limits, Objective};

fn rules(change: impl FnOnce(&mut SelectionRules)) -> SelectionRules {
    let mut rules = SelectionRules {
        limits: Limits { max_accuracy_drop: 1.0, ..Limits::default() },
        objective: Objective::Latency,
        fallback: CandidateFallback::KeepCurrent,
    };
    change(&mut rules);
    rules
}

/// Accuracy, milliseconds and bytes, of an original with 90 %, 10 ms and 1000 bytes.
fn candidate(name: &str, accuracy: f64, latency: f64, size: i64) -> CandidateStatus {
    CandidateStatus {
        name: name.into(),
        state: CandidateState::Passed,
        package: Some(format!("sha256:{name}")),
        accuracy: Some(accuracy),
        accuracy_change: Some(accuracy - 90.0),
        latency_milliseconds: Some(latency),
        speedup: Some(10.0 / latency),
        size_bytes: Some(size),
        size_ratio: Some(size as f64 / 1000.0),
        memory_bytes: Some(100 * 1024 * 1024),
        ..CandidateStatus::default()
    }
}

fn original() -> CandidateStatus {
    candidate("original", 90.0, 10.0, 1000)
}

fn failed(name: &str, reason: &str) -> CandidateStatus {
    CandidateStatus {
        name: name.into(),
        state: CandidateState::Failed,
        reason: Some(reason.into()),
        message: Some("why".into()),
        ..CandidateStatus::default()
    }
}

fn chosen(mut list: Vec<CandidateStatus>, rules: &SelectionRules) -> String {
    match select(&mut list, rules) {
        Verdict::Chosen(name) => name,
        Verdict::Waiting => "waiting".into(),
        Verdict::Nothing { reason, .. } => reason.to_string(),
        Verdict::Again { reason, .. } => format!("{reason}, again"),
    }
}

fn message(c: CandidateStatus, rules: &SelectionRules) -> Option<String> {
    let mut list = vec![original(), c];
    select(&mut list, rules);
    list[1].message.clone()
}

#[test]
fn the_best_by_each_objective() {
    let list = || {
        vec![
            original(),
            candidate("fast", 89.2, 2.0, 500),
            candidate("small", 89.5, 4.0, 200),
            candidate("exact", 89.9, 5.0, 600),
        ]
    };
    for (objective, name) in [(Objective::Latency, "fast"), (Objective::Size, "small"), (Objective::Accuracy, "exact")]
    {
        assert_eq!(chosen(list(), &rules(|r| r.objective = objective)), name);
    }
}

#[test]
fn ties_do_not_depend_on_the_order_of_the_list() {
    let (a, b) = (candidate("a", 89.5, 2.0, 500), candidate("b", 89.5, 2.0, 500));
    let better = candidate("z", 89.6, 2.0, 500);
    for list in [vec![original(), a.clone(), b.clone()], vec![original(), b.clone(), a.clone()]] {
        assert_eq!(chosen(list, &rules(|_| {})), "a");
    }
    assert_eq!(chosen(vec![original(), a, better, b], &rules(|_| {})), "z", "the more exact of two that are as fast");
}

#[test]
fn gates_show_each_number_beside_its_limit() {
    let both = rules(|r| {
        r.limits.max_accuracy_drop = 0.5;
        r.limits.max_size_ratio = Some(0.27);
    });
    assert_eq!(
        message(candidate("c", 88.8, 2.0, 310), &both).unwrap(),
        "accuracy drop 1.20 points, limit 0.50 points; size 31.0 %, limit 27.0 %"
    );
    let latency = rules(|r| r.limits.max_latency_milliseconds = Some(3.0));
    assert_eq!(message(candidate("c", 90.0, 3.004, 310), &latency).unwrap(), "latency 3.004 ms, limit 3.000 ms");
    let memory = rules(|r| r.limits.max_memory_bytes = Some(64.0 * 1024.0 * 1024.0));
    assert_eq!(message(candidate("c", 90.0, 3.0, 310), &memory).unwrap(), "memory 100.0 MiB, limit 64.0 MiB");
    let speedup = rules(|r| r.limits.min_speedup = Some(3.0));
    assert_eq!(message(candidate("c", 90.0, 5.0, 310), &speedup).unwrap(), "speedup 2.00x, limit 3.00x");
}

#[test]
fn at_the_limit_passes() {
    let exact = rules(|r| {
        r.limits.max_accuracy_drop = 0.3;
        r.limits.max_size_ratio = Some(0.29);
        r.limits.min_speedup = Some(2.0);
    });
    assert_eq!(message(candidate("c", 89.7, 5.0, 290), &exact), None);
}

#[test]
fn a_gate_without_a_measurement_is_broken() {
    let blind = CandidateStatus { accuracy_change: None, ..candidate("c", 90.0, 2.0, 300) };
    assert_eq!(message(blind, &rules(|_| {})).unwrap(), "accuracy drop was not measured, limit 1.00 points");
}

#[test]
fn slower_than_the_original_is_no_use_for_latency() {
    let slow = || candidate("c", 90.0, 11.0, 300);
    assert_eq!(message(slow(), &rules(|_| {})).unwrap(), "speedup 0.91x, limit 1.00x");
    assert_eq!(chosen(vec![original(), slow()], &rules(|_| {})), "NoCandidatePasses");
    assert_eq!(chosen(vec![original(), slow()], &rules(|r| r.objective = Objective::Size)), "c");
}

#[test]
fn when_none_passes() {
    let bad = || candidate("bad", 80.0, 2.0, 300);
    let serve = rules(|r| r.fallback = CandidateFallback::ServeOriginal);
    assert_eq!(chosen(vec![original(), bad()], &rules(|_| {})), "NoCandidatePasses");
    assert_eq!(chosen(vec![original(), bad()], &serve), "original");
    for reason in drydock_contract::FailureReason::VARIANTS {
        let again = if reason.may_pass() { ", again" } else { "" };
        let broken = failed("original", reason.as_str());
        assert_eq!(chosen(vec![broken.clone(), bad()], &rules(|_| {})), format!("{reason}{again}"));
        assert_eq!(chosen(vec![original(), broken], &rules(|_| {})), format!("{reason}{again}"));
    }
    assert_eq!(chosen(vec![failed("original", "Unheard"), bad()], &rules(|_| {})), "Internal, again");
    assert_eq!(chosen(vec![original(), failed("x", "InvalidRecipe")], &rules(|_| {})), "InvalidRecipe");
    assert_eq!(
        chosen(vec![original(), failed("x", "InvalidRecipe"), failed("y", "OutOfMemory")], &rules(|_| {})),
        "OptimizationFailed"
    );
    assert_eq!(chosen(vec![original(), failed("x", "InvalidRecipe"), bad()], &rules(|_| {})), "NoCandidatePasses");
    assert_eq!(chosen(vec![original()], &rules(|_| {})), "original", "without recipes");
}

#[test]
fn nothing_is_said_before_all_are_measured_but_that_the_model_is_bad() {
    let running = CandidateStatus { name: "r".into(), state: CandidateState::Running, ..CandidateStatus::default() };
    assert_eq!(chosen(vec![original(), candidate("c", 90.0, 1.0, 100), running.clone()], &rules(|_| {})), "waiting");
    assert_eq!(chosen(vec![failed("original", "InvalidModel"), running], &rules(|_| {})), "InvalidModel");
    assert_eq!(
        chosen(vec![failed("original", "DigestMismatch"), candidate("c", 90.0, 1.0, 100)], &rules(|_| {})),
        "DigestMismatch"
    );
}

#[test]
fn other_gates_are_another_selection() {
    let mut list = vec![original(), candidate("fast", 89.2, 2.0, 500), candidate("exact", 89.9, 5.0, 600)];
    assert_eq!(select(&mut list, &rules(|_| {})), Verdict::Chosen("fast".into()));
    let strict = rules(|r| r.limits.max_accuracy_drop = 0.5);
    assert_eq!(select(&mut list, &strict), Verdict::Chosen("exact".into()));
    assert_eq!(list[1].state, CandidateState::Rejected);
    let once = list.clone();
    select(&mut list, &strict);
    assert_eq!(list, once, "selecting twice is selecting once");
    assert_eq!(select(&mut list, &rules(|_| {})), Verdict::Chosen("fast".into()));
    assert_eq!((list[1].reason.clone(), list[1].message.clone()), (None, None));
}

#[test]
fn the_pareto_front() {
    let mut list = vec![
        original(),
        candidate("fast", 89.5, 2.0, 500),
        candidate("beaten", 89.4, 2.5, 500),
        candidate("small", 89.1, 3.0, 200),
        candidate("rejected", 70.0, 0.1, 1),
    ];
    select(&mut list, &rules(|_| {}));
    let front: Vec<&str> = list.iter().filter(|c| c.pareto).map(|c| c.name.as_str()).collect();
    assert_eq!(front, ["original", "fast", "small"]);
}
