use super::affine::{combine, moments, scale_shift, sums};
use super::{Gradients, Operator};
use crate::train::tensor::{Buffers, Tensor};

/// `BatchNormalization`: y = g·(x - μ)/√(v + ε) + β for each channel. In training μ and v are the batch's, and a moving
/// average of them goes on in `mean` and `variance`; else they are those.
#[derive(Debug)]
pub(in super::super) struct BatchNorm {
    pub(in super::super) training: bool,
    pub(in super::super) epsilon: f64,
    /// The share of the old average that a step keeps.
    pub(in super::super) momentum: f64,
    pub(in super::super) mean: Vec<f32>,
    pub(in super::super) variance: Vec<f32>,
    /// Of the last forward pass.
    used_mean: Vec<f32>,
    inverse: Vec<f64>,
}

impl BatchNorm {
    pub(in super::super) fn new(
        training: bool,
        epsilon: f32,
        momentum: f32,
        mean: Vec<f32>,
        variance: Vec<f32>,
    ) -> Self {
        let (epsilon, momentum) = (f64::from(epsilon), f64::from(momentum));
        Self { training, epsilon, momentum, mean, variance, used_mean: Vec::new(), inverse: Vec::new() }
    }
}

impl Operator for BatchNorm {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let (x, gain, shift) = (inputs[0], &inputs[1].data, &inputs[2].data);
        let channels = x.stored().last().copied().unwrap_or(0);
        let lengths = [gain.len(), shift.len(), self.mean.len(), self.variance.len()];
        // Rank 3 has its channels in the middle.
        if !matches!(x.shape.len(), 2 | 4) || lengths.iter().any(|l| *l != channels) || x.data.is_empty() {
            return Err(format!("input {:?}, statistics of {} channels", x.shape, self.mean.len()));
        }
        let rows = (x.data.len() / channels) as f64;
        let variance: Vec<f64> = if self.training {
            // Sums of differences from the first pixel: no digits lost where the mean is far from 0.
            let first = &x.data[..channels];
            let (sum, square) = moments(&x.data, first);
            self.used_mean = sum.iter().zip(first).map(|(s, f)| (s / rows + f64::from(*f)) as f32).collect();
            let batch: Vec<f64> =
                sum.iter().zip(&square).map(|(s, q)| (q / rows - (s / rows).powi(2)).max(0.0)).collect();
            let average = |old: &mut f32, new: f64| {
                *old = (f64::from(*old) * self.momentum + new * (1.0 - self.momentum)) as f32;
            };
            self.mean.iter_mut().zip(&self.used_mean).for_each(|(old, new)| average(old, f64::from(*new)));
            // The average is of unbiased estimates, as in PyTorch.
            let unbiased = rows / (rows - 1.0).max(1.0);
            self.variance.iter_mut().zip(&batch).for_each(|(old, new)| average(old, new * unbiased));
            batch
        } else {
            self.used_mean.clone_from(&self.mean);
            self.variance.iter().map(|v| f64::from(*v)).collect()
        };
        self.inverse = variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        let a: Vec<f32> = gain.iter().zip(&self.inverse).map(|(g, i)| (f64::from(*g) * i) as f32).collect();
        let b: Vec<f32> = (0..channels)
            .map(|c| (f64::from(shift[c]) - f64::from(self.used_mean[c]) * f64::from(gain[c]) * self.inverse[c]) as f32)
            .collect();
        let mut y = buffers.take(x.data.len());
        scale_shift(&x.data, &a, &b, &mut y);
        Ok(Tensor::new(&x.shape, y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        mut grad: Vec<f32>,
        wanted: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let (x, gain) = (inputs[0], &inputs[1].data);
        let channels = gain.len();
        let (sum, product) = sums(&grad, &x.data, &self.used_mean);
        let mut out: Gradients = vec![None; inputs.len()];
        if wanted[1] {
            out[1] = Some(product.iter().zip(&self.inverse).map(|(p, i)| (p * i) as f32).collect());
        }
        if wanted[2] {
            out[2] = Some(sum.iter().map(|s| *s as f32).collect());
        }
        if !wanted[0] {
            buffers.give(grad);
            return out;
        }
        let rows = (x.data.len() / channels) as f64;
        let mut k = [vec![0.0; channels], vec![0.0; channels], vec![0.0; channels]];
        for c in 0..channels {
            let a = f64::from(gain[c]) * self.inverse[c];
            k[0][c] = a as f32;
            if self.training {
                // dx = a·(dy - Σdy/n - (x - μ)·Σdy(x - μ)/(n·(v + ε)))
                let slope = -a * product[c] * self.inverse[c].powi(2) / rows;
                k[1][c] = slope as f32;
                k[2][c] = (-a * sum[c] / rows - slope * f64::from(self.used_mean[c])) as f32;
            }
        }
        combine(&mut grad, &x.data, &k[0], &k[1], &k[2]);
        out[0] = Some(grad);
        out
    }

    fn statistics(&self) -> Option<[&[f32]; 2]> {
        self.training.then_some([&self.mean, &self.variance])
    }
}
