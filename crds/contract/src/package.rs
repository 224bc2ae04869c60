mod baseline;
mod record;
mod samples;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use baseline::{Baseline, Distribution, OutputBaseline, Statistics};
pub use record::{GraphSummary, Graphs, OperatorCount, PackageRecord};
pub use samples::{MAX_SAMPLES, MAX_SAMPLES_BYTES, RecordedSamples, SAMPLES_FILE, sample_input, sample_output};

use crate::{Detection, Digest, Preprocessing, Target, TensorSignature};

/// File name of the manifest in a package directory.
pub const MANIFEST_FILE: &str = "package.json";
/// File name of the model in a package directory.
pub const MODEL_FILE: &str = "model.onnx";
/// File name of the confusion matrices in a package directory, for reports; there only where there were labels.
pub const CONFUSION_FILE: &str = "confusion.json";
/// File name of what only the report shows: layers, and images whose answer changed.
pub const STUDY_FILE: &str = "study.json";
/// File name of the report for people in a package directory.
pub const REPORT_FILE: &str = "report.html";
/// `PackageContent.schema` of this version.
pub const SCHEMA: u32 = 1;

/// `package.json`, beside `model.onnx` in the directory `packages/<hex of digest>/` of an artifact store.
///
/// `content` is what a server needs and what the digest covers, so that equal inputs give an equal digest;
/// `record` is how it came to be and what was measured, which no two runs share. Later versions may add fields to
/// `record`: a reader passes over what it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PackageManifest {
    /// SHA-256 of the compact JSON of `content`, its fields in the order of the file.
    pub digest: Digest,
    pub content: PackageContent,
    pub record: PackageRecord,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PackageContent {
    pub schema: u32,
    pub model: ModelFile,
    pub inputs: Vec<TensorSignature>,
    pub outputs: Vec<TensorSignature>,
    pub preprocessing: Preprocessing,
    /// Class names by index of the first output, or of a detector's classes; empty if there are none or none were given.
    pub labels: Vec<String>,
    /// How boxes are read from the outputs; absent where the model is no detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detection>,
    /// What a recipe made it for; absent of the model as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// The model file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ModelFile {
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

impl PackageContent {
    /// The digest of the package: SHA-256 of the compact JSON of the content in field order. It covers the model's own
    /// digest, and so the model.
    pub fn digest(&self) -> Digest {
        // Plain data with string keys: serde_json has no way to fail on it.
        #[expect(clippy::expect_used, reason = "serializing plain data to memory cannot fail")]
        let json = serde_json::to_vec(self).expect("package content is plain data");
        Digest::of(&json)
    }
}

/// Quality on the evaluation set, in percent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AccuracyMeasurement {
    pub top1: f64,
    /// Top-1 of the original model on the same images.
    pub original_top1: f64,
    /// Images on which candidate and original give the same class.
    pub agreement: f64,
    pub images: u64,
    /// Calibration and evaluation are one file: the candidate has seen these images already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_data: bool,
    /// The right class is among the five that the model thinks likeliest; absent where there are no more than five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_top5: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<AccuracyChange>,
}

/// Quality of a detector on the evaluation set, in percent: COCO's mean average precision, with 100 boxes of a class and an image at
/// most, over objects of all sizes. Crowds count neither way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DetectionMeasurement {
    /// The mean over intersections over union of 0.5, 0.55, to 0.95.
    pub map: f64,
    /// That of the original model on the same images.
    pub original_map: f64,
    /// At an intersection over union of 0.5.
    pub map50: f64,
    pub original_map50: f64,
    pub images: u64,
    /// That are marked in them, without crowds.
    pub objects: u64,
    /// Calibration and evaluation are one file: the candidate has seen these images already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_data: bool,
    /// Of `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<AccuracyChange>,
}

/// Whether a change of top-1, or of a detector's mean average precision, is more than luck: both models answered the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AccuracyChange {
    /// 95 % confidence interval of the change, in points: Newcombe 1998, method 10; of a detector, percentiles of a paired bootstrap
    /// over images.
    pub low: f64,
    pub high: f64,
    /// Two-sided mid-p value of McNemar's test; of a detector, from the bootstrap.
    pub p: f64,
    /// Images that the original has right and the candidate wrong. Of a detector, objects that the original finds and the candidate
    /// does not, with a score that is answered and an intersection over union of 0.5 or more.
    pub lost: u64,
    /// The other way round.
    pub gained: u64,
}

/// How near the candidate's first output is to the original's on the evaluation set; needs no labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FidelityMeasurement {
    /// Percent of the images on which both name the same class. Top-1 cannot have changed by more than what is left. Where the model names a
    /// class for each place of an image, percent of the places. Of a detector, its
    /// mean average precision where the boxes that the original answers with are taken for the truth.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio: 10 log10 of the sum of squares of the original's output over that of the
    /// difference. Absent where there is none, and of a detector that drops overlapping boxes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqnr_decibels: Option<f64>,
    pub images: u64,
}

/// One image, one thread, the candidate and the original taking turns in one process. Milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LatencyMeasurement {
    /// Median CPU time.
    pub cpu: f64,
    pub original_cpu: f64,
    pub p50: f64,
    pub p99: f64,
    pub original_p50: f64,
    pub original_p99: f64,
    /// Interleaved rounds that the medians are taken from.
    pub rounds: u32,
    /// Of the processor packages during one inference, whatever else runs on them; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_millijoules: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_energy_millijoules: Option<f64>,
    /// Whether that was the target of the package; absent where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_target: Option<bool>,
    /// Where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// As the kernel names it; empty where it does not.
    pub processor: String,
    /// Those that matter to int8, in the kernel's words: `avx512_vnni`.
    pub instruction_sets: Vec<String>,
}

impl LatencyMeasurement {
    /// How many times faster than the original, by CPU time.
    pub fn speedup(&self) -> f64 {
        self.original_cpu / self.cpu
    }

    /// Inferences in a second of one core.
    pub fn throughput(&self) -> f64 {
        1e3 / self.cpu
    }

    pub fn original_throughput(&self) -> f64 {
        1e3 / self.original_cpu
    }
}

/// Bytes of the model file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SizeMeasurement {
    pub bytes: u64,
    pub original_bytes: u64,
}

/// Peak resident set, in bytes, of a process that loads and runs the model and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MemoryMeasurement {
    pub peak_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// serde_json without `float_roundtrip` reads about every tenth 17-digit number as its neighbour.
    #[test]
    fn the_digest_survives_reading_and_writing() {
        let mut x = 0.123_456_789_f64;
        for _ in 0..2_000 {
            x = (x * 997.0 + 0.618_033_988_749_894_9).fract();
            let content = PackageContent {
                schema: SCHEMA,
                model: ModelFile { sha256: Digest::of(b"model"), size: 5 },
                inputs: Vec::new(),
                outputs: Vec::new(),
                preprocessing: Preprocessing {
                    scale: x,
                    mean: vec![x / 3.0],
                    std: vec![x / 7.0],
                    ..Preprocessing::default()
                },
                labels: Vec::new(),
                detection: None,
                target: None,
            };
            let back: PackageContent = serde_json::from_str(&serde_json::to_string(&content).unwrap()).unwrap();
            assert_eq!(back.digest(), content.digest(), "{x}");
        }
    }
}
