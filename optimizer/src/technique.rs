//! What a recipe is made of: each technique runs its passes and whatever they need to know from data.

mod distill;
mod factorize;
mod prune;
mod quantize;
mod reconstruct;
mod sample;
mod sparsify;
mod taylor;

use std::collections::BTreeMap;

use drydock_contract::{Format, Recipe, Target, Technique};

use crate::Error;
use crate::benchmark::machine;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::interrupt;
use crate::onnx::{Graph, Shapes, macs};
use crate::passes;
use crate::progress::Progress;

/// What a recipe is applied with, beside the model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    pub calibration: Option<&'a Dataset>,
    /// What `distill` learns on; `None`: the calibration data.
    pub training: Option<&'a Dataset>,
    /// Further models, by name.
    pub models: Option<&'a BTreeMap<String, Graph>>,
    /// `None`: the machine that this runs on.
    pub target: Option<Target>,
    /// Its outputs are boxes: what techniques learn from is what its last layers give, not scores of classes.
    pub is_detector: bool,
}

impl<'a> Given<'a> {
    fn calibration(&self) -> Result<&'a Dataset, Error> {
        self.calibration.ok_or(Error::NoDataset)
    }

    fn training(&self) -> Result<&'a Dataset, Error> {
        self.training.or(self.calibration).ok_or(Error::NoDataset)
    }

    fn model(&self, name: &str) -> Result<&'a Graph, Error> {
        self.models.and_then(|m| m.get(name)).ok_or_else(|| {
            let known: Vec<&str> = self.models.into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
            Error::Recipe(format!("distill names the model {name:?}; there are: [{}]", known.join(", ")))
        })
    }
}

/// Multiply-accumulates at these shapes, which a budget is a part of.
///
/// # Errors
/// None is counted, so that a part of them is nothing.
fn multiplications(technique: &str, graph: &Graph, shapes: &Shapes) -> Result<u64, Error> {
    let counts = macs(graph, shapes)?;
    if counts.total > 0 {
        return Ok(counts.total);
    }
    let uncounted = graph.nodes().iter().zip(&counts.by_node).find(|(_, count)| count.is_none());
    let found = uncounted.map_or("a model that multiplies nothing".into(), |(node, _)| {
        format!("{} nodes of which it is not known, the first {}", counts.unknown, node.label())
    });
    Err(Error::Recipe(format!(
        "{technique}: expected a Conv, Gemm or MatMul whose multiply-accumulates can be counted, found {found}"
    )))
}

/// What a recipe came to.
#[derive(Clone, Debug)]
pub struct Made {
    /// The model as a file.
    pub model: Vec<u8>,
    /// The recipe, with what was measured in the place of what was to be: on equal inputs it gives the same model everywhere.
    pub recipe: Recipe,
}

/// The recipe's techniques, one after another; the result as a file.
pub fn apply(
    engine: &Engine,
    graph: Graph,
    recipe: &Recipe,
    given: &Given<'_>,
    progress: &mut Progress,
) -> Result<Vec<u8>, Error> {
    Ok(make(engine, graph, recipe, given, progress)?.model)
}

/// As [`apply`], with the recipe that makes it again.
pub fn make(
    engine: &Engine,
    graph: Graph,
    recipe: &Recipe,
    given: &Given<'_>,
    progress: &mut Progress,
) -> Result<Made, Error> {
    check(recipe, given.target)?;
    let (mut graph, cleaned) = passes::clean(graph, engine)?;
    passes::finite(&graph)?;
    progress.note(&format!("clean: {cleaned}"));
    let original = recipe.trains().then(|| graph.clone());
    let mut done = recipe.clone();
    for i in 0..recipe.techniques.len() {
        (graph, done.techniques[i]) =
            step(engine, graph, &recipe.techniques[..=i], original.as_ref(), given, progress)?;
    }
    graph = folded(engine, graph, &recipe.techniques)?;
    Ok(Made { model: graph.encode(), recipe: done })
}

/// The last of these techniques, and what it came to; the others have been applied. `original` is what `distill` learns from, where it names nothing
/// else: the model as it came, cleaned.
pub(crate) fn step(
    engine: &Engine,
    mut graph: Graph,
    techniques: &[Technique],
    original: Option<&Graph>,
    given: &Given<'_>,
    progress: &mut Progress,
) -> Result<(Graph, Technique), Error> {
    interrupt::check()?;
    let Some((technique, before)) = techniques.split_last() else { return Ok((graph, Technique::default())) };
    if let (Some(data), Some(asked)) = (given.calibration, images(technique))
        && data.len() < asked as usize
    {
        progress.note(&format!("{asked} images were asked for; there are {}, and all of them are used", data.len()));
    }
    if technique.distill.is_none() {
        graph = folded(engine, graph, before)?;
    }
    let mut done = technique.clone();
    if let Some(options) = &technique.factorize {
        let (result, options) = factorize::factorize(engine, graph, options, given.calibration()?, progress)?;
        (graph, done.factorize) = (result, Some(options));
    }
    if let Some(options) = &technique.prune {
        graph = prune::prune(engine, graph, options, (given.calibration()?, given.is_detector), progress)?;
    }
    if let Some(options) = &technique.sparsify {
        graph = sparsify::sparsify(engine, graph, options, given.calibration()?, progress)?;
    }
    if let (Some(options), Some(original)) = (&technique.distill, original) {
        let keep_zeros = before.iter().any(|t| t.sparsify.is_some());
        let before = distill::Before { keep_zeros, student: is_students(techniques) };
        graph = distill::distill(engine, graph, original, (options, before), given, progress)?;
    }
    if let Some(options) = &technique.quantize {
        let target = given.target.unwrap_or_else(|| Target::of(&machine()));
        graph = quantize::quantize(engine, graph, (options, target), (given.calibration, given.is_detector), progress)?;
    }
    Ok((graph, done))
}

/// A student keeps its BatchNormalization from one training to the next; what comes after these finds a clean graph.
pub(crate) fn folded(engine: &Engine, graph: Graph, done: &[Technique]) -> Result<Graph, Error> {
    let is_taught = done.last().is_some_and(|t| t.distill.is_some()) && is_students(done);
    Ok(if is_taught { passes::clean(graph, engine)?.0 } else { graph })
}

/// Whether all of these are trainings of a student that the first one names.
fn is_students(techniques: &[Technique]) -> bool {
    let first = techniques.first().and_then(|t| t.distill.as_ref());
    first.is_some_and(|d| d.student.is_some()) && techniques.iter().all(|t| t.distill.is_some())
}

/// How many images of the calibration data it reads, if that many are there.
fn images(technique: &Technique) -> Option<u32> {
    let Technique { factorize, prune, sparsify, quantize, .. } = technique;
    let quantize = quantize.as_ref().filter(|q| q.format == Format::Int8).map(|q| q.images);
    let others = [factorize.as_ref().map(|f| f.images), prune.as_ref().map(|p| p.images)];
    others.into_iter().chain([sparsify.as_ref().map(|s| s.images), quantize]).flatten().next()
}

fn check(recipe: &Recipe, target: Option<Target>) -> Result<(), Error> {
    let fail = |what: String| Err(Error::Recipe(format!("recipe {:?}: {what}", recipe.name)));
    if recipe.techniques.is_empty() {
        return fail("no techniques; expected at least one".into());
    }
    for (i, Technique { factorize, prune, sparsify, distill, quantize }) in recipe.techniques.iter().enumerate() {
        let set = [factorize.is_some(), prune.is_some(), sparsify.is_some(), distill.is_some(), quantize.is_some()];
        let named = set.iter().filter(|set| **set).count();
        if named != 1 {
            return fail(format!(
                "technique {i} sets {named} fields that this version knows; expected one of `factorize`, `prune`, `sparsify`, `distill`, `quantize`"
            ));
        }
        if let Some(what) = quantize.as_ref().and_then(|q| quantize::check(q, target)) {
            return fail(format!("technique {i} has {what}"));
        }
        if i > 0 && distill.as_ref().is_some_and(|d| d.student.is_some()) {
            return fail(format!(
                "technique {i} has distill.student; expected it in the first: it takes the place of what came before"
            ));
        }
        if let Some(sparsity) = sparsify.as_ref().map(|s| s.sparsity).filter(|v| !(0.0..=0.99).contains(v)) {
            return fail(format!("technique {i} has sparsify.sparsity {sparsity}; expected 0 to 0.99"));
        }
        if let Some(options) = factorize.as_ref().filter(|f| f.budget().is_none()) {
            return fail(format!("technique {i} is factorize; {}", factorize::one_budget(options)));
        }
        for (field, value) in [
            ("factorize.macsRatio", factorize.as_ref().and_then(|f| f.macs_ratio)),
            ("factorize.latencyRatio", factorize.as_ref().and_then(|f| f.latency_ratio)),
            ("prune.macsRatio", prune.as_ref().map(|p| p.macs_ratio)),
        ] {
            if let Some(value) = value.filter(|v| !(0.01..=1.0).contains(v)) {
                return fail(format!("technique {i} has {field} {value}; expected 0.01 to 1"));
            }
        }
    }
    Ok(())
}
