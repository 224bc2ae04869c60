//! What users say of both revisions' answers, as streams of values from 0 to 1.

use std::collections::BTreeMap;

use drydock_contract::{CORRECT, Feedback, SplitWindow};
use drydock_crds::{Analysis, Better, FeedbackMetric, Metric, MetricStatus};
use drydock_sequential::{Levels, Tally, rate_increase};

use super::analysis::metric;

/// The values of both tracks in one window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    pub canary: Feedback,
    pub stable: Feedback,
}

impl Pair {
    pub fn of(c: &SplitWindow, name: &str) -> Self {
        let find = |all: &BTreeMap<String, Feedback>| all.get(name).copied().unwrap_or_default();
        Self { canary: find(&c.feedback), stable: c.stable.as_ref().map(|s| find(&s.feedback)).unwrap_or_default() }
    }
}

/// `min` is 0 and `max` is 1. What a pod says is not trusted to lie between the two.
pub fn tally(f: Feedback, m: &FeedbackMetric) -> Tally {
    let of = f.count as f64;
    Tally { hits: ((f.sum - m.min * of) / width(m)).clamp(0.0, of), of }
}

/// Of what lies between the bounds; the API server lets none pass that is not over 0.
pub fn width(m: &FeedbackMetric) -> f64 {
    if m.max > m.min { m.max - m.min } else { 1.0 }
}

pub fn mean(f: Feedback) -> f64 {
    if f.count > 0 { f.sum / f.count as f64 } else { 0.0 }
}

/// Whether an answer was right, as a metric like the others.
pub fn correct() -> FeedbackMetric {
    FeedbackMetric { name: CORRECT.to_owned(), ..FeedbackMetric::default() }
}

/// How many of the rules judge feedback.
pub fn rules(rules: &Analysis) -> usize {
    usize::from(rules.max_accuracy_drop.is_some()) + rules.metrics.iter().filter(|m| m.max_worsening.is_some()).count()
}

pub fn judge(c: &SplitWindow, rules: &Analysis, levels: &Levels) -> Vec<MetricStatus> {
    let accuracy = rules.max_accuracy_drop.map(|limit| {
        let both = Pair::of(c, CORRECT);
        let message = format!(
            "accuracy {:.1} %, of the stable revision {:.1} % ({} and {} answers of which users say so), limit {limit:.1} points less",
            mean(both.canary) * 100.0,
            mean(both.stable) * 100.0,
            both.canary.count,
            both.stable.count,
        );
        worse(Metric::Accuracy, &correct(), both, limit / 100.0, levels, message)
    });
    let others = rules.metrics.iter().filter_map(|m| {
        let limit = m.max_worsening?;
        let both = Pair::of(c, &m.name);
        let message = format!(
            "{} {:.4}, of the stable revision {:.4} ({} and {} values), limit {limit} {}",
            m.name,
            mean(both.canary),
            mean(both.stable),
            both.canary.count,
            both.stable.count,
            if m.better == Better::Higher { "less" } else { "more" }
        );
        let status = worse(Metric::Feedback, m, both, limit, levels, message);
        Some(MetricStatus { name: Some(m.name.clone()), ..status })
    });
    accuracy.into_iter().chain(others).collect()
}

/// Whether the canary's mean is worse by more than `limit`, in the metric's own unit.
fn worse(what: Metric, m: &FeedbackMetric, both: Pair, limit: f64, levels: &Levels, message: String) -> MetricStatus {
    let badness = |f: Feedback| {
        let t = tally(f, m);
        if m.better == Better::Higher { Tally { hits: t.of - t.hits, of: t.of } } else { t }
    };
    let test = rate_increase(badness(both.canary), badness(both.stable), (limit / width(m)).clamp(0.0, 1.0), levels);
    metric(what, &test, message)
}
