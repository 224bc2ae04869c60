use std::path::PathBuf;

use clap::Args;
use drydock_contract::CandidateReport;
use drydock_optimizer::Error;
use drydock_optimizer::candidate::{self, Request};
use drydock_optimizer::engine::Engine;
use drydock_optimizer::fetch::Purpose;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::report::rows;

use super::data::{RecipeArgs, further, local};
use super::{print, table};

#[derive(Debug, Args)]
pub(crate) struct OptimizeArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The same with labels, to measure accuracy; without them the answers are compared
    #[arg(long)]
    evaluation: Option<PathBuf>,
    /// Directory that the package goes to
    #[arg(long)]
    store: PathBuf,
    /// Class names, in the order of the output
    #[arg(long, value_delimiter = ',')]
    labels: Vec<String>,
}

pub(crate) fn optimize(args: &OptimizeArgs) -> Result<(), Error> {
    let recipe = args.recipe.recipe()?;
    let engine = Engine::load()?;
    let model = local(&args.recipe.model, Purpose::Model)?;
    let calibration = local(&args.recipe.calibration, Purpose::Calibration)?;
    let evaluation = args.evaluation.as_deref().map(|p| local(p, Purpose::Evaluation)).transpose()?;
    let training = args.recipe.training.as_deref().map(|p| local(p, Purpose::Training)).transpose()?;
    let models = further(&args.recipe.models)?;
    let detection = args.recipe.detection.detection();
    let program = std::env::current_exe().ok();
    let request = Request {
        name: &recipe.name,
        recipe: Some(&recipe),
        found: None,
        target: args.recipe.target,
        model: &model,
        calibration: Some(&calibration),
        evaluation: evaluation.as_ref(),
        training: training.as_ref(),
        models: &models,
        preprocessing: &args.recipe.preprocessing.preprocessing(),
        labels: &args.labels,
        detection: detection.as_ref(),
        store: &args.store,
        needs_labels: false,
        program: program.as_deref(),
    };
    let report = candidate::make(&engine, &request, &mut Progress::default())?;
    print(&summary(report));
    Ok(())
}

/// The table of a candidate beside the original.
pub(super) fn summary(report: CandidateReport) -> String {
    let CandidateReport { candidate, package, measurements, .. } = report;
    let mut rows = rows(&measurements, None);
    if let Some(package) = package {
        rows.push(["package".into(), String::new(), package.to_string(), String::new()]);
    }
    table([String::new(), "original".into(), candidate, String::new()], rows)
}
