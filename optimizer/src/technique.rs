//! What a recipe is made of: each technique runs its passes and whatever they need to know from data.

mod quantize;

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
    mut graph: Graph,
    recipe: &Recipe,
    calibration: Option<&Dataset>,
    progress: &mut Progress,
) -> Result<Vec<u8>, Error> {
    check(recipe)?;
    let cleaned;
    (graph, cleaned) = passes::clean(graph, engine)?;
    progress.note(&format!("clean: {cleaned}"));
    for technique in &recipe.techniques {
        interrupt::check()?;
        if let Some(options) = &technique.quantize {
            graph = quantize::quantize(engine, graph, options, calibration, progress)?;
        }
    }
    Ok(graph.encode())
}

fn check(recipe: &Recipe) -> Result<(), Error> {
    let fail = |what: String| Err(Error::Recipe(format!("recipe {:?}: {what}", recipe.name)));
    if recipe.techniques.is_empty() {
        return fail("no techniques; expected at least one".into());
    }
    for (i, Technique { quantize: options }) in recipe.techniques.iter().enumerate() {
        match options {
            None => return fail(format!("technique {i} sets no field that this version knows; expected `quantize`")),
            Some(options) => {
                if let Some(what) = quantize::check(options) {
                    return fail(format!("technique {i} has {what}"));
                }
            }
        }
    }
    Ok(())
}
