//! What a person has decided, read.

use drydock_crds::{Control, Reason, RolloutStatus};

use crate::plan::Notice;

/// Whether the pause of the step `step` of the canary is ended.
pub fn proceeds(control: &Control, at: &RolloutStatus, step: usize) -> bool {
    let Some(revision) = at.canary.as_ref().map(|c| c.revision.as_str()) else { return false };
    let word = control.proceed.as_ref().filter(|_| at.proceeded != control.proceed);
    word.and_then(|p| p.split_once('/')).is_some_and(|(of, at)| of == revision && at.parse() == Ok(step))
}

/// Whether the canary skips what is left of its steps.
pub fn promotes(control: &Control, at: &RolloutStatus) -> bool {
    let revision = at.canary.as_ref().map(|c| &c.revision);
    revision.is_some() && control.promote.as_ref() == revision && at.promoted != control.promote
}

/// Why a revision is rolled back that `control.abort` names.
pub fn names_it(control: &Control) -> String {
    format!("control.abort names it{}", told(control.by.as_ref().and_then(|by| by.abort.as_ref())))
}

/// `, by jane`, as somebody claims.
pub fn told(by: Option<&String>) -> String {
    by.map(|by| format!(", by {by}")).unwrap_or_default()
}

/// A word that has had its effect stays so for as long as the spec has it: what was meant for one attempt is not said of a
/// later one of the same revision.
pub fn spend(before: &RolloutStatus, next: &mut RolloutStatus, control: &Control) {
    next.promoted.take_if(|word| control.promote.as_ref() != Some(word));
    next.proceeded.take_if(|word| control.proceed.as_ref() != Some(word));
    let Some(was) = before.canary.as_ref().map(|c| &c.revision) else { return };
    let is_over = next.canary.as_ref().map(|c| &c.revision) != Some(was);
    let has_passed = |step: &str| step.parse().is_ok_and(|step: i32| step == before.step && step < next.step);
    if is_over && control.promote.as_ref() == Some(was) {
        next.promoted.clone_from(&control.promote);
    }
    let named = control.proceed.as_deref().and_then(|p| p.split_once('/'));
    if named.is_some_and(|(of, step)| of == was && (is_over || has_passed(step))) {
        next.proceeded.clone_from(&control.proceed);
    }
}

/// Forgets the failure that `control.retry` names, if it is new.
pub fn retry(next: &mut RolloutStatus, control: &Control) -> Vec<Notice> {
    let Some(retry) = control.retry.as_ref().filter(|retry| next.retried.as_ref() != Some(retry)) else {
        return Vec::new();
    };
    next.retried = Some(retry.clone());
    let of = retry.split_once('@').map_or(retry.as_str(), |(revision, _)| revision);
    let Some(failed) = next.failed.take_if(|f| f.revision == of) else { return Vec::new() };
    let by = told(control.by.as_ref().and_then(|by| by.retry.as_ref()));
    let note =
        format!("the failure of revision {} is forgotten{by} ({}: {})", failed.revision, failed.reason, failed.message);
    vec![Notice::normal(Reason::Retried, note)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use drydock_crds::RevisionStatus;

    #[test]
    fn a_pause_is_ended_for_one_step_of_one_revision() {
        for (proceed, ends) in [
            (Some("b/1"), true),
            (Some("b/0"), false),
            (Some("b/10"), false),
            (Some("c/1"), false),
            (Some("b"), false),
            (Some("b/"), false),
            (None, false),
        ] {
            let control = Control { proceed: proceed.map(str::to_owned), ..Control::default() };
            let canary = RevisionStatus { revision: "b".into(), ..RevisionStatus::default() };
            let at = RolloutStatus { canary: Some(canary), ..RolloutStatus::default() };
            assert_eq!(proceeds(&control, &at, 1), ends, "{proceed:?}");
            assert!(!proceeds(&control, &RolloutStatus { proceeded: control.proceed.clone(), ..at }, 1), "{proceed:?}");
        }
    }
}
