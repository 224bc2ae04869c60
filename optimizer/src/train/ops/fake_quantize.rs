use super::{Gradients, Operator};
use crate::train::kernel::vectorized;
use crate::train::tensor::{Buffers, Tensor};

/// The integers that a quantized type has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Range {
    pub(in super::super) min: f32,
    pub(in super::super) max: f32,
}

/// Scales and zero points: one, or one for each channel of an axis.
#[derive(Clone, Debug)]
pub(in super::super) struct Rounding {
    pub(in super::super) scales: Vec<f32>,
    pub(in super::super) zero_points: Vec<f32>,
    /// In ONNX's order of dimensions; not read where there is one scale.
    pub(in super::super) axis: usize,
}

impl Rounding {
    /// How values lie: `f` gets each run that has one scale, with the scale and the zero point.
    #[inline(always)]
    fn runs(&self, shape: &[usize], data: &mut [f32], mut f: impl FnMut(&mut [f32], f32, f32)) {
        let (run, count) = self.run(shape);
        for (i, part) in data.chunks_mut(run.max(1)).enumerate() {
            f(part, self.scales[i % count], self.zero_points[i % count]);
        }
    }

    fn run(&self, shape: &[usize]) -> (usize, usize) {
        let len: usize = shape.iter().product();
        if self.scales.len() == 1 {
            return (len, 1);
        }
        let at = if shape.len() == 4 { [0, 3, 1, 2][self.axis.min(3)] } else { self.axis };
        let dims = crate::train::tensor::stored(shape);
        (dims.get(at + 1..).unwrap_or_default().iter().product(), self.scales.len())
    }

    fn check(&self, shape: &[usize]) -> Result<(), String> {
        let fits = self.scales.len() == 1 || shape.get(self.axis) == Some(&self.scales.len());
        if fits && self.scales.len() == self.zero_points.len() {
            return Ok(());
        }
        Err(format!("{} scales on axis {} of shape {shape:?}", self.scales.len(), self.axis))
    }

    /// The integers of stored values, as floats.
    pub(in super::super) fn round(&self, range: Range, tensor: &mut Tensor) {
        self.runs(&tensor.shape, &mut tensor.data, |run, scale, zero| {
            for v in &mut *run {
                *v = ((*v / scale).round_ties_even() + zero).clamp(range.min, range.max);
            }
        });
    }

    /// Back from integers.
    pub(in super::super) fn restore(&self, tensor: &mut Tensor) {
        self.runs(&tensor.shape, &mut tensor.data, |run, scale, zero| {
            for v in &mut *run {
                *v = (*v - zero) * scale;
            }
        });
    }
}

/// `QuantizeLinear`: the rounding's gradient is taken as 1 inside the range (straight-through) and is 0 outside.
#[derive(Debug)]
pub(in super::super) struct Quantize {
    pub(in super::super) rounding: Rounding,
    pub(in super::super) range: Range,
}

impl Operator for Quantize {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        self.rounding.check(&x.shape)?;
        let mut y = buffers.take(x.data.len());
        y.copy_from_slice(&x.data);
        let mut out = Tensor::new(&x.shape, y);
        vectorized(|| self.rounding.round(self.range, &mut out));
        Ok(out)
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        mut grad: Vec<f32>,
        _: &[bool],
        _: &mut Buffers,
    ) -> Gradients {
        let x = &inputs[0].data;
        let Range { min, max } = self.range;
        let mut start = 0;
        self.rounding.runs(&inputs[0].shape, &mut grad, |run, scale, zero| {
            let (low, high) = ((min - 0.5 - zero) * scale, (max + 0.5 - zero) * scale);
            let x = &x[start..start + run.len()];
            start += run.len();
            vectorized(|| {
                for (g, x) in run.iter_mut().zip(x) {
                    *g = if *x >= low && *x <= high { *g / scale } else { 0.0 };
                }
            });
        });
        let mut out: Gradients = vec![None; inputs.len()];
        out[0] = Some(grad);
        out
    }
}

/// `DequantizeLinear`.
#[derive(Debug)]
pub(in super::super) struct Dequantize {
    pub(in super::super) rounding: Rounding,
}

impl Operator for Dequantize {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        self.rounding.check(&x.shape)?;
        let mut y = buffers.take(x.data.len());
        y.copy_from_slice(&x.data);
        let mut out = Tensor::new(&x.shape, y);
        vectorized(|| self.rounding.restore(&mut out));
        Ok(out)
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        mut grad: Vec<f32>,
        _: &[bool],
        _: &mut Buffers,
    ) -> Gradients {
        self.rounding.runs(&inputs[0].shape, &mut grad, |run, scale, _| run.iter_mut().for_each(|g| *g *= scale));
        let mut out: Gradients = vec![None; inputs.len()];
        out[0] = Some(grad);
        out
    }
}
