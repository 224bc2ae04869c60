//! Each reason that a user can see has a row in the runbook.

use drydock_contract::FailureReason;
use drydock_crds::Reason;
use strum::VariantArray as _;

#[test]
fn every_reason_has_a_row() {
    let runbook = include_str!("../../docs/runbook.md");
    for reason in Reason::VARIANTS {
        assert!(runbook.contains(&format!("| `{reason}` |")), "docs/runbook.md has no row for {reason}");
    }
}

/// What the optimizer reports is shown under the same name.
#[test]
fn every_failure_of_the_optimizer_is_a_reason() {
    for failure in FailureReason::VARIANTS {
        assert_eq!(failure.as_str().parse::<Reason>().map(Reason::as_str), Ok(failure.as_str()));
    }
}
