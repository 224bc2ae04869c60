//! Two models on the same data, and what there is to say of the one beside the other.

use drydock_contract::{
    AccuracyMeasurement, Baseline, Datatype, DetectionMeasurement, Graphs, Measurements, Preprocessing,
    SizeMeasurement, Target, TensorSignature,
};
use drydock_detection::Decoder;

use crate::Error;
use crate::benchmark::benchmark;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::evaluate::{Changes, Confusion, evaluate, evaluate_detector};
use crate::progress::Progress;
use crate::report::{self, Study};

/// A model that declares a larger input is not run without data: 1 GiB of float32.
const MAX_INPUT_ELEMENTS: i64 = 1 << 28;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Models<'a> {
    pub original: &'a [u8],
    /// None: the original is its own equal.
    pub candidate: Option<&'a [u8]>,
    pub inputs: &'a [TensorSignature],
    /// Whose rows are scores of classes.
    pub output: Option<&'a str>,
    /// What reads its boxes, of a detector.
    pub detector: Option<&'a Decoder>,
    /// To evaluate on.
    pub data: Option<&'a Dataset>,
    pub preprocessing: &'a Preprocessing,
    /// The candidate was made with this data.
    pub same_data: bool,
    /// What the candidate is for, where that is said.
    pub target: Option<Target>,
}

/// Everything but what needs the candidate as a file.
#[derive(Clone, Debug)]
pub struct Measured {
    pub measurements: Measurements,
    pub graphs: Option<Graphs>,
    pub baseline: Option<Baseline>,
    pub confusion: Option<Confusion>,
    pub study: Study,
    /// Of one input at a time, where it is known.
    pub shape: Option<Vec<i64>>,
}

/// Evaluates, benchmarks and takes apart.
///
/// # Errors
/// The first thing that went wrong.
pub fn measure(engine: &Engine, models: &Models<'_>, progress: &mut Progress) -> Result<Measured, Error> {
    let Models { original, candidate, .. } = *models;
    progress.stage(30.0, 80.0);
    let mut measurements = Measurements::default();
    let (mut baseline, mut confusion, mut changes) = (None, None, Changes::default());
    if let (Some(data), Some(output)) = (models.data, models.output) {
        let found = match models.detector {
            Some(decoder) => evaluate_detector(engine, original, candidate, decoder, data, progress)?,
            None => evaluate(engine, original, candidate, output, data, progress)?,
        };
        let same_data = models.same_data;
        measurements.detection = found.detection.map(|detection| DetectionMeasurement { same_data, ..detection });
        measurements.accuracy = found.accuracy.map(|accuracy| AccuracyMeasurement { same_data, ..accuracy });
        measurements.fidelity = Some(found.fidelity);
        (baseline, confusion, changes) = (found.baseline, found.confusion, found.changes);
    }
    progress.stage(80.0, 95.0);
    let shape = run_shape(models.inputs, models.data);
    match &shape {
        Some(shape) => {
            let mut latency = benchmark(engine, original, candidate, shape, progress)?;
            latency.on_target = models.target.zip(latency.machine.as_ref()).map(|(t, m)| t.rules().is(m));
            if latency.on_target == Some(false) {
                progress.note("this machine is not the target: the times are this machine's");
            }
            measurements.latency = Some(latency);
        }
        None => progress.note("latency and memory are not measured: they need one FP32 input of known shape"),
    }
    let bytes = candidate.unwrap_or(original).len() as u64;
    measurements.size = Some(SizeMeasurement { bytes, original_bytes: original.len() as u64 });

    progress.stage(95.0, 99.0);
    let study = report::study(engine, models, &changes, progress)?;
    Ok(Measured { measurements, graphs: report::graphs(original, candidate), baseline, confusion, study, shape })
}

/// The shape of one input at a time; `None` where there are several inputs or a dimension is not known.
pub(crate) fn run_shape(inputs: &[TensorSignature], data: Option<&Dataset>) -> Option<Vec<i64>> {
    let [input] = inputs else { return None };
    let (batch, rest) = input.shape.split_first()?;
    let rest = data.map_or(rest, Dataset::item_shape);
    let shape: Vec<i64> = std::iter::once((*batch).max(1)).chain(rest.iter().copied()).collect();
    let elements = shape.iter().try_fold(1_i64, |n, d| n.checked_mul(*d));
    let usable = shape.iter().all(|d| *d > 0) && elements.is_some_and(|n| n <= MAX_INPUT_ELEMENTS);
    (usable && input.datatype == Datatype::Fp32).then_some(shape)
}
