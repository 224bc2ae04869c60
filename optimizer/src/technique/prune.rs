use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::{Importance, Prune};
use faer::Mat;

use super::reconstruct::{MAX_COLUMNS, Plan, reconstruct};
use super::sample::inputs;
use super::{multiplications, taylor};
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes, macs};
use crate::passes::{self, Consumer, Elimination, Family, Form, Groups, Layer, Score};
use crate::progress::Progress;

/// Takes whole channels out: see [`passes::Groups`], [`passes::eliminate`] and [`passes::share`].
pub(super) fn prune(
    engine: &Engine,
    graph: Graph,
    options: &Prune,
    (calibration, is_detector): (&Dataset, bool),
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let images = calibration.at_most(options.images);
    let shapes = Shapes::infer_item(&graph, calibration.item_shape())?;
    let before = multiplications("prune", &graph, &shapes)?;
    let layers = Layer::all(&graph)?;
    let mut groups = Groups::of(&graph, &shapes)?;
    let mut consumers: Vec<Vec<Reader<'_>>> = Vec::new();
    groups.families.retain(|family| match readers(&graph, &shapes, &layers, family) {
        Some(found) => {
            consumers.push(found);
            true
        }
        None => false,
    });
    let score = match options.importance {
        Importance::Reconstruction => Some(Score::Reconstruction),
        Importance::Magnitude => Some(Score::Magnitude),
        Importance::Activation => Some(Score::Activation),
        Importance::Taylor => None,
    };
    let eliminations = if let Some(score) = score {
        rank(engine, &graph, &groups, consumers, (calibration, images), score, progress)?
    } else {
        let importance =
            taylor::importance(engine, &graph, &layers, &groups.families, (calibration, images), is_detector)?;
        let total = importance.iter().flatten().sum();
        importance.iter().map(|units| Elimination::by_importance(units, total)).collect()
    };

    let products = passes::products(&graph, &shapes, &groups);
    let whole: Vec<usize> = eliminations.iter().map(Elimination::units).collect();
    let counted: u64 = products.iter().map(|p| p.macs(&whole)).sum();
    let budget = (before as f64 * options.macs_ratio) as u64;
    let removed = passes::share(&eliminations, &products, budget.saturating_sub(before.saturating_sub(counted)));
    let gone: Vec<BTreeSet<usize>> =
        eliminations.iter().zip(&removed).map(|(e, n)| e.order.iter().take(*n).copied().collect()).collect();
    let kept = passes::kept(&groups, &gone);
    let original = graph.clone();
    let graph = passes::remove(graph, &groups, &kept)?;
    let after = macs(&graph, &Shapes::infer_item(&graph, calibration.item_shape())?)?.total;
    if after > budget {
        return Err(Error::Recipe(format!(
            "prune: {:.1} % of the multiply-accumulates are left with the fewest channels that there can be; expected macsRatio to be at least that, found {}",
            100.0 * after as f64 / before.max(1) as f64,
            options.macs_ratio
        )));
    }
    let outputs: BTreeSet<&str> = layers.iter().map(|l| l.output.as_str()).collect();
    let left: BTreeMap<String, Vec<usize>> = kept
        .into_iter()
        .filter(|((tensor, _), _)| outputs.contains(tensor.as_str()))
        .map(|((tensor, _), channels)| (tensor, channels))
        .collect();
    let each: Vec<String> =
        layers.iter().filter_map(|l| Some(format!("{} {}/{}", l.output, left.get(&l.output)?.len(), l.rows))).collect();
    progress.note(&format!(
        "prune: {:.2} of {:.2} million multiply-accumulates; channels: {}",
        after as f64 / 1e6,
        before as f64 / 1e6,
        if each.is_empty() { "all".to_owned() } else { each.join(", ") }
    ));
    if !options.reconstruct {
        return Ok(graph);
    }
    let plan = Plan { kept: left, ..Plan::default() };
    reconstruct(engine, &original, graph, &plan, calibration, images, progress)
}

/// By what each layer that reads a family's channels would lose.
fn rank(
    engine: &Engine,
    graph: &Graph,
    groups: &Groups,
    consumers: Vec<Vec<Reader<'_>>>,
    (calibration, images): (&Dataset, usize),
    score: Score,
    progress: &mut Progress,
) -> Result<Vec<Elimination>, Error> {
    let mut eliminations: Vec<Elimination> = Vec::new();
    for (i, (family, readers)) in groups.families.iter().zip(consumers).enumerate() {
        progress.step("rank channels", i + 1, groups.families.len(), "groups");
        let places: Vec<(&Layer, Vec<i64>)> = readers.iter().map(|r| (r.layer, r.output.clone())).collect();
        let moments = inputs(engine, graph, &places, calibration, images)?;
        let mut found = Vec::with_capacity(readers.len());
        for (reader, moments) in readers.into_iter().zip(moments) {
            let fail = |e| Error::Recipe(format!("layer {:?}: {e}", reader.layer.output));
            let (weights, _) = reader.layer.weights(graph)?;
            let (rows, columns) = (reader.layer.rows, reader.layer.columns);
            found.push(Consumer {
                weights: Mat::from_fn(rows, columns, |i, j| f64::from(weights[i * columns + j])),
                covariance: moments.covariance().map_err(fail)?,
                columns: reader.columns,
            });
        }
        let first = &family.units[0][0].tensor;
        let fail = |e| Error::Recipe(format!("channels of {first:?}: {e}"));
        eliminations.push(passes::eliminate(family.units.len(), found, score).map_err(fail)?);
    }
    Ok(eliminations)
}

struct Reader<'l> {
    layer: &'l Layer,
    output: Vec<i64>,
    columns: Vec<Vec<usize>>,
}

/// The layers that read the family's channels; `None` if something reads them whose loss cannot be told: a convolution in
/// groups, weights that several nodes share, a layer too wide.
fn readers<'l>(graph: &Graph, shapes: &Shapes, layers: &'l [Layer], family: &Family) -> Option<Vec<Reader<'l>>> {
    let mut found: Vec<Reader<'l>> = Vec::new();
    let through: BTreeSet<(&str, usize)> = family.units.first()?.iter().map(|s| (s.tensor.as_str(), s.axis)).collect();
    for (position, node) in graph.nodes().iter().enumerate() {
        let Some(weight) = node.input_at(1) else { continue };
        let axis = match node.op_type.as_str() {
            "Conv" if node.is("Conv") => 1,
            "Gemm" | "MatMul" if node.is(&node.op_type) => {
                usize::from(crate::onnx::attribute_int(node, "transB", 0) != 0)
            }
            _ => continue,
        };
        if !through.contains(&(weight, axis)) {
            continue;
        }
        let layer = layers.iter().find(|l| l.node == position && l.groups() == 1 && l.columns <= MAX_COLUMNS)?;
        let each = match &layer.form {
            Form::Conv(window) => window.kernel[0] * window.kernel[1],
            Form::Dense { .. } => 1,
        };
        let of = |unit: &Vec<passes::Slice>| -> Vec<usize> {
            let mine = unit.iter().filter(|s| s.tensor == weight && s.axis == axis);
            mine.flat_map(|s| s.channel * each..(s.channel + 1) * each).collect()
        };
        let output = shapes.sizes(&layer.output)?;
        found.push(Reader { layer, output, columns: family.units.iter().map(of).collect() });
    }
    (!found.is_empty()).then_some(found)
}
