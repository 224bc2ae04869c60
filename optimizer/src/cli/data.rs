use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use drydock_contract::{Input, Location, Recipe, Target};
use drydock_optimizer::fetch::{Fetched, Purpose, fetch};
use drydock_optimizer::{Error, strict};

use super::detection::DetectionArgs;
use super::preprocessing::PreprocessingArgs;

/// What all ways to apply a recipe by hand need.
#[derive(Debug, Args)]
pub(super) struct RecipeArgs {
    #[arg(long)]
    pub(super) model: PathBuf,
    /// Images: a directory or tar, CSV, WebDataset, Parquet, .npz, .npy (docs/datasets.md)
    #[arg(long)]
    pub(super) calibration: PathBuf,
    /// What `distill` learns on, where that is not the calibration data; any of the same
    #[arg(long)]
    pub(super) training: Option<PathBuf>,
    /// NAME=FILE of a further ONNX model, for `distill.teacher` and `distill.student`; may be given again
    #[arg(long = "further-model", value_parser = named)]
    pub(super) models: Vec<(String, PathBuf)>,
    /// YAML of one recipe, as in a ModelDeployment
    #[arg(long)]
    recipe: PathBuf,
    /// The hardware that the result is for: cpu-vnni, cpu-avx2, arm64, intel, nvidia
    #[arg(long)]
    pub(super) target: Option<Target>,
    #[command(flatten)]
    pub(super) preprocessing: PreprocessingArgs,
    #[command(flatten)]
    pub(super) detection: DetectionArgs,
}

impl RecipeArgs {
    pub(super) fn recipe(&self) -> Result<Recipe, Error> {
        let path = self.recipe.display();
        let text =
            std::fs::read_to_string(&self.recipe).map_err(|e| Error::Recipe(format!("cannot read {path}: {e}")))?;
        strict::yaml(&text).map_err(|e| Error::Recipe(format!("{path}: {e}")))
    }
}

pub(super) fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or_else(|| format!("{text:?}; expected NAME=FILE"))?;
    Ok((name.to_owned(), path.into()))
}

/// Further models, by name.
pub(super) fn further(models: &[(String, PathBuf)]) -> Result<BTreeMap<String, Fetched>, Error> {
    models.iter().map(|(name, path)| Ok((name.clone(), local(path, Purpose::Model)?))).collect()
}

/// A file of this machine, copied and hashed as a Job does it.
pub(super) fn local(path: &Path, purpose: Purpose) -> Result<Fetched, Error> {
    let location = Location::Path(path.display().to_string());
    Ok(fetch(&Input { location, sha256: None }, purpose, &std::env::temp_dir())?)
}
