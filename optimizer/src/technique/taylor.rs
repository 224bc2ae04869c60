use std::collections::{BTreeMap, BTreeSet};

use super::distill::{classes, head_pairs};
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::Graph;
use crate::passes::{Family, Layer};
use crate::train::{Gradient, Options, Samples, gradients, sensitivities};

/// Images whose gradients are added before they are squared.
const BATCH: usize = 16;

/// By how much the loss on labels would change, to first order and squared, if a unit's weights were zero: the mean over batches
/// of (Σ gradient · weight)², of Molchanov et al., "Importance Estimation for Neural Network Pruning" (2019), equation 8, a unit's
/// weights taken together. One number for each unit of each family. Of a detector, by how much its heads would change: see
/// [`sensitivities`].
pub(super) fn importance(
    engine: &Engine,
    graph: &Graph,
    layers: &[Layer],
    families: &[Family],
    (calibration, images): (&Dataset, usize),
    is_detector: bool,
) -> Result<Vec<Vec<f64>>, Error> {
    let steps = images.div_ceil(BATCH);
    let options = Options { steps, batch: BATCH.min(images), ..Options::default() };
    let through: BTreeSet<(&str, usize)> =
        families.iter().flat_map(|f| &f.units).flatten().map(|s| (s.tensor.as_str(), s.axis)).collect();
    // Weights alone: what biases do to the loss without them is no matter of the channel.
    let weights = layers.iter().filter_map(|l| graph.nodes()[l.node].input_at(1));
    let values: Vec<String> = weights.filter(|w| through.iter().any(|(t, _)| t == w)).map(str::to_owned).collect();

    let mut sums: Vec<Vec<f64>> = families.iter().map(|f| vec![0.0; f.units.len()]).collect();
    let mut batch: BTreeMap<(String, usize), Vec<f64>> = BTreeMap::new();
    let last = values.last().cloned().unwrap_or_default();
    let read = |found: Gradient<'_>| {
        for (tensor, axis) in through.iter().filter(|(t, _)| *t == found.name) {
            batch.insert(((*tensor).to_owned(), *axis), along(&found, *axis));
        }
        // The values come in their order, once in each batch.
        if found.name == last {
            for (family, sums) in families.iter().zip(&mut sums) {
                for (unit, sum) in family.units.iter().zip(sums) {
                    let of = |s: &crate::passes::Slice| batch.get(&(s.tensor.clone(), s.axis))?.get(s.channel).copied();
                    *sum += unit.iter().filter_map(of).sum::<f64>().powi(2) / steps as f64;
                }
            }
            batch.clear();
        }
    };
    if is_detector {
        let options = Options { heads: head_pairs(graph, graph)?, ..options };
        sensitivities(engine, graph, &Samples::read(calibration, None)?, &options, &values, read)?;
    } else {
        calibration.require_labels()?;
        let samples = Samples::read(calibration, Some(classes(graph)?))?;
        gradients(engine, graph, None, &samples, &Options { labels: 1.0, ..options }, &values, read)?;
    }
    Ok(sums)
}

/// Σ gradient · value for each index of an axis.
fn along(found: &Gradient<'_>, axis: usize) -> Vec<f64> {
    let inner: usize = found.shape.iter().skip(axis + 1).product::<usize>().max(1);
    let length = found.shape.get(axis).copied().unwrap_or(1).max(1);
    let mut sums = vec![0.0; length];
    for (i, (value, gradient)) in found.value.iter().zip(found.gradient).enumerate() {
        sums[i / inner % length] += f64::from(*value) * f64::from(*gradient);
    }
    sums
}
