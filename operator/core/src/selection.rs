//! Which candidate is served: pure, from the numbers that the status shows.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use drydock_contract::FailureReason;
use drydock_crds::{CandidateFallback, CandidateState, CandidateStatus, Objective, Reason};

use crate::optimization::{is_final, mebibytes};
use crate::resolved::SelectionRules;

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Not all are measured yet.
    Waiting,
    /// The name of the candidate, which has a package.
    Chosen(String),
    /// Go on with what is served now; only another spec helps.
    Nothing { reason: Reason, message: String },
    /// Go on with what is served now; the cause may pass, and the same work is done again after a while.
    Again { reason: Reason, message: String },
}

/// Compares every candidate with the gates, marks what became of it, and chooses.
pub fn select(candidates: &mut [CandidateStatus], rules: &SelectionRules) -> Verdict {
    let all_final = candidates.iter().all(is_final);
    let Some((original, others)) = candidates.split_first_mut() else { return Verdict::Waiting };
    clear(original);
    for candidate in others.iter_mut() {
        clear(candidate);
        if candidate.state == CandidateState::Passed {
            let broken = broken_gates(candidate, rules);
            if !broken.is_empty() {
                candidate.state = CandidateState::Rejected;
                candidate.reason = Some(Reason::GateBroken.as_str().to_owned());
                candidate.message = Some(broken.join("; "));
            }
        }
    }
    if original.state == CandidateState::Failed {
        let (reason, message) = (reason_of(original), format!("the model cannot be used: {}", said(original)));
        return if may_pass(original) {
            Verdict::Again { reason, message }
        } else {
            Verdict::Nothing { reason, message }
        };
    }
    if !all_final {
        return Verdict::Waiting;
    }
    let serve_original = others.is_empty() || rules.fallback == CandidateFallback::ServeOriginal;
    let best = others
        .iter_mut()
        .filter(|c| c.state == CandidateState::Passed && c.package.is_some())
        .min_by(|a, b| by_objective(a, b, rules.objective));
    let verdict = match best {
        Some(best) => choose(best),
        None if serve_original => choose(original),
        None => nothing_passes(others),
    };
    mark_pareto(candidates);
    verdict
}

/// Undoes an earlier selection: gates may have changed since.
fn clear(c: &mut CandidateStatus) {
    c.pareto = false;
    if matches!(c.state, CandidateState::Rejected | CandidateState::Selected) {
        c.state = CandidateState::Passed;
        c.reason = None;
        c.message = None;
    }
}

fn choose(c: &mut CandidateStatus) -> Verdict {
    c.state = CandidateState::Selected;
    Verdict::Chosen(c.name.clone())
}

/// The optimizer's reasons are a part of ours; one of another version is unknown.
pub fn reason_of(c: &CandidateStatus) -> Reason {
    c.reason.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Reason::Internal)
}

fn nothing_passes(others: &[CandidateStatus]) -> Verdict {
    let reasons: BTreeSet<Reason> = others.iter().map(reason_of).collect();
    let reason = match reasons.first() {
        _ if reasons.contains(&Reason::GateBroken) => Reason::NoCandidatePasses,
        Some(one) if reasons.len() == 1 => *one,
        _ => Reason::OptimizationFailed,
    };
    let each: Vec<String> = others.iter().map(|c| format!("{}: {}", c.name, said(c))).collect();
    let message = format!("no candidate can be used: {}", each.join(" | "));
    if others.iter().any(may_pass) { Verdict::Again { reason, message } } else { Verdict::Nothing { reason, message } }
}

fn said(c: &CandidateStatus) -> &str {
    c.message.as_deref().unwrap_or_default()
}

/// Failed for a reason that no other spec helps against, and that may be gone at the next try.
pub fn may_pass(c: &CandidateStatus) -> bool {
    let failure = reason_of(c).as_str().parse::<FailureReason>();
    c.state == CandidateState::Failed && failure.is_ok_and(FailureReason::may_pass)
}

/// Each limit that is broken, beside what was measured.
fn broken_gates(c: &CandidateStatus, rules: &SelectionRules) -> Vec<String> {
    let gates = &rules.gates;
    let slower_is_useless = (rules.objective == Objective::Latency).then_some(1.0);
    [
        over("accuracy drop", c.accuracy_change.map(|change| -change), Some(gates.max_accuracy_drop), points),
        under("speedup", c.speedup, gates.min_speedup.or(slower_is_useless), times),
        over("latency", c.latency_milliseconds, gates.max_latency_milliseconds, |n, d| format!("{n:.d$} ms")),
        over("size", c.size_ratio.map(|r| r * 100.0), gates.max_size_ratio.map(|r| r * 100.0), percent),
        over("memory", c.memory_bytes.map(|b| b as f64), rules.max_memory_bytes, |n, _| mebibytes(n)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What was gained and what it cost: `accuracy -0.08, 3.80x as fast, 25.8 % of the size`.
pub fn numbers(c: &CandidateStatus) -> String {
    let parts = [
        c.accuracy_change.map(|a| format!("accuracy {a:+.2}")),
        c.speedup.map(|s| format!("{s:.2}x as fast")),
        c.size_ratio.map(|r| format!("{:.1} % of the size", r * 100.0)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn points(n: f64, decimals: usize) -> String {
    format!("{n:.decimals$} points")
}

fn times(n: f64, decimals: usize) -> String {
    format!("{n:.decimals$}x")
}

fn percent(n: f64, decimals: usize) -> String {
    // The table shows a ratio of four decimals; as a percentage it has two.
    format!("{n:.0$} %", decimals.saturating_sub(1).max(1))
}

type Show = fn(f64, usize) -> String;

fn over(what: &str, measured: Option<f64>, limit: Option<f64>, show: Show) -> Option<String> {
    broken(what, measured, limit?, show, |measured, limit| measured > limit)
}

fn under(what: &str, measured: Option<f64>, limit: Option<f64>, show: Show) -> Option<String> {
    broken(what, measured, limit?, show, |measured, limit| measured < limit)
}

/// A gate that nothing was measured for is broken: it was set to keep something out.
fn broken(what: &str, measured: Option<f64>, limit: f64, show: Show, breaks: fn(f64, f64) -> bool) -> Option<String> {
    let Some(measured) = measured else {
        return Some(format!("{what} was not measured, limit {}", show(limit, 2)));
    };
    // Ratios as percentages carry an error in the last bit.
    if !breaks(measured, limit) || (measured - limit).abs() < 1e-9 {
        return None;
    }
    // As many decimals as it takes to see the difference.
    let decimals = (2..=4).find(|d| show(measured, *d) != show(limit, *d)).unwrap_or(4);
    Some(format!("{what} {}, limit {}", show(measured, decimals), show(limit, decimals)))
}

/// The better one is less. What was not measured is worse than anything.
fn by_objective(a: &CandidateStatus, b: &CandidateStatus, objective: Objective) -> Ordering {
    let latency = || least(a.latency_milliseconds, b.latency_milliseconds);
    let size = || least(a.size_bytes.map(|b| b as f64), b.size_bytes.map(|b| b as f64));
    let accuracy = || least(a.accuracy.map(|x| -x), b.accuracy.map(|x| -x));
    let order = match objective {
        Objective::Latency => latency().then_with(size).then_with(accuracy),
        Objective::Size => size().then_with(latency).then_with(accuracy),
        Objective::Accuracy => accuracy().then_with(latency).then_with(size),
    };
    // Not by place: the order of recipes in a list says nothing.
    order.then_with(|| a.name.cmp(&b.name))
}

fn least(a: Option<f64>, b: Option<f64>) -> Ordering {
    a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY))
}

/// On the front is what no other that passes beats: at least as good in everything, and better in something.
fn mark_pareto(candidates: &mut [CandidateStatus]) {
    let passing: Vec<[f64; 3]> = candidates.iter().filter(|c| passes(c)).map(coordinates).collect();
    for c in candidates.iter_mut().filter(|c| passes(c)) {
        let own = coordinates(c);
        c.pareto = !passing
            .iter()
            .any(|other| other.iter().zip(&own).all(|(o, s)| o <= s) && other.iter().zip(&own).any(|(o, s)| o < s));
    }
}

fn passes(c: &CandidateStatus) -> bool {
    matches!(c.state, CandidateState::Passed | CandidateState::Selected)
}

fn coordinates(c: &CandidateStatus) -> [f64; 3] {
    [c.accuracy.map(|a| -a), c.latency_milliseconds, c.size_bytes.map(|b| b as f64)].map(|v| v.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests;
