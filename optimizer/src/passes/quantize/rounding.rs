use super::layer::Layer;
use super::weights::{Layout, Limits};
use super::{Scheme, Selection, Tuning};
use crate::onnx::{Graph, ModelError};

/// Passes over all weights of a channel; the last ones find little.
const SWEEPS: usize = 6;
/// Added to the diagonal, as a share of its mean: what few images do not show is not free.
const DAMPING: f64 = 0.01;

/// Second moments of a layer's inputs, or of one group's: E[x·xᵀ] and E[x].
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    /// Row-major, one row for each input.
    pub products: Vec<f32>,
    pub means: Vec<f64>,
}

impl Gram {
    /// The matrix of the quadratic form that an error of the weights costs: the covariance where the bias takes the mean
    /// error, the second moments where there is no bias to take it.
    fn cost(&self, centred: bool) -> Vec<f32> {
        let n = self.means.len();
        let mut cost = self.products.clone();
        if centred {
            for (i, row) in cost.chunks_mut(n).enumerate() {
                for (value, mean) in row.iter_mut().zip(&self.means) {
                    *value -= (self.means[i] * mean) as f32;
                }
            }
        }
        let trace: f64 = (0..n).map(|i| f64::from(cost[i * n + i])).sum();
        for i in 0..n {
            cost[i * n + i] += (DAMPING * trace / n as f64) as f32;
        }
        cost
    }
}

/// The codes of a layer's weight, each rounded up or down so that together they keep the layer's output nearest to the
/// float one: per output channel the least eᵀ·E[x·xᵀ]·e over the rounding errors e, the objective of Nagel et al., "Up or
/// Down? Adaptive Rounding for Post-Training Quantization" (2020), by coordinate descent from the nearest codes.
///
/// `grams`: one for each group of inputs. `None` if the position is no layer or they do not fit it.
///
/// # Errors
/// A tensor whose data does not fit its shape; a range that is not finite.
pub fn round_layer(
    graph: &Graph,
    selection: &Selection,
    tuning: &Tuning,
    scheme: Scheme,
    position: usize,
    (grams, centred): (&[Gram], bool),
) -> Result<Option<Vec<i8>>, ModelError> {
    let index = graph.index();
    let Some(layer) = Layer::read(graph, &index, selection, tuning, scheme, position)? else { return Ok(None) };
    let channels = layer.layout.channels;
    let inputs = layer.layout.inputs;
    let per_gram = channels / grams.len().max(1);
    if per_gram == 0 || grams.iter().any(|g| g.means.len() != inputs || g.products.len() != inputs * inputs) {
        return Ok(None);
    }
    let mut codes = layer.quantized.codes.clone();
    let one = layer.quantized.scales.len() == 1;
    for (g, gram) in grams.iter().enumerate() {
        let cost = gram.cost(centred && !layer.node.is("MatMul"));
        for channel in g * per_gram..((g + 1) * per_gram).min(channels) {
            let at = |i: usize| layer.layout.at(channel, i);
            let scale = layer.quantized.scales[if one { 0 } else { channel }];
            let weights: Vec<f32> = (0..inputs).map(|i| layer.values[at(i)]).collect();
            let mut row: Vec<i8> = (0..inputs).map(|i| codes[at(i)]).collect();
            descend(&weights, (scale, layer.layout, layer.limits), &cost, &mut row);
            for (i, code) in row.into_iter().enumerate() {
                codes[at(i)] = code;
            }
        }
    }
    Ok(Some(codes))
}

/// Moves each code to the weight's other side where that lowers the cost, until none does.
fn descend(weights: &[f32], (scale, layout, limits): (f32, Layout, Limits), cost: &[f32], codes: &mut [i8]) {
    let n = weights.len();
    let mut errors: Vec<f32> = weights.iter().zip(codes.iter()).map(|(w, c)| f32::from(*c) * scale - w).collect();
    let mut slope = vec![0.0_f32; n];
    for (error, row) in errors.iter().zip(cost.chunks(n)) {
        add(&mut slope, *error, row);
    }
    for _ in 0..SWEEPS {
        let mut moved = false;
        for i in 0..n {
            let (step, change) = if errors[i] > 0.0 { (-1_i8, -scale) } else { (1, scale) };
            let next = codes[i].saturating_add(step);
            let row = &cost[i * n..(i + 1) * n];
            // NaN compares false: nothing moves on it.
            let gains = 2.0 * change * slope[i] + change * change * row[i] < 0.0;
            let other = layout.partner(i).map_or(0, |other| codes[other]);
            // What is exactly zero is meant to be.
            if gains && weights[i] != 0.0 && limits.hold(next, other) {
                codes[i] = next;
                errors[i] += change;
                add(&mut slope, change, row);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
}

fn add(sum: &mut [f32], factor: f32, row: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(row) {
        *sum += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONES: (f32, Layout, Limits) = (1.0, Layout::rows(1, 4), Limits { one: 127, pair: None });

    fn total(weights: &[f32], codes: &[i8], cost: &[f32]) -> f32 {
        let e: Vec<f32> = weights.iter().zip(codes).map(|(w, c)| f32::from(*c) - w).collect();
        let n = e.len();
        (0..n).map(|i| e[i] * (0..n).map(|j| cost[i * n + j] * e[j]).sum::<f32>()).sum()
    }

    #[test]
    fn equal_inputs_share_the_error_and_unrelated_ones_do_not() {
        // All inputs equal: the sum of the errors is what counts, and 1.6 is nearest to 2, not to 0 or 4.
        let (weights, together) = ([0.4; 4], vec![1.0; 16]);
        let mut codes = [0; 4];
        descend(&weights, ONES, &together, &mut codes);
        assert_eq!(codes.iter().map(|c| i32::from(*c)).sum::<i32>(), 2, "{codes:?}");

        let mut apart = vec![0.0; 16];
        (0..4).for_each(|i| apart[i * 5] = 1.0);
        let mut codes = [0; 4];
        descend(&weights, ONES, &apart, &mut codes);
        assert_eq!(codes, [0; 4]);
    }

    #[test]
    fn never_worse_and_never_beyond_the_codes() {
        let weights = [126.7, -126.6, 0.5, 3.3];
        let mut cost = vec![0.9; 16];
        (0..4).for_each(|i| cost[i * 5] = 1.0);
        let nearest = [127, -127, 0, 3];
        let mut codes = nearest;
        descend(&weights, ONES, &cost, &mut codes);
        assert!(total(&weights, &codes, &cost) <= total(&weights, &nearest, &cost));
        assert!(codes.iter().zip(weights).all(|(c, w)| (f32::from(*c) - w).abs() < 1.0), "{codes:?}");

        // Up would be better; the two together are at their limit.
        let (scale, layout, _) = ONES;
        let mut codes = [64, 64, 0, 0];
        let limits = Limits { one: 127, pair: Some(128) };
        descend(&[64.4, 64.4, 0.0, 0.0], (scale, layout, limits), &[1.0; 16], &mut codes);
        assert_eq!(codes, [64, 64, 0, 0]);

        for bad in [f32::NAN, 0.0] {
            let mut codes = nearest;
            descend(&weights, ONES, &[bad; 16], &mut codes);
            assert_eq!(codes, nearest, "cost {bad}");
        }
    }
}
