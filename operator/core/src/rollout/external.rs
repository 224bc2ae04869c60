//! What the answers of others make of a canary: a limit on a single number, or a yes. No statistics, and no part of alpha.

use std::collections::BTreeMap;

use drydock_crds::{Analysis, ExternalMetric, Metric, MetricOutcome, MetricStatus, OnNotEnoughEvidence, RolloutStatus};

use crate::external::{Answer, Heard, is_asked, is_good, key};

/// Each source, as it stands; `heard` by its name.
pub fn judge(heard: &BTreeMap<String, Heard>, at: &RolloutStatus, rules: &Analysis) -> Vec<MetricStatus> {
    if !is_asked(at) {
        return Vec::new();
    }
    rules.external.iter().map(|of| row(of, of_window(heard, at, of))).collect()
}

/// Whether one has not said anything yet, not even that it cannot be reached: that takes its timeout at most, and is waited for
/// whatever is asked of missing evidence. An operator that has just started knows no answers.
pub fn is_pending(heard: &BTreeMap<String, Heard>, at: &RolloutStatus, rules: &Analysis) -> bool {
    is_asked(at) && rules.external.iter().any(|of| of_window(heard, at, of).is_none())
}

/// What becomes of a step for want of this evidence.
pub fn without(m: &MetricStatus, rules: &Analysis) -> OnNotEnoughEvidence {
    let is_it = |of: &&ExternalMetric| m.metric == Metric::External && m.name.as_ref() == Some(&of.name);
    let own = rules.external.iter().find(is_it).and_then(|of| of.on_not_enough_evidence);
    own.unwrap_or(rules.on_not_enough_evidence)
}

fn of_window<'a>(heard: &'a BTreeMap<String, Heard>, at: &RolloutStatus, of: &ExternalMetric) -> Option<&'a Heard> {
    heard.get(&of.name).filter(|h| h.key == key(of, at))
}

fn row(of: &ExternalMetric, heard: Option<&Heard>) -> MetricStatus {
    let (answers, bad) = heard.map_or((0, 0), |h| (h.answers, h.bad));
    let outcome = match heard {
        _ if bad > i64::from(of.failure_limit) => MetricOutcome::Fail,
        Some(h) if is_good(of, &h.last) => MetricOutcome::Pass,
        _ => MetricOutcome::NotEnoughEvidence,
    };
    MetricStatus {
        metric: Metric::External,
        name: Some(of.name.clone()),
        outcome,
        statistic: bad as f64,
        threshold: f64::from(of.failure_limit) + 1.0,
        samples: answers,
        synthetic: None,
        more_needed: Some(i64::from(outcome == MetricOutcome::NotEnoughEvidence)),
        message: message(of, heard),
    }
}

fn message(of: &ExternalMetric, heard: Option<&Heard>) -> String {
    let name = &of.name;
    let Some(heard) = heard else { return format!("{name} has not answered yet") };
    let said = match &heard.last {
        Answer::Number(n) => format!("{name} {}, limit {}", digits(*n), limit(of)),
        Answer::Yes => format!("{name} says yes"),
        Answer::No(why) => format!("{name} says no: {why}"),
        Answer::Nothing(why) => format!("{name} does not say: {why}"),
    };
    match of.job {
        Some(_) => said,
        None => format!("{said} ({} of {} answers bad, {} allowed)", heard.bad, heard.answers, of.failure_limit),
    }
}

fn limit(of: &ExternalMetric) -> String {
    match (of.min, of.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} at least"),
        (None, Some(max)) => format!("{max} at most"),
        (None, None) => "none".to_owned(),
    }
}

/// Six of them.
fn digits(n: f64) -> f64 {
    format!("{n:.5e}").parse().unwrap_or(n)
}
