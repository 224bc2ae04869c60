//! `drydock-optimizer search`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use drydock_contract::{Limits, Objective, SEARCH_CANDIDATE, Search, Target};
use drydock_optimizer::candidate::Request;
use drydock_optimizer::engine::Engine;
use drydock_optimizer::fetch::Purpose;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::{Error, search as searching};

use super::data::{further, local, named};
use super::detection::DetectionArgs;
use super::optimize::summary;
use super::preprocessing::PreprocessingArgs;
use super::print;

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[arg(long)]
    model: PathBuf,
    /// Images: any layout of docs/datasets.md
    #[arg(long)]
    calibration: PathBuf,
    /// The same with labels, or with boxes
    #[arg(long)]
    evaluation: PathBuf,
    /// What `distill` learns on, where that is not the calibration data
    #[arg(long)]
    training: Option<PathBuf>,
    /// NAME=FILE of a further ONNX model, to be trained in the place of this one; may be given again
    #[arg(long = "further-model", value_parser = named)]
    models: Vec<(String, PathBuf)>,
    /// The hardware that the result is for: cpu-vnni, cpu-avx2, arm64, intel, nvidia
    #[arg(long)]
    target: Option<Target>,
    /// Directory that the package goes to
    #[arg(long)]
    store: PathBuf,
    /// Seconds
    #[arg(long, default_value_t = 300)]
    time_budget: u32,
    /// Recipes that are tried, at most
    #[arg(long, default_value_t = 32)]
    max_candidates: u32,
    /// What the best is best in
    #[arg(long, default_value = "Latency", value_parser = PossibleValuesParser::new(["Latency", "Size", "Accuracy"]).try_map(|s| s.parse::<Objective>()))]
    objective: Objective,
    /// Points of top-1, or of mAP, that may be lost
    #[arg(long, default_value_t = 1.0)]
    max_accuracy_drop: f64,
    /// At least so many times as fast as the original
    #[arg(long)]
    min_speedup: Option<f64>,
    /// Milliseconds of CPU for one inference, at most
    #[arg(long)]
    max_latency: Option<f64>,
    /// Size over that of the original, at most
    #[arg(long)]
    max_size_ratio: Option<f64>,
    /// Bytes of memory of a process that runs the model, at most
    #[arg(long)]
    max_memory: Option<f64>,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    #[command(flatten)]
    detection: DetectionArgs,
    /// Class names, in the order of the output
    #[arg(long, value_delimiter = ',')]
    labels: Vec<String>,
}

pub(crate) fn search(args: &SearchArgs) -> Result<(), Error> {
    let engine = Engine::load()?;
    let model = local(&args.model, Purpose::Model)?;
    let calibration = local(&args.calibration, Purpose::Calibration)?;
    let evaluation = local(&args.evaluation, Purpose::Evaluation)?;
    let training = args.training.as_deref().map(|p| local(p, Purpose::Training)).transpose()?;
    let models = further(&args.models)?;
    let program = std::env::current_exe().ok();
    let detection = args.detection.detection();
    let request = Request {
        name: SEARCH_CANDIDATE,
        recipe: None,
        found: None,
        target: args.target,
        model: &model,
        calibration: Some(&calibration),
        evaluation: Some(&evaluation),
        training: training.as_ref(),
        models: &models,
        preprocessing: &args.preprocessing.preprocessing(),
        labels: &args.labels,
        detection: detection.as_ref(),
        store: &args.store,
        needs_labels: true,
        program: program.as_deref(),
    };
    let (report, record) = searching::run(&engine, &request, &args.wanted(), &mut Progress::default())?;
    print(&format!("{}\n{}", record.table(), summary(report)));
    Ok(())
}

impl SearchArgs {
    fn wanted(&self) -> Search {
        Search {
            time_budget_seconds: self.time_budget,
            max_candidates: self.max_candidates,
            limits: Limits {
                max_accuracy_drop: self.max_accuracy_drop,
                min_speedup: self.min_speedup,
                max_latency_milliseconds: self.max_latency,
                max_size_ratio: self.max_size_ratio,
                max_memory_bytes: self.max_memory,
            },
            objective: self.objective,
        }
    }
}
