//! From a model and at most one recipe to a measured package in the store.

use std::collections::BTreeMap;
use std::path::Path;

use drydock_contract::{
    CandidateReport, Detection, PackageContent, PackageManifest, PackageRecord, Preprocessing, Recipe, SAMPLES_FILE,
    SCHEMA, SEARCH_FILE, Target, TensorSignature,
};
use drydock_detection::Decoder;

use crate::Error;
use crate::benchmark::machine;
use crate::dataset::{Dataset, Overlap};
use crate::engine::Engine;
use crate::fetch::Fetched;
use crate::interrupt;
use crate::measure::{Measured, Models, measure};
use crate::memory;
use crate::onnx::{self, Graph, LoadedFile};
use crate::progress::Progress;
use crate::recorded;
use crate::report::{self, Package};
use crate::search::Record;
use crate::store::Store;
use crate::technique::{self, Given, Made};

/// One candidate to make. Everything in it is local already.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `original`, or the recipe's name.
    pub name: &'a str,
    /// None: the model as it came.
    pub recipe: Option<&'a Recipe>,
    /// What the recipe makes, where it has been made already.
    pub found: Option<Found<'a>>,
    /// What the package is for.
    pub target: Option<Target>,
    pub model: &'a Fetched,
    pub calibration: Option<&'a Fetched>,
    pub evaluation: Option<&'a Fetched>,
    /// `None`: the recipe learns on the calibration data, if it learns.
    pub training: Option<&'a Fetched>,
    /// Further models that the recipe names.
    pub models: &'a BTreeMap<String, Fetched>,
    pub preprocessing: &'a Preprocessing,
    pub labels: &'a [String],
    /// The model is a detector.
    pub detection: Option<&'a Detection>,
    pub store: &'a Path,
    /// Evaluation data without labels is an error: a gate on accuracy cannot be kept with agreement alone.
    pub needs_labels: bool,
    /// This program's binary, which the memory measurement starts again; None leaves that measurement out.
    pub program: Option<&'a Path>,
}

/// A recipe's result, and the search that it came out of.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub model: &'a [u8],
    pub search: &'a Record,
}

/// Versions of what the result depends on.
pub fn tools(engine: &Engine) -> std::collections::BTreeMap<String, String> {
    let own = ("drydock-optimizer".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    [own, ("onnxruntime".to_owned(), engine.version())].into()
}

/// Whether ONNX Runtime takes a model. Of one that it does not take, what this program's own checks say comes first: they name the node.
pub(crate) fn accepted(engine: &Engine, source: &LoadedFile, file: &[u8]) -> Result<(), Error> {
    let Err(refused) = engine.open(file, 1) else { return Ok(()) };
    source.clone().check()?;
    Err(refused.into())
}

/// Transforms, evaluates, benchmarks and publishes.
///
/// # Errors
/// The first thing that went wrong; nothing is published then.
pub fn make(engine: &Engine, request: &Request<'_>, progress: &mut Progress) -> Result<CandidateReport, Error> {
    progress.stage(5.0, 10.0);
    // Only recipes need to understand the graph. Of the model as it came, ONNX Runtime says whether it is one.
    let source = onnx::load(&request.model.path)?;
    let (inputs, outputs) = source.signature()?;
    let original = source.single_file();
    accepted(engine, &source, &original)?;
    let detector = request.detection.map(|d| Decoder::new(d, &outputs, request.labels.len())).transpose()?;
    let evaluation = open(request.evaluation, &inputs, request.preprocessing, request.labels)?;

    progress.stage(10.0, 30.0);
    let target = request.target.unwrap_or_else(|| Target::of(&machine()));
    let same_data = request.recipe.is_some()
        && request.calibration.zip(request.evaluation).is_some_and(|(c, e)| c.digest == e.digest);
    if same_data {
        progress.note("calibration and evaluation are one file: the accuracy is that on images already seen");
    }
    let made = match request.recipe {
        Some(recipe) => {
            let graph = source.check()?.graph;
            let classes = class_names(request.labels, evaluation.as_ref())?;
            let calibration = open(request.calibration, &inputs, request.preprocessing, &classes)?;
            let training = open(request.training, &inputs, request.preprocessing, &classes)?;
            if let (Some(calibration), Some(evaluation), false) = (&calibration, &evaluation, same_data) {
                disjoint(calibration, evaluation)?;
            }
            if let (Some(training), Some(evaluation)) = (&training, &evaluation) {
                disjoint(training, evaluation)?;
            }
            Some(if let Some(found) = request.found {
                Made { model: found.model.to_vec(), recipe: recipe.clone() }
            } else {
                let models = further(request.models)?;
                let given = Given {
                    calibration: calibration.as_ref(),
                    training: training.as_ref(),
                    models: Some(&models),
                    target: Some(target),
                    is_detector: detector.is_some(),
                };
                technique::make(engine, graph, recipe, &given, progress)?
            })
        }
        None => None,
    };
    let (candidate, recipe) = made.map(|m| (m.model, m.recipe)).unzip();

    if let (Some(data), true) = (&evaluation, request.needs_labels) {
        if detector.is_some() { data.require_boxes()? } else { data.require_labels()? }
    }
    let models = Models {
        original: &original,
        candidate: candidate.as_deref(),
        inputs: &inputs,
        output: outputs.first().map(|o| o.name.as_str()),
        detector: detector.as_ref(),
        data: evaluation.as_ref(),
        preprocessing: request.preprocessing,
        same_data,
        target: request.target,
    };
    let Measured { mut measurements, graphs, baseline, confusion, study, shape } = measure(engine, &models, progress)?;
    let result = candidate.as_deref().unwrap_or(&original);

    interrupt::check()?;
    progress.stage(99.0, 100.0);
    let mut staged = Store::open(request.store)?.stage(result)?;
    if let (Some(shape), Some(program)) = (&shape, request.program) {
        measurements.memory = Some(memory::measure(program, &staged.model_path(), shape)?);
    }
    interrupt::check()?;
    // Most requests are like the data that the model was calibrated for. It is no reason to fail that there is none.
    let opened = open(request.calibration, &inputs, request.preprocessing, request.labels);
    let examples = opened.unwrap_or_else(|e| {
        progress.note(&format!("no inputs of the calibration data are recorded: {e}"));
        None
    });
    let recorded = match (examples.as_ref().or(evaluation.as_ref()), inputs.as_slice()) {
        (Some(data), [input]) => {
            let is_list = detector.as_ref().is_some_and(Decoder::is_suppressed);
            let recorded = recorded::record(engine, result, data, &input.name, if is_list { &[] } else { &outputs });
            interrupt::check()?;
            recorded.unwrap_or_else(|e| {
                progress.note(&format!("no inputs are recorded: {e}"));
                None
            })
        }
        _ => None,
    };
    let content = PackageContent {
        schema: SCHEMA,
        model: staged.file().clone(),
        inputs,
        outputs,
        preprocessing: request.preprocessing.clone(),
        labels: request.labels.to_vec(),
        detection: request.detection.cloned(),
        target: request.recipe.map(|_| target),
    };
    let digest = content.digest();
    let notes = progress.take_notes();
    let record = PackageRecord {
        candidate: request.name.to_owned(),
        recipe,
        source: request.model.digest.clone(),
        calibration: request.recipe.and(request.calibration).map(|f| f.digest.clone()),
        evaluation: request.evaluation.map(|f| f.digest.clone()),
        training: request.recipe.and(request.training).map(|f| f.digest.clone()),
        models: request.models.iter().map(|(name, f)| (name.clone(), f.digest.clone())).collect(),
        measurements: measurements.clone(),
        tools: tools(engine),
        notes,
        graphs,
        baseline,
        samples: recorded.as_ref().map(|r| r.samples.clone()),
    };
    let package = Package { manifest: PackageManifest { digest: digest.clone(), content, record }, confusion, study };
    report::attach(&mut staged, &package)?;
    if let Some(recorded) = &recorded {
        staged.write(SAMPLES_FILE, &recorded.file)?;
    }
    if let Some(found) = request.found {
        staged.attach_json(SEARCH_FILE, found.search)?;
    }
    staged.publish(&package.manifest)?;
    progress.step("publish", 1, 1, "package");
    Ok(CandidateReport { candidate: request.name.to_owned(), package: Some(digest), measurements, failure: None })
}

pub(crate) fn open(
    file: Option<&Fetched>,
    inputs: &[TensorSignature],
    preprocessing: &Preprocessing,
    classes: &[String],
) -> Result<Option<Dataset>, Error> {
    file.map(|f| Ok(Dataset::of(&f.file, inputs, preprocessing)?.with_classes(classes))).transpose()
}

/// Both sets number classes alike: as the model's labels have them, or by the names in the evaluation set.
pub(crate) fn class_names(labels: &[String], evaluation: Option<&Dataset>) -> Result<Vec<String>, Error> {
    match evaluation {
        Some(data) if labels.is_empty() => Ok(data.class_names()?),
        _ => Ok(labels.to_vec()),
    }
}

pub(crate) fn further(models: &BTreeMap<String, Fetched>) -> Result<BTreeMap<String, Graph>, Error> {
    models.iter().map(|(name, f)| Ok((name.clone(), onnx::load(&f.path)?.check()?.graph))).collect()
}

/// A candidate that was made with the images that it is measured on looks better than it is.
pub(crate) fn disjoint(calibration: &Dataset, evaluation: &Dataset) -> Result<(), Error> {
    match evaluation.overlap(calibration)? {
        None => Ok(()),
        Some(Overlap { images: shared, first }) => Err(Error::SharedImages {
            evaluation: evaluation.path().to_owned(),
            shared,
            images: evaluation.len() as u64,
            first: evaluation.name(first),
        }),
    }
}
