use std::path::PathBuf;

use clap::Args;
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::engine::Engine;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::technique::Given;
use drydock_optimizer::{Error, onnx, technique};

use super::data::RecipeArgs;
use super::write;

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// File to write
    #[arg(long)]
    output: PathBuf,
}

pub(crate) fn apply(args: &ApplyArgs) -> Result<(), Error> {
    let recipe = args.recipe.recipe()?;
    let graph = onnx::read(&args.recipe.model)?.graph;
    let (inputs, _) = onnx::signature(&graph)?;
    let preprocessing = args.recipe.preprocessing.preprocessing();
    let data = Dataset::open(&args.recipe.calibration, &inputs, &preprocessing)?;
    let training = args.recipe.training.as_deref();
    let training = training.map(|p| Dataset::open(p, &inputs, &preprocessing)).transpose()?;
    let models = args.recipe.models.iter().map(|(name, path)| Ok((name.clone(), onnx::read(path)?.graph)));
    let models = models.collect::<Result<_, Error>>()?;
    let given = Given {
        calibration: Some(&data),
        training: training.as_ref(),
        models: Some(&models),
        target: args.recipe.target,
        is_detector: args.recipe.detection.detection().is_some(),
    };
    let result = technique::apply(&Engine::load()?, graph, &recipe, &given, &mut Progress::default())?;
    write(&args.output, &result)
}
