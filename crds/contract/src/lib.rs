//! What the operator, the optimizer and the inference-sidecar say to one another.
//!
//! ```text
//!  operator ── Task (environment of the Job) ───────────────▶ optimizer
//!  operator ◀─ CandidateReport (termination message) ──────── optimizer
//!  optimizer ─ model package (PackageManifest + model.onnx) ▶ inference-sidecar
//!  operator ── Split (pod annotation) ──────────────────────▶ inference-sidecar
//!  operator ◀─ SplitWindow (GET on the admin port) ────────── inference-sidecar
//! ```
//!
//! Plain data only: no client, no runtime, no I/O.

mod choice;
mod detection;
mod digest;
mod model;
mod package;
mod preprocessing;
mod recipe;
mod report;
mod search;
mod split;
mod target;
mod task;

pub use choice::{Gate, GateResult, Limits, Numbers, Objective, front, rounded};
pub use detection::{Detection, DetectionLayout};
pub use digest::{Digest, DigestError};
pub use model::{Datatype, TensorSignature};
pub use package::{
    AccuracyChange, AccuracyMeasurement, Baseline, CONFUSION_FILE, DetectionMeasurement, Distribution,
    FidelityMeasurement, GraphSummary, Graphs, LatencyMeasurement, MANIFEST_FILE, MAX_SAMPLES, MAX_SAMPLES_BYTES,
    MODEL_FILE, Machine, MemoryMeasurement, ModelFile, OperatorCount, OutputBaseline, PackageContent, PackageManifest,
    PackageRecord, REPORT_FILE, RecordedSamples, SAMPLES_FILE, SCHEMA, STUDY_FILE, SizeMeasurement, Statistics,
    sample_input, sample_output,
};
pub use preprocessing::{ChannelOrder, Crop, Filter, Preprocessing, Resize};
pub use recipe::{
    Budget, Calibration, Distill, Factorize, Format, Importance, LayerRanks, Pattern, Prune, Quantize, Recipe,
    Rounding, Sparsify, Technique,
};
pub use report::{CandidateReport, Failure, FailureReason, Measurements, Quality, TERMINATION_MESSAGE_LIMIT};
pub use search::{SEARCH_CANDIDATE, SEARCH_FILE, Search};
pub use split::{
    CORRECT, Feedback, FeedbackMetric, RequestKey, RequestMatch, SPLIT_ANNOTATION, Split, SplitWindow, StableWindow,
    Tolerance, WARM_UP_REQUESTS, count_latency, latency_bucket, latency_edges,
};
pub use target::{Activations, Bias, Int8Rules, TARGETS, Target, TargetRules};
pub use task::{Dataset, Input, Location, TASK_ENV, Task, Work};
