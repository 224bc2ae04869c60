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
    for failure in [
        FailureReason::InvalidModel,
        FailureReason::DigestMismatch,
        FailureReason::InvalidDataset,
        FailureReason::InvalidRecipe,
        FailureReason::InvalidTask,
        FailureReason::SourceUnreachable,
        FailureReason::StoreUnavailable,
        FailureReason::DiskFull,
        FailureReason::Interrupted,
        FailureReason::Internal,
        FailureReason::OutOfMemory,
        FailureReason::DeadlineExceeded,
    ] {
        assert!(Reason::VARIANTS.iter().any(|r| r.as_str() == failure.as_str()), "{failure}");
    }
}
