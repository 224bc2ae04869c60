use drydock_contract::SplitWindow;
use drydock_crds::{Analysis, Reason};

use super::Signals;
use crate::plan::Notice;

/// What the stable pods have seen of the canary, together.
pub fn sum<'a>(windows: impl Iterator<Item = &'a SplitWindow>) -> SplitWindow {
    windows.fold(SplitWindow::default(), |sum, w| SplitWindow {
        requests: sum.requests.saturating_add(w.requests),
        unreachable: sum.unreachable.saturating_add(w.unreachable),
        errors: sum.errors.saturating_add(w.errors),
        timeouts: sum.timeouts.saturating_add(w.timeouts),
        compared: sum.compared.saturating_add(w.compared),
        agreed: sum.agreed.saturating_add(w.agreed),
        ..sum
    })
}

/// Why the canary is worse than what it would replace.
pub fn failure(s: &Signals, rules: &Analysis) -> Option<(Reason, String)> {
    if let Some(crash) = &s.canary_crash {
        return Some((Reason::CrashLoop, crash.clone()));
    }
    let c = &s.counts;
    let error_rate = percent(c.failures(), c.requests);
    if c.requests >= enough(rules) && error_rate > rules.max_error_rate {
        let message = format!(
            "error rate {error_rate:.1} %, limit {:.1} %: {} of {} requests failed ({} errors, {} timeouts, {} unreachable)",
            rules.max_error_rate,
            c.failures(),
            c.requests,
            c.errors,
            c.timeouts,
            c.unreachable
        );
        return Some((Reason::ErrorRate, message));
    }
    let limit = rules.min_agreement?;
    let agreement = percent(c.agreed, c.compared);
    (c.compared >= enough(rules) && agreement < limit).then(|| {
        let message = format!(
            "agreement {agreement:.1} %, limit {limit:.1} %: {} of {} compared answers name the same class",
            c.agreed, c.compared
        );
        (Reason::Disagreement, message)
    })
}

/// A step that was too quiet for a verdict is passed, and never silently.
pub fn unjudged(c: &SplitWindow, rules: &Analysis) -> Vec<Notice> {
    let needed = enough(rules);
    let mut notices = Vec::new();
    if c.requests < needed {
        let note = format!("passed on readiness alone: {} requests, {needed} needed for a verdict", c.requests);
        notices.push(Notice::warning(Reason::CanaryProgressing, note));
    }
    if rules.min_agreement.is_some() && c.compared < needed {
        let note = format!("agreement was not judged: {} compared answers, {needed} needed for a verdict", c.compared);
        notices.push(Notice::warning(Reason::CanaryProgressing, note));
    }
    notices
}

fn enough(rules: &Analysis) -> u64 {
    u64::try_from(rules.min_requests).unwrap_or(1).max(1)
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
