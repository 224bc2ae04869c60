use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::Factorize;
use faer::{Mat, MatRef};

use super::reconstruct::{Plan, reconstruct};
use super::sample::open;
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes, macs};
use crate::passes::{self, Candidate, Form, Layer, Moments};
use crate::progress::Progress;

/// All activations of a batch are in memory at once.
const BATCH: usize = 8;

/// Low rank, by the outputs' covariance on calibration data: see [`passes::choose`] and [`passes::fit`].
pub(super) fn factorize(
    engine: &Engine,
    graph: Graph,
    options: &Factorize,
    calibration: &Dataset,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let images = calibration.at_most(options.images);
    let shapes = Shapes::infer_batch(&graph, 1)?;
    let before = macs(&graph, &shapes)?.total;
    let layers: Vec<Layer> =
        Layer::all(&graph)?.into_iter().filter(|l| l.groups() == 1 && shapes.sizes(&l.output).is_some()).collect();
    let moments = outputs(engine, &graph, &layers, calibration, images, progress)?;
    let candidates = layers.iter().zip(&moments).map(|(layer, moments)| {
        let spectrum = moments.spectrum().map_err(|e| Error::Recipe(format!("layer {:?}: {e}", layer.output)))?;
        let positions = layer.positions(&shapes.sizes(&layer.output).unwrap_or_default());
        Ok(Candidate { rows: layer.rows, columns: layer.columns, positions, spectrum })
    });
    let candidates = candidates.collect::<Result<Vec<_>, Error>>()?;
    let whole: u64 = candidates.iter().map(|c| c.macs(None)).sum();
    let budget = (before as f64 * options.macs_ratio) as u64;
    let choice = passes::choose(&candidates, budget.saturating_sub(before.saturating_sub(whole)));
    let chosen = layers.iter().zip(&choice.ranks).filter_map(|(l, r)| Some((l.output.clone(), (*r)?)));
    let ranks: BTreeMap<String, usize> = chosen.collect();
    let after = before - whole + choice.macs;
    if after > budget {
        return Err(Error::Recipe(format!(
            "factorize: the lowest ranks leave {:.1} % of the multiply-accumulates; expected macsRatio to be at least that, found {}",
            100.0 * after as f64 / before.max(1) as f64,
            options.macs_ratio
        )));
    }
    let each: Vec<String> = ranks.iter().map(|(output, rank)| format!("{output} {rank}")).collect();
    progress.note(&format!(
        "factorize: {:.2} of {:.2} million multiply-accumulates, {} of {} layers split; ranks: {}",
        after as f64 / 1e6,
        before as f64 / 1e6,
        ranks.len(),
        layers.len(),
        each.join(", ")
    ));
    if options.reconstruct {
        let original = graph.clone();
        let plan = Plan { ranks, ..Plan::default() };
        reconstruct(engine, &original, graph, &plan, calibration, images, progress)
    } else {
        project(graph, &layers, &moments, &ranks)
    }
}

/// Mean and covariance of each layer's output channels.
fn outputs(
    engine: &Engine,
    graph: &Graph,
    layers: &[Layer],
    data: &Dataset,
    images: usize,
    progress: &mut Progress,
) -> Result<Vec<Moments>, Error> {
    let names: Vec<&str> = layers.iter().map(|l| l.output.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut moments: Vec<Moments> = layers.iter().map(|l| Moments::new(l.rows)).collect();
    if names.is_empty() {
        return Ok(moments);
    }
    let mut session = open(engine, graph, &names)?;
    data.batches(images, BATCH, |batch| {
        session.run(batch.shape, batch.data, names.iter().copied(), |name, shape, values| {
            let Some(i) = layers.iter().position(|l| l.output == name) else { return };
            let rows = layers[i].rows;
            let items = shape.first().copied().unwrap_or(1).max(1) as usize;
            for item in values.chunks(values.len() / items).take(batch.count) {
                moments[i].add(match layers[i].form {
                    Form::Conv(_) => MatRef::from_row_major_slice(item, rows, item.len() / rows).transpose(),
                    Form::Dense { .. } => MatRef::from_row_major_slice(item, item.len() / rows, rows),
                });
            }
        })?;
        progress.step("measure", batch.start + batch.count, images, "images");
        Ok::<(), Error>(())
    })?;
    Ok(moments)
}

/// Each layer alone: its outputs projected on their principal components.
fn project(
    mut graph: Graph,
    layers: &[Layer],
    moments: &[Moments],
    ranks: &BTreeMap<String, usize>,
) -> Result<Graph, Error> {
    for (layer, moments) in layers.iter().zip(moments) {
        let Some(&rank) = ranks.get(&layer.output) else { continue };
        let Some(layer) = Layer::all(&graph)?.into_iter().find(|l| l.output == layer.output) else { continue };
        let fail = |e| Error::Recipe(format!("layer {:?}: {e}", layer.output));
        let basis = moments.principal(rank).map_err(fail)?;
        let (weights, bias) = layer.weights(&graph)?;
        let weights = MatRef::from_row_major_slice(&weights, layer.rows, layer.columns);
        let first: Mat<f64> =
            basis.transpose() * Mat::from_fn(layer.rows, layer.columns, |i, j| f64::from(weights[(i, j)]));
        // What is off the components stays at its mean.
        let mean = moments.mean();
        let off = Mat::from_fn(layer.rows, 1, |i, _| f64::from(bias[i]) - mean[i]);
        let off = &basis * (basis.transpose() * off);
        let bias: Vec<f32> = (0..layer.rows).map(|i| (mean[i] + off[(i, 0)]) as f32).collect();
        let narrow = |m: &Mat<f64>| -> Vec<f32> {
            (0..m.nrows()).flat_map(|i| (0..m.ncols()).map(move |j| m[(i, j)] as f32)).collect()
        };
        graph = passes::split(graph, &layer, &narrow(&first), &narrow(&basis), &bias);
    }
    Ok(graph)
}
