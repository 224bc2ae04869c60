//! Which candidate is served: pure, from the numbers that the status shows.

use std::collections::BTreeSet;

use drydock_contract::{FailureReason, Numbers, front};
use drydock_crds::{CandidateFallback, CandidateState, CandidateStatus, Reason};

use crate::optimization::is_final;
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
            let broken = rules.limits.broken(&compared(candidate), rules.objective);
            if !broken.is_empty() {
                let each: Vec<String> = broken.iter().map(ToString::to_string).collect();
                candidate.state = CandidateState::Rejected;
                candidate.reason = Some(Reason::GateBroken.as_str().to_owned());
                candidate.message = Some(each.join("; "));
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
        // Of equals not the first: the order of recipes in a list says nothing.
        .min_by(|a, b| rules.objective.compare(&compared(a), &compared(b)).then_with(|| a.name.cmp(&b.name)));
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

pub fn compared(c: &CandidateStatus) -> Numbers {
    Numbers {
        accuracy: c.accuracy,
        accuracy_change: c.accuracy_change,
        latency_milliseconds: c.latency_milliseconds,
        speedup: c.speedup,
        size_bytes: c.size_bytes,
        size_ratio: c.size_ratio,
        memory_bytes: c.memory_bytes,
    }
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

/// Among those that pass.
fn mark_pareto(candidates: &mut [CandidateStatus]) {
    let passes = |c: &&mut CandidateStatus| matches!(c.state, CandidateState::Passed | CandidateState::Selected);
    let passing: Vec<&mut CandidateStatus> = candidates.iter_mut().filter(passes).collect();
    let numbers: Vec<Numbers> = passing.iter().map(|c| compared(c)).collect();
    for (candidate, is_on_front) in passing.into_iter().zip(front(&numbers)) {
        candidate.pareto = is_on_front;
    }
}

#[cfg(test)]
mod tests;
