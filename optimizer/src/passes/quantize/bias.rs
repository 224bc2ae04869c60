use super::rewrite::{Written, WrittenBias};
use crate::onnx::Graph;

/// Of one output channel of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub value: f64,
    /// The share of the values that move when the bias does: a `Relu` holds the others.
    pub free: f64,
}

/// Where hardly anything moves, the bias would have to move far to make up for it.
const LEAST_FREE: f64 = 0.1;

/// By how much to raise each bias, so that a layer's mean result is the float one again: the empirical correction of
/// Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), taken behind the
/// activation function, where the next layer reads.
pub fn bias_shift(float: &[Mean], quantized: &[Mean]) -> Vec<f64> {
    let shift = |(f, q): (&Mean, &Mean)| {
        let shift = (f.value - q.value) / f.free.max(LEAST_FREE);
        if shift.is_finite() { shift } else { 0.0 }
    };
    float.iter().zip(quantized).map(shift).collect()
}

/// Raises the bias of a layer that [`super::quantize`] wrote, by its codes or its values.
pub fn shift_bias(graph: &mut Graph, layer: &Written, shifts: &[f64]) {
    let Some(WrittenBias { name, scales }) = &layer.bias else { return };
    let Some(tensor) = graph.body.initializer.iter_mut().find(|t| t.name == *name) else { return };
    let Some(scales) = scales else {
        let values = tensor.raw_data.as_chunks::<4>().0.iter().zip(shifts);
        let shifted = values.map(|(value, shift)| (f64::from(f32::from_le_bytes(*value)) + shift) as f32);
        tensor.raw_data = shifted.flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into();
        return;
    };
    let codes = tensor.raw_data.as_chunks::<4>().0.iter().zip(shifts).enumerate();
    let shifted = codes.map(|(i, (code, shift))| {
        let scale = f64::from(scales[if scales.len() == 1 { 0 } else { i }]);
        // Saturates; half of the range is left for the sum that the bias is added to.
        i32::from_le_bytes(*code).saturating_add((shift / scale).round_ties_even() as i32).clamp(-(1 << 30), 1 << 30)
    });
    tensor.raw_data = shifted.flat_map(i32::to_le_bytes).collect::<Vec<u8>>().into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts() {
        let mean = |value, free| Mean { value, free };
        for (float, quantized, expected) in [
            (mean(2.0, 1.0), 1.5, 0.5),
            (mean(2.0, 0.25), 1.5, 2.0),
            (mean(0.25, 0.0), 0.5, -2.5),
            (mean(f64::NAN, 1.0), 0.5, 0.0),
        ] {
            let found = bias_shift(&[float], &[mean(quantized, 1.0)]);
            assert_eq!(found, [expected], "{float:?}");
        }
    }
}
