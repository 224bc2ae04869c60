use std::path::PathBuf;

use clap::Args;
use drydock_contract::{Digest, ModelFile, PackageContent, PackageManifest, PackageRecord, SCHEMA, Target};
use drydock_detection::Decoder;
use drydock_optimizer::candidate::tools;
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::engine::Engine;
use drydock_optimizer::error::Error;
use drydock_optimizer::fetch::Purpose;
use drydock_optimizer::measure::{Measured, Models, measure};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::report::{Gates, Package, Page, render, rows};
use drydock_optimizer::{memory, onnx};

use super::data::local;
use super::detection::DetectionArgs;
use super::preprocessing::PreprocessingArgs;
use super::{print, table, write};

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// The model to compare with
    #[arg(long)]
    model: PathBuf,
    /// The model that is measured
    #[arg(long)]
    candidate: PathBuf,
    /// Images: any layout of docs/datasets.md; with labels, accuracy is measured
    #[arg(long)]
    evaluation: PathBuf,
    /// The hardware that the candidate is for
    #[arg(long)]
    target: Option<Target>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    /// Class names, in the order of the output
    #[arg(long, value_delimiter = ',')]
    labels: Vec<String>,
    #[command(flatten)]
    detection: DetectionArgs,
    /// Where an HTML report goes, if anywhere
    #[arg(long)]
    report: Option<PathBuf>,
}

pub(crate) fn evaluate(args: &EvaluateArgs) -> Result<(), Error> {
    let engine = Engine::load()?;
    let original = onnx::load(&args.model)?;
    let (inputs, outputs) = original.signature()?;
    let (original, candidate) = (original.single_file(), onnx::load(&args.candidate)?.single_file());
    let preprocessing = args.preprocessing.preprocessing();
    let evaluation = local(&args.evaluation, Purpose::Evaluation)?;
    let data = Dataset::of(&evaluation.file, &inputs, &preprocessing)?.with_classes(&args.labels);
    let detection = args.detection.detection();
    let detector = detection.as_ref().map(|d| Decoder::new(d, &outputs, args.labels.len())).transpose()?;
    let models = Models {
        original: &original,
        candidate: Some(&candidate),
        inputs: &inputs,
        output: outputs.first().map(|o| o.name.as_str()),
        detector: detector.as_ref(),
        data: Some(&data),
        preprocessing: &preprocessing,
        same_data: false,
        target: args.target,
    };
    let Measured { mut measurements, graphs, baseline, confusion, study, shape } =
        measure(&engine, &models, &mut Progress::default())?;
    if let (Some(shape), Ok(program)) = (&shape, std::env::current_exe()) {
        measurements.memory = Some(memory::measure(&program, &args.candidate, shape)?);
    }
    let name = args.candidate.file_stem().map(|n| n.to_string_lossy().into_owned());
    let name = name.filter(|n| n != "original").unwrap_or_else(|| "candidate".into());
    let head = [String::new(), "original".into(), name.clone(), String::new()];
    print(&table(head, rows(&measurements, graphs.as_ref())));
    let Some(path) = &args.report else { return Ok(()) };
    // What the package would be.
    let model = ModelFile { sha256: Digest::of(&candidate), size: candidate.len() as u64 };
    let labels = args.labels.clone();
    let target = args.target;
    let content = PackageContent { schema: SCHEMA, model, inputs, outputs, preprocessing, labels, detection, target };
    let record = PackageRecord {
        evaluation: Some(evaluation.digest.clone()),
        measurements,
        tools: tools(&engine),
        graphs,
        baseline,
        ..PackageRecord::new(&name, Digest::of(&original))
    };
    let manifest = PackageManifest { digest: content.digest(), content, record };
    let package = Package { manifest, confusion, study };
    write(path, render(&Page { package: &package, others: &[], gates: &Gates::default() }).as_bytes())
}
