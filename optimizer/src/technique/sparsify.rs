use drydock_contract::{Pattern, Sparsify};
use faer::Mat;

use super::reconstruct::MAX_COLUMNS;
use super::sample::inputs;
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes};
use crate::passes::{self, Form, Layer, Zeros};
use crate::progress::Progress;

/// Below this a layer has few weights and each of them counts: the first convolution of a grey image, say.
const LEAST_COLUMNS: usize = 16;

/// Layer after layer, each on the inputs that it gets from those before it.
pub(super) fn sparsify(
    engine: &Engine,
    mut graph: Graph,
    options: &Sparsify,
    calibration: &Dataset,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let images = calibration.at_most(options.images);
    let zeros = match options.pattern {
        Pattern::Unstructured => Zeros::Anywhere(options.sparsity),
        Pattern::TwoOfFour => Zeros::TwoOfFour,
    };
    let shapes = Shapes::infer_item(&graph, calibration.item_shape())?;
    let layers = Layer::all(&graph)?;
    let (mut weights_of_all, mut zeros_of_all, mut left) = (0, 0, 0);
    for (done, output) in layers.iter().map(|l| l.output.clone()).enumerate() {
        progress.step("sparsify", done + 1, layers.len(), "layers");
        let Some(layer) = Layer::all(&graph)?.into_iter().find(|l| l.output == output) else { continue };
        let (values, mut bias) = layer.weights(&graph)?;
        weights_of_all += values.len();
        let order = channels_last(&layer);
        let whole_fours = zeros != Zeros::TwoOfFour || channels(&layer).is_multiple_of(4);
        let fits = layer.groups() == 1 && (LEAST_COLUMNS..=MAX_COLUMNS).contains(&layer.columns) && whole_fours;
        let Some(shape) = shapes.sizes(&output).filter(|_| fits) else {
            left += 1;
            continue;
        };
        let fail = |e| Error::Recipe(format!("layer {output:?}: {e}"));
        let moments = inputs(engine, &graph, &[(&layer, shape)], calibration, images)?;
        let Some(moments) = moments.first() else { continue };
        let (covariance, mean) = (moments.covariance().map_err(fail)?, moments.mean());
        // The bias takes what the change does on average; where there is none, it counts as an error like the rest.
        let cost = if layer.has_bias() {
            covariance
        } else {
            Mat::from_fn(layer.columns, layer.columns, |i, j| covariance[(i, j)] + mean[i] * mean[j])
        };
        let cost = Mat::from_fn(layer.columns, layer.columns, |i, j| cost[(order[i], order[j])]);
        let at = |i: usize, j: usize| f64::from(values[i * layer.columns + j]);
        let mut ordered = Mat::from_fn(layer.rows, layer.columns, |i, j| at(i, order[j]));
        passes::sparsify(&mut ordered, cost, zeros).map_err(fail)?;
        let mut weights = Mat::zeros(layer.rows, layer.columns);
        for (j, column) in order.iter().enumerate() {
            (0..layer.rows).for_each(|i| weights[(i, *column)] = ordered[(i, j)]);
        }
        for (i, bias) in bias.iter_mut().enumerate() {
            *bias += (0..layer.columns).map(|j| (at(i, j) - weights[(i, j)]) * mean[j]).sum::<f64>() as f32;
        }
        let sparse: Vec<f32> =
            (0..layer.rows).flat_map(|i| (0..layer.columns).map(move |j| (i, j))).map(|p| weights[p] as f32).collect();
        zeros_of_all += sparse.iter().filter(|w| **w == 0.0).count();
        graph = passes::set_weights(graph, &layer, &sparse, &bias);
    }
    progress.note(&format!(
        "sparsify: {:.1} % of {weights_of_all} weights are zero, {left} of {} layers left as they were; ONNX Runtime's CPU kernels are no faster for it",
        100.0 * zeros_of_all as f64 / weights_of_all.max(1) as f64,
        layers.len()
    ));
    Ok(graph)
}

fn places(layer: &Layer) -> usize {
    match &layer.form {
        Form::Conv(window) => window.kernel[0] * window.kernel[1],
        Form::Dense { .. } => 1,
    }
}

fn channels(layer: &Layer) -> usize {
    layer.columns / places(layer).max(1)
}

/// The columns with neighbouring input channels beside one another, place by place of the kernel: sparse tensor cores take
/// fours of channels.
fn channels_last(layer: &Layer) -> Vec<usize> {
    let (places, channels) = (places(layer), channels(layer));
    (0..places).flat_map(|place| (0..channels).map(move |channel| channel * places + place)).collect()
}
