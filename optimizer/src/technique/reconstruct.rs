use std::collections::BTreeMap;

use drydock_contract::LayerRanks;
use faer::{Mat, MatRef};

use super::sample::{Places, Samples, sample};
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes, floats};
use crate::passes::{self, Layer, Problem, fit};
use crate::progress::Progress;

/// The covariance of wider layers is not worth its memory.
pub(super) const MAX_COLUMNS: usize = 4608;

/// What is to become of each layer, by the name of its output.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub ranks: BTreeMap<String, LayerRanks>,
    /// Channels of the original that are left.
    pub kept: BTreeMap<String, Vec<usize>>,
}

/// Fits the layers of `graph` one after another, each to what it gave in `original`, from the inputs that it gets now:
/// what the layers before it did wrong is made up for where it can be. Where a layer's result is added to another branch,
/// the sum is what is fitted.
pub(super) fn reconstruct(
    engine: &Engine,
    original: &Graph,
    mut graph: Graph,
    plan: &Plan,
    data: &Dataset,
    images: usize,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let layers = Layer::all(&graph)?;
    let mut fitted: Vec<(String, f64)> = Vec::new();
    let mut changed = false;
    for (done, output) in layers.iter().map(|l| l.output.clone()).enumerate() {
        progress.step("reconstruct", done + 1, layers.len(), "layers");
        let Some(layer) = Layer::all(&graph)?.into_iter().find(|l| l.output == output) else { continue };
        let ranks = plan.ranks.get(&output).copied();
        // Nothing before the first change is different.
        changed |= ranks.is_some() || plan.kept.contains_key(&output);
        if !changed || layer.columns > MAX_COLUMNS {
            continue;
        }
        let target = Target::of(&graph, &output)?;
        let places = Places {
            layer: &layer,
            target: &target.value,
            added: target.added.as_deref(),
            kept: plan.kept.get(&output).map(Vec::as_slice),
        };
        let samples = sample(engine, original, &graph, places, data, images)?;
        let (solved, error) = solve(graph, &layer, &samples, target.limits, ranks)?;
        graph = solved;
        fitted.push((output, error));
    }
    if let Some((output, error)) = fitted.iter().max_by(|a, b| a.1.total_cmp(&b.1)) {
        let (layers, percent) = (fitted.len(), 100.0 * error);
        // Of what the next node reads, as a share of its variance, on calibration data.
        progress.note(&format!(
            "reconstruct: {layers} layers fitted; the furthest off is {output}, by {percent:.2} % of its variance"
        ));
    }
    Ok(graph)
}

/// Where to measure what a layer does.
#[derive(Debug, PartialEq)]
struct Target {
    value: String,
    /// The other operand of the `Add` that makes `value`.
    added: Option<String>,
    limits: (f32, f32),
}

impl Target {
    fn of(graph: &Graph, output: &str) -> Result<Self, Error> {
        let index = graph.index();
        let mut target = Self { value: output.to_owned(), added: None, limits: (f32::NEG_INFINITY, f32::INFINITY) };
        if let Some(add) = index.sole_consumer(output).map(|i| &graph.nodes()[i]).filter(|n| n.is("Add")) {
            let other = add.input.iter().find(|i| *i != output);
            let shapes = Shapes::infer(graph)?;
            let shape = |value: &str| shapes.get(value).and_then(|v| v.shape.clone());
            // No constant, and nothing that is broadcast.
            if let Some(other) = other.filter(|o| index.producer(o).is_some() && shape(o) == shape(output)) {
                target.value.clone_from(&add.output[0]);
                target.added = Some(other.clone());
            }
        }
        let constant = |name: Option<&str>, default: f32| match name {
            None => Some(default),
            Some(name) => index.initializer(graph, name).and_then(|t| floats(t).ok()?.first().copied()),
        };
        let next = match index.consumers(&target.value) {
            [one] if !index.is_output(&target.value) => &graph.nodes()[*one],
            _ => return Ok(target),
        };
        if next.is("Relu") {
            target.limits.0 = 0.0;
        } else if next.is("Clip")
            && let (Some(low), Some(high)) =
                (constant(next.input_at(1), f32::NEG_INFINITY), constant(next.input_at(2), f32::INFINITY))
            && low <= high
        {
            target.limits = (low, high);
        }
        Ok(target)
    }
}

fn solve(
    graph: Graph,
    layer: &Layer,
    samples: &Samples,
    limits: (f32, f32),
    ranks: Option<LayerRanks>,
) -> Result<(Graph, f64), Error> {
    let (weights, _) = layer.weights(&graph)?;
    let groups = layer.groups();
    let rows = layer.rows / groups;
    let prior = MatRef::from_row_major_slice(&weights, layer.rows, layer.columns);
    let mut fits = Vec::with_capacity(groups);
    for group in 0..groups {
        let problem = Problem {
            inputs: view(&samples.inputs, samples.count, groups * layer.columns)
                .subcols(group * layer.columns, layer.columns),
            targets: view(&samples.targets, samples.count, layer.rows).subcols(group * rows, rows),
            added: (!samples.added.is_empty())
                .then(|| view(&samples.added, samples.count, layer.rows).subcols(group * rows, rows)),
            prior: prior.subrows(group * rows, rows),
            limits,
            ranks: if groups == 1 { ranks } else { None },
            kernel: layer.kernel(),
            bias: layer.has_bias(),
        };
        fits.push(fit(&problem).map_err(|e| Error::Recipe(format!("layer {:?}: {e}", layer.output)))?);
    }
    let bias: Vec<f32> = fits.iter().flat_map(|f| &f.bias).map(|b| *b as f32).collect();
    let error = fits.iter().map(|f| f.error).sum::<f64>() / groups as f64;
    let graph = match fits.as_slice() {
        [one] if one.factors.input.is_some() || one.factors.output.is_some() => {
            passes::split(graph, layer, &one.factors, &bias)
        }
        _ => {
            let narrow = |m: &Mat<f64>| -> Vec<f32> {
                (0..m.nrows()).flat_map(|i| (0..m.ncols()).map(move |j| m[(i, j)] as f32)).collect()
            };
            let weights: Vec<f32> = fits.iter().flat_map(|f| narrow(&f.factors.core)).collect();
            passes::set_weights(graph, layer, &weights, &bias)
        }
    };
    Ok((graph, error))
}

fn view(values: &[f32], count: usize, width: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, count, width)
}
