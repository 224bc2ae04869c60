//! Whether the canary is worse than what it would replace: from counts, by a test that may be looked at at any time.

use std::collections::BTreeMap;

use drydock_contract::{Feedback, SplitWindow, StableWindow, latency_edges};
use drydock_crds::{
    Analysis, AnalysisStatus, Metric, MetricOutcome, MetricStatus, Reason, Rollout, RolloutStatus, Router,
};
use drydock_sequential::{Evidence, Levels, Outcome, Tally, Test, quantile_ratio, rate, rate_increase};
use jiff::{SignedDuration, Timestamp};

use super::{Signals, feedback, synthetic, whole_seconds, window};
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
        synthetic: match (sum.synthetic, &w.synthetic) {
            (Some(a), Some(b)) => Some(Box::new(self::sum([&*a, &**b].into_iter()))),
            (one, other) => one.or_else(|| other.clone()),
        },
        inputs: agreed(sum.inputs, &w.inputs),
        ..SplitWindow::default()
    })
}

/// On which recorded inputs every pod has found both models to agree.
fn agreed(mut inputs: BTreeMap<u32, bool>, others: &BTreeMap<u32, bool>) -> BTreeMap<u32, bool> {
    for (number, agreed) in others {
        *inputs.entry(*number).or_insert(true) &= agreed;
    }
    inputs
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
    // Synthetic requests have a share of their own, on top: users' must not take longer to tell a bad canary for them.
    let of_synthetic = Levels { fail: levels.fail * synthetic::ALPHA_SHARE, ..levels };
    let asked = c.synthetic.as_deref().filter(|s| s.requests > 0);
    let both = |judge: fn(&SplitWindow, &Analysis, &Levels, &str) -> Judged| {
        let synthetic = asked.map(|s| judge(s, rules, &of_synthetic, "synthetic requests").status);
        synthetic::beside(judge(c, rules, &levels, "requests"), synthetic)
    };
    let mut all = vec![both(error_rate), both(error_rate_increase)];
    if rules.max_latency_ratio.is_some() {
        all.push(both(latency_ratio));
    }
    all.extend(rules.min_agreement.map(|min| agreement(c, min, rules, &levels)));
    all.extend(feedback::judge(c, rules, &levels));
    all
}

/// A metric of one kind of requests.
pub(super) struct Judged {
    pub(super) status: MetricStatus,
    /// Whether what was seen, be it ever so little, lies beyond what a pass rules out.
    pub(super) is_beyond: bool,
}

fn error_rate(c: &SplitWindow, rules: &Analysis, levels: &Levels, requests: &str) -> Judged {
    let canary = Tally::new(c.failures(), c.requests);
    let (limit, allowed) = (rules.max_error_rate, rules.max_error_rate + rules.error_rate_margin);
    let message = format!(
        "error rate {:.1} %, limit {limit:.1} %: {} of {} {requests} failed ({} errors, {} timeouts, {} unreachable)",
        canary.share() * 100.0,
        c.failures(),
        c.requests,
        c.errors,
        c.timeouts,
        c.unreachable
    );
    let test = rate(canary, limit / 100.0, allowed / 100.0, levels);
    Judged { status: metric(Metric::ErrorRate, &test, message), is_beyond: canary.share() * 100.0 > allowed }
}

fn error_rate_increase(c: &SplitWindow, rules: &Analysis, levels: &Levels, requests: &str) -> Judged {
    let canary = Tally::new(c.failures(), c.requests);
    let (errors, of) = c.stable.as_ref().map_or((0, 0), |own| (own.errors, own.requests));
    let (stable, limit) = (Tally::new(errors, of), rules.max_error_rate_increase);
    let kind = if requests == "requests" { "" } else { " synthetic requests" };
    let message = format!(
        "error rate {:.1} %, of the stable revision {:.1} % ({errors} of {of}{kind}), limit {limit:.1} points more",
        canary.share() * 100.0,
        stable.share() * 100.0,
    );
    let test = rate_increase(canary, stable, limit / 100.0, levels);
    let is_beyond = canary.share() > stable.share() + limit / 100.0;
    Judged { status: metric(Metric::ErrorRateIncrease, &test, message), is_beyond }
}

fn latency_ratio(c: &SplitWindow, rules: &Analysis, levels: &Levels, requests: &str) -> Judged {
    let own = c.stable.as_ref().map_or(&[][..], |own| &own.latencies);
    let (edges, q, ratio) = (latency_edges(), rules.latency_quantile / 100.0, rules.max_latency_ratio.unwrap_or(1.0));
    let (canarys, stables) = (quantile(&c.latencies, &edges, q), quantile(own, &edges, q));
    let tell = |at: Option<f64>| at.map_or("unknown".to_owned(), |ms| format!("{ms:.1} ms"));
    let kind = if requests == "requests" { "" } else { " of synthetic requests" };
    let message = format!(
        "p{}{kind} {}, of the stable revision {}, limit {ratio:.2} times as much",
        rules.latency_quantile,
        tell(canarys),
        tell(stables)
    );
    let test = quantile_ratio(&c.latencies, own, &edges, q, ratio, levels);
    let is_beyond = canarys.zip(stables).is_some_and(|(c, s)| c > s * ratio);
    Judged { status: metric(Metric::LatencyRatio, &test, message), is_beyond }
}

/// A recorded input is one of those that the model may be asked, as a user's is; however often it is asked, it counts once.
fn agreement(c: &SplitWindow, min: f64, rules: &Analysis, levels: &Levels) -> MetricStatus {
    let synthetic = c.synthetic.as_deref().filter(|s| s.requests > 0);
    let inputs = synthetic.map_or(0, |s| s.inputs.len() as u64);
    let agreed_inputs = synthetic.map_or(0, |s| s.inputs.values().filter(|agreed| **agreed).count() as u64);
    let (compared, agreed) = (c.compared.saturating_add(inputs), c.agreed.saturating_add(agreed_inputs));
    let asked = c.compared.saturating_add(synthetic.map_or(0, |s| s.compared));
    // How many answers there must be is a caution against a bad start, and no part of the test: repeated ones do for that.
    let levels = Levels { min_samples: if asked < levels.min_samples { levels.min_samples } else { 1 }, ..*levels };
    let differ = Tally::new(compared.saturating_sub(agreed), compared);
    let limit = 100.0 - min;
    let of_inputs =
        if inputs > 0 { format!(", {agreed_inputs} of {inputs} recorded inputs among them") } else { String::new() };
    let status = metric(
        Metric::Agreement,
        &rate(differ, limit / 100.0, (limit + rules.agreement_margin) / 100.0, &levels),
        format!(
            "agreement {:.1} %, limit {min:.1} %: {agreed} of {compared} compared answers {}{of_inputs}",
            Tally::new(agreed, compared).share() * 100.0,
            if rules.tolerance.is_empty() { "name the same class" } else { "are within the tolerance" }
        ),
    );
    let samples = i64::try_from(c.compared).unwrap_or(i64::MAX);
    MetricStatus { samples, synthetic: synthetic.map(|_| i64::try_from(inputs).unwrap_or(i64::MAX)), ..status }
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
        synthetic: None,
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
                        && now.duration_since(before.at.0).abs() < REFRESH) =>
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
    let synthetic = match (m.metric, m.synthetic) {
        (_, None) => String::new(),
        (Metric::Agreement, Some(n)) => format!(" and {n} recorded inputs"),
        (_, Some(n)) => format!(" and {n} synthetic ones"),
    };
    format!("{what} after {} {unit}{synthetic}, {more}", m.samples)
}
