//! What a person has decided, read.

use drydock_crds::{Control, Reason, RolloutStatus};

use crate::plan::Notice;

/// Whether the pause of the step `step` of this canary is ended.
pub fn proceeds(control: &Control, revision: &str, step: usize) -> bool {
    let named = control.proceed.as_deref().and_then(|p| p.split_once('/'));
    named.is_some_and(|(of, at)| of == revision && at.parse() == Ok(step))
}

/// Forgets the failure that `control.retry` names, if it is new.
pub fn retry(next: &mut RolloutStatus, control: &Control) -> Vec<Notice> {
    let Some(retry) = control.retry.as_ref().filter(|retry| next.retried.as_ref() != Some(retry)) else {
        return Vec::new();
    };
    next.retried = Some(retry.clone());
    let of = retry.split_once('@').map_or(retry.as_str(), |(revision, _)| revision);
    let Some(failed) = next.failed.take_if(|f| f.revision == of) else { return Vec::new() };
    let note =
        format!("the failure of revision {} is forgotten ({}: {})", failed.revision, failed.reason, failed.message);
    vec![Notice::normal(Reason::Retried, note)]
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(proceeds(&control, "b", 1), ends, "{proceed:?}");
        }
    }
}
