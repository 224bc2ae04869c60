//! What a recipe is made of: each technique runs its passes and whatever they need to know from data.

mod distill;
mod factorize;
mod prune;
mod quantize;
mod reconstruct;
mod sample;

use drydock_contract::{Recipe, Technique};

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::interrupt;
use crate::onnx::Graph;
use crate::passes;
use crate::progress::Progress;

/// The recipe's techniques, one after another; the result as a file.
pub fn apply(
    engine: &Engine,
    graph: Graph,
    recipe: &Recipe,
    calibration: Option<&Dataset>,
    progress: &mut Progress,
) -> Result<Vec<u8>, Error> {
    check(recipe)?;
    let (mut graph, cleaned) = passes::clean(graph, engine)?;
    progress.note(&format!("clean: {cleaned}"));
    let teacher = recipe.techniques.iter().any(|t| t.distill.is_some()).then(|| graph.clone());
    for technique in &recipe.techniques {
        graph = step(engine, graph, technique, teacher.as_ref(), calibration, progress)?;
    }
    Ok(graph.encode())
}

/// One technique. `teacher` is what `distill` learns from: the model as it came, cleaned.
pub(crate) fn step(
    engine: &Engine,
    mut graph: Graph,
    technique: &Technique,
    teacher: Option<&Graph>,
    calibration: Option<&Dataset>,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    interrupt::check()?;
    if let Some(options) = &technique.factorize {
        graph = factorize::factorize(engine, graph, options, calibration.ok_or(Error::NoDataset)?, progress)?;
    }
    if let Some(options) = &technique.prune {
        graph = prune::prune(engine, graph, options, calibration.ok_or(Error::NoDataset)?, progress)?;
    }
    if let (Some(options), Some(teacher)) = (&technique.distill, teacher) {
        let data = calibration.ok_or(Error::NoDataset)?;
        graph = distill::distill(engine, graph, teacher, options, data, progress)?;
    }
    if let Some(options) = &technique.quantize {
        graph = quantize::quantize(engine, graph, options, calibration, progress)?;
    }
    Ok(graph)
}

fn check(recipe: &Recipe) -> Result<(), Error> {
    let fail = |what: String| Err(Error::Recipe(format!("recipe {:?}: {what}", recipe.name)));
    if recipe.techniques.is_empty() {
        return fail("no techniques; expected at least one".into());
    }
    for (i, Technique { factorize, prune, distill, quantize }) in recipe.techniques.iter().enumerate() {
        let set = [factorize.is_some(), prune.is_some(), distill.is_some(), quantize.is_some()];
        let named = set.iter().filter(|set| **set).count();
        if named != 1 {
            return fail(format!(
                "technique {i} sets {named} fields that this version knows; expected one of `factorize`, `prune`, `distill`, `quantize`"
            ));
        }
        if let Some(what) = quantize.as_ref().and_then(quantize::check) {
            return fail(format!("technique {i} has {what}"));
        }
        for (field, value) in [
            ("factorize.macsRatio", factorize.as_ref().map(|f| f.macs_ratio)),
            ("prune.macsRatio", prune.as_ref().map(|p| p.macs_ratio)),
        ] {
            if let Some(value) = value.filter(|v| !(0.01..=1.0).contains(v)) {
                return fail(format!("technique {i} has {field} {value}; expected 0.01 to 1"));
            }
        }
    }
    Ok(())
}
