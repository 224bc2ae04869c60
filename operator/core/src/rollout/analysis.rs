//! Whether the canary is worse than what it would replace: from counts, by a test that may be looked at at any time.

use std::collections::BTreeMap;

use drydock_contract::{Feedback, SplitWindow, StableWindow, latency_edges};
use drydock_crds::{
    Analysis, AnalysisStatus, Metric, MetricOutcome, MetricStatus, Reason, Rollout, RolloutStatus, Router,
};
use drydock_sequential::{Evidence, Levels, Outcome, Tally, Test, quantile_ratio, rate, rate_increase};
use jiff::{SignedDuration, Timestamp};

use super::{Signals, feedback, whole_seconds, window};
use crate::hash::hash;

/// Between two looks that are written down, while no outcome changes: each write of the status wakes the next pass.
pub(super) const REFRESH: SignedDuration = SignedDuration::from_secs(10);

/// What the stable pods have seen, together.
pub fn sum<'a>(windows: impl Iterator<Item = &'a SplitWindow>) -> SplitWindow {
    windows.fold(SplitWindow::default(), |sum, w| SplitWindow {
        requests: sum.requests.saturating_add(w.requests),
        unreachable: sum.unreachable.saturating_add(w.unreachable),
        errors: sum.errors.saturating_add(w.errors),
        timeouts: sum.timeouts.saturating_add(w.timeouts),
        compared: sum.compared.saturating_add(w.compared),
        agreed: sum.agreed.saturating_add(w.agreed),
        latencies: each(&sum.latencies, &w.latencies),
        feedback: together(&sum.feedback, &w.feedback),
        stable: match (&sum.stable, &w.stable) {
            (Some(a), Some(b)) => Some(StableWindow {
                requests: a.requests.saturating_add(b.requests),
                errors: a.errors.saturating_add(b.errors),
                latencies: each(&a.latencies, &b.latencies),
                feedback: together(&a.feedback, &b.feedback),
            }),
            (one, other) => one.clone().or_else(|| other.clone()),
        },
        ..sum
    })
}

/// The same where each pod has counted its own: what the canary's pods have answered, beside the stable ones.
pub fn beside<'a>(
    canary: impl Iterator<Item = &'a SplitWindow>,
    stable: impl Iterator<Item = &'a SplitWindow>,
) -> SplitWindow {
    let own = sum(canary).stable.unwrap_or_default();
    SplitWindow {
        requests: own.requests,
        errors: own.errors,
        latencies: own.latencies,
        stable: sum(stable).stable,
        ..SplitWindow::default()
    }
}

fn each(a: &[u64], b: &[u64]) -> Vec<u64> {
    let at = |list: &[u64], i: usize| list.get(i).copied().unwrap_or(0);
    (0..a.len().max(b.len())).map(|i| at(a, i).saturating_add(at(b, i))).collect()
}

fn together(a: &BTreeMap<String, Feedback>, b: &BTreeMap<String, Feedback>) -> BTreeMap<String, Feedback> {
    let mut all = a.clone();
    for (name, more) in b {
        let sum = all.entry(name.clone()).or_default();
        sum.count = sum.count.saturating_add(more.count);
        sum.sum += more.sum;
    }
    all
}

/// Every metric that is judged, as it stands, on a way of so many steps; `before`: what was last written of this canary.
///
/// What two models answer, and how right they are, has nothing to do with how many requests they get: an agreement, or an accuracy, that
/// has passed in one step need not be shown again in the next, where it can still fail. What has passed by other rules has not.
pub fn judge(c: &SplitWindow, policy: &Rollout, steps: usize, before: Option<&AnalysisStatus>) -> Vec<MetricStatus> {
    let is_of_answers = |m: &MetricStatus| matches!(m.metric, Metric::Agreement | Metric::Accuracy | Metric::Feedback);
    let mut all = judge_window(c, policy, steps);
    let before = before.filter(|a| a.rules == digest(&policy.analysis));
    for unknown in all.iter_mut().filter(|m| is_of_answers(m) && m.outcome == MetricOutcome::NotEnoughEvidence) {
        let is_it =
            |m: &&MetricStatus| (m.metric, &m.name, m.outcome) == (unknown.metric, &unknown.name, MetricOutcome::Pass);
        if let Some(passed) = before.and_then(|a| a.metrics.iter().find(is_it)) {
            unknown.clone_from(passed);
        }
    }
    all
}

fn judge_window(c: &SplitWindow, policy: &Rollout, steps: usize) -> Vec<MetricStatus> {
    let rules = &policy.analysis;
    let metrics = 2
        + usize::from(rules.max_latency_ratio.is_some())
        + usize::from(rules.min_agreement.is_some())
        + feedback::rules(rules);
    // One failure of any metric in any window rolls back, so these share alpha (Bonferroni): a step has one while it is held, and one
    // with its share while the next is scaled for. A pass needs every metric of every step, and what is bad in one of them has to get
    // by that one (intersection-union).
    // With a gateway there is one more, until the step's weight is accepted.
    let windows = if policy.router == Router::Gateway { 3 } else { 2 };
    let looks = (metrics * windows * steps.max(1)) as f64;
    let levels = Levels {
        fail: rules.alpha / looks,
        pass: rules.alpha,
        min_samples: u64::try_from(rules.min_requests).unwrap_or(1).max(1),
    };
    let canary = Tally::new(c.failures(), c.requests);
    let own = c.stable.clone().unwrap_or_default();
    let stable = Tally::new(own.errors, own.requests);
    let (limit, allowed) = (rules.max_error_rate, rules.max_error_rate + rules.error_rate_margin);
    let mut all = vec![
        metric(
            Metric::ErrorRate,
            &rate(canary, limit / 100.0, allowed / 100.0, &levels),
            format!(
                "error rate {:.1} %, limit {limit:.1} %: {} of {} requests failed ({} errors, {} timeouts, {} unreachable)",
                canary.share() * 100.0,
                c.failures(),
                c.requests,
                c.errors,
                c.timeouts,
                c.unreachable
            ),
        ),
        metric(
            Metric::ErrorRateIncrease,
            &rate_increase(canary, stable, rules.max_error_rate_increase / 100.0, &levels),
            format!(
                "error rate {:.1} %, of the stable revision {:.1} % ({} of {}), limit {:.1} points more",
                canary.share() * 100.0,
                stable.share() * 100.0,
                own.errors,
                own.requests,
                rules.max_error_rate_increase
            ),
        ),
    ];
    if let Some(ratio) = rules.max_latency_ratio {
        let (edges, q) = (latency_edges(), rules.latency_quantile / 100.0);
        let at =
            |buckets: &[u64]| quantile(buckets, &edges, q).map_or("unknown".to_owned(), |ms| format!("{ms:.1} ms"));
        let message = format!(
            "p{} {}, of the stable revision {}, limit {ratio:.2} times as much",
            rules.latency_quantile,
            at(&c.latencies),
            at(&own.latencies)
        );
        let test = quantile_ratio(&c.latencies, &own.latencies, &edges, q, ratio, &levels);
        all.push(metric(Metric::LatencyRatio, &test, message));
    }
    all.extend(rules.min_agreement.map(|min| agreement(c, min, rules, &levels)));
    all.extend(feedback::judge(c, rules, &levels));
    all
}

fn agreement(c: &SplitWindow, min: f64, rules: &Analysis, levels: &Levels) -> MetricStatus {
    let agreed = Tally::new(c.agreed, c.compared);
    let differ = Tally::new(c.compared.saturating_sub(c.agreed), c.compared);
    let limit = 100.0 - min;
    metric(
        Metric::Agreement,
        &rate(differ, limit / 100.0, (limit + rules.agreement_margin) / 100.0, levels),
        format!(
            "agreement {:.1} %, limit {min:.1} %: {} of {} compared answers {}",
            agreed.share() * 100.0,
            c.agreed,
            c.compared,
            if rules.tolerance.is_empty() { "name the same class" } else { "are within the tolerance" }
        ),
    )
}

pub(super) fn metric<E: Fn(f64) -> Evidence>(metric: Metric, test: &Test<E>, message: String) -> MetricStatus {
    let found = test.finding();
    MetricStatus {
        metric,
        name: None,
        outcome: match found.outcome {
            Outcome::Pass => MetricOutcome::Pass,
            Outcome::Fail => MetricOutcome::Fail,
            Outcome::NotEnoughEvidence => MetricOutcome::NotEnoughEvidence,
        },
        statistic: three_digits(found.statistic),
        threshold: three_digits(found.threshold),
        samples: i64::try_from(found.samples).unwrap_or(i64::MAX),
        more_needed: test.more().and_then(|more| i64::try_from(more).ok()),
        message,
    }
}

/// Of no use to anybody are more.
pub(super) fn three_digits(x: f64) -> f64 {
    let digits = 2 - x.abs().max(1e-3).log10().floor() as i32;
    // By whole numbers, so that what is told has no more of them.
    let unit = 10f64.powi(digits.abs());
    let rounded = if digits > 0 { (x * unit).round() / unit } else { (x / unit).round() * unit };
    // Not -0.
    rounded + 0.0
}

/// The upper edge of the bucket that the quantile is in.
pub(super) fn quantile(buckets: &[u64], edges: &[f64], q: f64) -> Option<f64> {
    let all: u64 = buckets.iter().sum();
    let mut sum = 0;
    let is_there = |(n, _): &(&u64, &f64)| {
        sum += **n;
        sum as f64 >= q * all as f64
    };
    buckets.iter().zip(edges).filter(|_| all > 0).find(is_there).map(|(_, edge)| *edge)
}

/// Names the rules that something was judged by.
fn digest(rules: &Analysis) -> String {
    // Plain data with string keys always serializes.
    hash(&serde_json::to_value(rules).unwrap_or_default(), 8)
}

/// What is written down of it: what was, while nothing of importance is new.
pub fn noted(at: &RolloutStatus, metrics: Vec<MetricStatus>, rules: &Analysis, now: Timestamp) -> AnalysisStatus {
    let outcomes = |all: &[MetricStatus]| all.iter().map(|m| (m.metric, m.name.clone(), m.outcome)).collect::<Vec<_>>();
    let next = AnalysisStatus { at: whole_seconds(now), window: window(at), rules: digest(rules), metrics };
    match &at.analysis {
        Some(before)
            if (&before.window, &before.rules) == (&next.window, &next.rules)
                && (before.metrics == next.metrics
                    || outcomes(&before.metrics) == outcomes(&next.metrics)
                        && now.duration_since(before.at.0) < REFRESH) =>
        {
            before.clone()
        }
        _ => next,
    }
}

/// Why the canary is worse than what it would replace.
pub fn failure(s: &Signals, metrics: &[MetricStatus]) -> Option<(Reason, String)> {
    if let Some(crash) = &s.canary_crash {
        return Some((Reason::CrashLoop, crash.clone()));
    }
    let failed = metrics.iter().find(|m| m.outcome == MetricOutcome::Fail)?;
    let reason = match failed.metric {
        Metric::ErrorRate | Metric::ErrorRateIncrease => Reason::ErrorRate,
        Metric::LatencyRatio => Reason::Latency,
        Metric::Agreement => Reason::Disagreement,
        Metric::Accuracy | Metric::Feedback => Reason::Feedback,
        // Counted, and not a statistic.
        Metric::External => return Some((Reason::External, failed.message.clone())),
    };
    Some((reason, format!("{}; evidence {} of {}", failed.message, failed.statistic, failed.threshold)))
}

/// What a step whose time is over lacks; `None` when every metric passes.
pub fn lacks<'a>(metrics: impl Iterator<Item = &'a MetricStatus> + Clone) -> Option<String> {
    let heard = metrics.clone().any(|m| m.metric == Metric::ErrorRate && m.samples > 0);
    let each: Vec<String> = metrics
        .filter(|m| m.outcome == MetricOutcome::NotEnoughEvidence)
        .map(|m| match m.metric {
            Metric::LatencyRatio if heard && m.samples == 0 => UNTIMED.to_owned(),
            Metric::External => m.message.clone(),
            _ => lack(m),
        })
        .collect();
    (!each.is_empty()).then(|| format!("not enough evidence: {}", each.join("; ")))
}

/// Requests were counted and not timed: more of them would not help.
const UNTIMED: &str = "latency of no request, though requests were counted: an inference-sidecar of this age does not measure it; take \
                       analysis.maxLatencyRatio out for this rollout, which brings a newer one";

fn lack(m: &MetricStatus) -> String {
    let what = match m.metric {
        Metric::ErrorRate => "error rate",
        Metric::ErrorRateIncrease => "error rate beside the stable revision's",
        Metric::LatencyRatio => "latency",
        Metric::Agreement => "agreement",
        Metric::Accuracy => "accuracy",
        Metric::Feedback | Metric::External => m.name.as_deref().unwrap_or("feedback"),
    };
    let unit = match m.metric {
        Metric::ErrorRate | Metric::ErrorRateIncrease | Metric::LatencyRatio => "requests",
        Metric::Agreement => "compared answers",
        Metric::Accuracy | Metric::Feedback | Metric::External => "values",
    };
    let more = m.more_needed.map_or("it lies on its limit".to_owned(), |more| format!("about {more} more needed"));
    format!("{what} after {} {unit}, {more}", m.samples)
}
