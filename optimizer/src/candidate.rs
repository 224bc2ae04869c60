//! From a model and at most one recipe to a measured package in the store.

use std::path::Path;

use drydock_contract::{
    CandidateReport, Datatype, Measurements, PackageContent, PackageManifest, PackageRecord, Preprocessing, Recipe,
    SCHEMA, SizeMeasurement, TensorSignature,
};

use crate::Error;
use crate::benchmark::benchmark;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::evaluate::evaluate;
use crate::fetch::Fetched;
use crate::memory;
use crate::onnx;
use crate::progress::Progress;
use crate::store::Store;
use crate::technique;

/// A model that declares a larger input is not run without data: 1 GiB of float32.
const MAX_INPUT_ELEMENTS: i64 = 1 << 28;

/// One candidate to make. Everything in it is local already.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `original`, or the recipe's name.
    pub name: &'a str,
    /// None: the model as it came.
    pub recipe: Option<&'a Recipe>,
    pub model: &'a Fetched,
    pub calibration: Option<&'a Fetched>,
    pub evaluation: Option<&'a Fetched>,
    pub preprocessing: &'a Preprocessing,
    pub labels: &'a [String],
    pub store: &'a Path,
    /// This program's binary, which the memory measurement starts again; None leaves that measurement out.
    pub program: Option<&'a Path>,
}

/// Versions of what the result depends on.
pub fn tools(engine: &Engine) -> std::collections::BTreeMap<String, String> {
    let own = ("drydock-optimizer".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    [own, ("onnxruntime".to_owned(), engine.version())].into()
}

/// Transforms, evaluates, benchmarks and publishes.
///
/// # Errors
/// The first thing that went wrong; nothing is published then.
pub fn make(engine: &Engine, request: &Request<'_>, progress: &mut Progress) -> Result<CandidateReport, Error> {
    progress.stage(5.0, 10.0);
    let source = onnx::read(&request.model.path)?;
    let (inputs, outputs) = onnx::signature(&source.graph)?;
    let evaluation = open(request.evaluation, &inputs, request.preprocessing)?;

    progress.stage(10.0, 30.0);
    let original = source.single_file();
    let candidate = match request.recipe {
        Some(recipe) => {
            let calibration = open(request.calibration, &inputs, request.preprocessing)?;
            Some(technique::apply(engine, source.graph, recipe, calibration.as_ref(), progress)?)
        }
        None => None,
    };

    progress.stage(30.0, 80.0);
    let mut measured = Measurements::default();
    if let (Some(data), Some(output)) = (&evaluation, outputs.first()) {
        measured.accuracy = Some(evaluate(engine, &original, candidate.as_deref(), &output.name, data, progress)?);
    }
    progress.stage(80.0, 95.0);
    let shape = run_shape(&inputs, evaluation.as_ref());
    match &shape {
        Some(shape) => measured.latency = Some(benchmark(engine, &original, candidate.as_deref(), shape, progress)?),
        None => progress.note("latency and memory are not measured: they need one FP32 input of known shape"),
    }
    let result = candidate.as_deref().unwrap_or(&original);
    measured.size = Some(SizeMeasurement { bytes: result.len() as u64, original_bytes: original.len() as u64 });

    progress.stage(95.0, 100.0);
    let staged = Store::open(request.store)?.stage(result)?;
    if let (Some(shape), Some(program)) = (&shape, request.program) {
        measured.memory = Some(memory::measure(program, &staged.model_path(), shape)?);
    }
    let content = PackageContent {
        schema: SCHEMA,
        model: staged.file().clone(),
        inputs,
        outputs,
        preprocessing: request.preprocessing.clone(),
        labels: request.labels.to_vec(),
    };
    let digest = content.digest();
    let record = PackageRecord {
        candidate: request.name.to_owned(),
        recipe: request.recipe.cloned(),
        source: request.model.digest.clone(),
        calibration: request.recipe.and(request.calibration).map(|f| f.digest.clone()),
        evaluation: request.evaluation.map(|f| f.digest.clone()),
        measurements: measured.clone(),
        tools: tools(engine),
    };
    staged.publish(&PackageManifest { digest: digest.clone(), content, record })?;
    progress.step("publish", 1, 1, "package");
    Ok(CandidateReport {
        candidate: request.name.to_owned(),
        package: Some(digest),
        measurements: measured,
        failure: None,
    })
}

fn open(
    file: Option<&Fetched>,
    inputs: &[TensorSignature],
    preprocessing: &Preprocessing,
) -> Result<Option<Dataset>, Error> {
    Ok(file.map(|f| Dataset::open(&f.path, inputs, preprocessing)).transpose()?)
}

/// The shape of one input at a time; `None` where there are several inputs or a dimension is not known.
fn run_shape(inputs: &[TensorSignature], data: Option<&Dataset>) -> Option<Vec<i64>> {
    let [input] = inputs else { return None };
    let (batch, rest) = input.shape.split_first()?;
    let rest = data.map_or(rest, Dataset::item_shape);
    let shape: Vec<i64> = std::iter::once((*batch).max(1)).chain(rest.iter().copied()).collect();
    let elements = shape.iter().try_fold(1_i64, |n, d| n.checked_mul(*d));
    let usable = shape.iter().all(|d| *d > 0) && elements.is_some_and(|n| n <= MAX_INPUT_ELEMENTS);
    (usable && input.datatype == Datatype::Fp32).then_some(shape)
}
