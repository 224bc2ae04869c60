#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::{
    AccuracyChange, AccuracyMeasurement, DetectionMeasurement, Digest, FidelityMeasurement, LatencyMeasurement,
    MemoryMeasurement, SizeMeasurement,
};

/// What the kubelet keeps of a termination message, in bytes; longer ones are cut and no longer parse.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// The optimizer's termination message: one candidate's result, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateReport {
    /// `original`, the recipe's name, or `auto`.
    pub candidate: String,
    /// The package that was written; `None` if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Digest>,
    #[serde(default)]
    pub measurements: Measurements,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Everything measured on one candidate; what could not be measured (no labelled data, say) is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Measurements {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<AccuracyMeasurement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<DetectionMeasurement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<FidelityMeasurement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyMeasurement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeMeasurement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMeasurement>,
}

/// What gates on accuracy, objectives and reports go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality<'a> {
    /// `top-1` or `mAP`.
    pub metric: &'static str,
    /// Percent.
    pub value: f64,
    pub original: f64,
    pub change: Option<&'a AccuracyChange>,
}

impl Measurements {
    /// Top-1 of a classifier, mean average precision of a detector.
    pub fn quality(&self) -> Option<Quality<'_>> {
        let (metric, (value, original), change) = match (&self.accuracy, &self.detection) {
            (Some(a), _) => ("top-1", (a.top1, a.original_top1), a.change.as_ref()),
            (None, Some(d)) => ("mAP", (d.map, d.original_map), d.change.as_ref()),
            (None, None) => return None,
        };
        Some(Quality { metric, value, original, change })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub reason: FailureReason,
    /// What was found, what was expected, where.
    pub message: String,
}

/// Why a candidate has no package. The exit code tells the Job whether to try again.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum FailureReason {
    /// Not ONNX, truncated, over the parser's limits, or refused by ONNX Runtime.
    InvalidModel,
    DigestMismatch,
    /// No labels, wrong shape, empty.
    InvalidDataset,
    /// The recipe cannot be applied to this model.
    InvalidRecipe,
    /// The search's time budget is not enough for one candidate.
    TimeBudgetTooShort,
    /// The task itself cannot be read: operator and optimizer are of different versions.
    InvalidTask,
    /// A source did not answer; worth trying again.
    SourceUnreachable,
    /// The artifact store could not be written: read-only, gone; worth trying again.
    StoreUnavailable,
    /// The artifact store or the scratch directory has no room left; worth trying again once it has.
    DiskFull,
    /// The pod was told to end before it was done: deleted, evicted, its node drained; worth trying again.
    Interrupted,
    /// Something broke that no input explains; worth trying again.
    Internal,
    /// Set by the operator, not by the optimizer: a killed process reports nothing.
    OutOfMemory,
    /// Set by the operator: the Job's deadline passed.
    DeadlineExceeded,
}

/// sysexits(3).
const EX_TEMPFAIL: u8 = 75;

impl FailureReason {
    /// sysexits(3): 65 `EX_DATAERR` and 64 `EX_USAGE` are never retried, 75 `EX_TEMPFAIL` is.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidTask => 64,
            Self::InvalidModel
            | Self::DigestMismatch
            | Self::InvalidDataset
            | Self::InvalidRecipe
            | Self::TimeBudgetTooShort => 65,
            Self::SourceUnreachable | Self::StoreUnavailable | Self::DiskFull | Self::Interrupted | Self::Internal => {
                EX_TEMPFAIL
            }
            Self::OutOfMemory => 137,
            Self::DeadlineExceeded => 143,
        }
    }

    /// Exit codes that the Job's `podFailurePolicy` must not retry.
    pub const TERMINAL_EXIT_CODES: [i32; 3] = [64, 65, 137];

    /// Whether the same work may succeed at another time.
    pub fn may_pass(self) -> bool {
        self.exit_code() == EX_TEMPFAIL
    }

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl CandidateReport {
    /// The termination message, never over [`TERMINATION_MESSAGE_LIMIT`]: a long failure message is cut, nothing else.
    pub fn to_termination_message(&self) -> String {
        let mut report = self.clone();
        loop {
            let json = serde_json::to_string(&report).unwrap_or_default();
            let over = json.len().saturating_sub(TERMINATION_MESSAGE_LIMIT);
            match &mut report.failure {
                Some(f) if over > 0 && !f.message.is_empty() => {
                    // At least a character goes each time, so this ends; JSON escapes only ever make it shorter than hoped.
                    let keep = f.message.chars().count().saturating_sub(over.max(1) + 1);
                    let cut: String = f.message.chars().take(keep).collect();
                    f.message = if cut.is_empty() { cut } else { cut + "…" };
                }
                _ => return json,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    #[test]
    fn a_long_failure_still_fits_and_parses() {
        for filler in ["x", "\"", "\u{1}", "é", "漢"] {
            let report = CandidateReport {
                candidate: "int8".into(),
                package: None,
                measurements: Measurements::default(),
                failure: Some(Failure { reason: FailureReason::InvalidModel, message: filler.repeat(10_000) }),
            };
            let message = report.to_termination_message();
            assert!(message.len() <= TERMINATION_MESSAGE_LIMIT, "{filler:?}: {}", message.len());
            let back: CandidateReport = serde_json::from_str(&message).unwrap();
            assert_eq!(back.failure.unwrap().reason, FailureReason::InvalidModel);
        }
    }

    /// What the first version wrote is read, and the most that this one writes fits.
    #[test]
    fn measurements_of_all_versions() {
        let old = r#"{"candidate": "int8", "measurements": {
            "accuracy": {"top1": 91.7, "originalTop1": 91.8, "agreement": 99.1, "images": 10000},
            "latency": {"cpu": 1.0, "originalCpu": 3.8, "p50": 1.0, "p99": 1.2, "originalP50": 3.8, "originalP99": 4.5, "rounds": 50}}}"#;
        let mut report: CandidateReport = serde_json::from_str(old).unwrap();
        let Measurements { accuracy: Some(a), latency: Some(l), .. } = &mut report.measurements else {
            panic!("{report:?}");
        };
        assert!(!a.same_data && a.change.is_none() && l.machine.is_none());
        let third = 100.0 / 3.0;
        a.same_data = true;
        (a.top5, a.original_top5) = (Some(third), Some(third));
        a.change = Some(AccuracyChange { low: -third, high: third, p: third / 1e9, lost: u64::MAX, gained: u64::MAX });
        let a_change = a.change.clone();
        (l.energy_millijoules, l.original_energy_millijoules) = (Some(third), Some(third));
        let names = vec!["avx512_vnni".to_owned(); 13];
        l.machine =
            Some(Machine { architecture: "x86_64".into(), processor: "x".repeat(100), instruction_sets: names });
        report.measurements.detection = Some(DetectionMeasurement {
            map: third,
            original_map: third,
            map50: third,
            original_map50: third,
            images: u64::MAX,
            objects: u64::MAX,
            same_data: true,
            change: a_change,
        });
        report.measurements.fidelity =
            Some(FidelityMeasurement { agreement: third, sqnr_decibels: Some(third), images: u64::MAX });
        let message = report.to_termination_message();
        assert!(message.len() <= TERMINATION_MESSAGE_LIMIT / 2, "{}", message.len());
        assert_eq!(serde_json::from_str::<CandidateReport>(&message).unwrap(), report);
    }

    /// What the Job gives up at the first try is what no other time helps against.
    #[test]
    fn what_may_pass_is_not_terminal() {
        for reason in FailureReason::VARIANTS {
            let is_terminal = FailureReason::TERMINAL_EXIT_CODES.contains(&i32::from(reason.exit_code()));
            let is_ended = *reason == FailureReason::DeadlineExceeded;
            assert_eq!(reason.may_pass(), !is_terminal && !is_ended, "{reason}");
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
