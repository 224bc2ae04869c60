use super::{Gradients, Operator};
use crate::train::kernel::vectorized;
use crate::train::tensor::{Buffers, Tensor};

/// An operator on each value by itself.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Unary {
    Identity,
    Relu,
    Clip { min: f32, max: f32 },
    LeakyRelu { alpha: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Sigmoid,
    Tanh,
    Exp,
    Sqrt,
    Neg,
}

#[derive(Debug)]
pub(in super::super) struct Activation(pub(in super::super) Unary);

/// NaN stays NaN: a diverging training must be seen.
#[inline(always)]
fn bound(x: f32, min: f32, max: f32) -> f32 {
    if x < min {
        min
    } else if x > max {
        max
    } else {
        x
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorized(move || x.iter().zip(y).for_each(|(x, y)| *y = f(*x)));
}

/// grad *= slope(x, y)
#[inline(always)]
fn chain(x: &[f32], y: &[f32], grad: &mut [f32], slope: impl Fn(f32, f32) -> f32) {
    vectorized(move || x.iter().zip(y).zip(grad).for_each(|((x, y), g)| *g *= slope(*x, *y)));
}

#[inline(always)]
fn when(condition: bool, slope: f32) -> f32 {
    if condition { slope } else { 0.0 }
}

impl Operator for Activation {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = &inputs[0].data;
        let mut y = buffers.take(x.len());
        match self.0 {
            Unary::Identity => y.copy_from_slice(x),
            Unary::Relu => map(x, &mut y, |x| if x < 0.0 { 0.0 } else { x }),
            Unary::Clip { min, max } => map(x, &mut y, move |x| bound(x, min, max)),
            Unary::LeakyRelu { alpha } => map(x, &mut y, |x| if x < 0.0 { alpha * x } else { x }),
            Unary::HardSigmoid { alpha, beta } => map(x, &mut y, |x| bound(alpha * x + beta, 0.0, 1.0)),
            Unary::HardSwish => map(x, &mut y, |x| x * bound(x / 6.0 + 0.5, 0.0, 1.0)),
            Unary::Sigmoid => map(x, &mut y, sigmoid),
            Unary::Tanh => map(x, &mut y, f32::tanh),
            Unary::Exp => map(x, &mut y, f32::exp),
            Unary::Sqrt => map(x, &mut y, f32::sqrt),
            Unary::Neg => map(x, &mut y, |x| -x),
        }
        Ok(Tensor::new(&inputs[0].shape, y))
    }

    #[allow(clippy::needless_bitwise_bool, reason = "`&&` is a branch, and the loop is not vectorized")]
    fn backward(
        &mut self,
        inputs: &[&Tensor],
        output: &Tensor,
        mut grad: Vec<f32>,
        _: &[bool],
        _: &mut Buffers,
    ) -> Gradients {
        let (x, y, g) = (&inputs[0].data, &output.data, &mut grad);
        match self.0 {
            Unary::Identity => {}
            Unary::Relu => chain(x, y, g, |_, y| when(y > 0.0, 1.0)),
            // The bounds by value, no branch for each value: these took a quarter of a step of a network with ReLU6.
            Unary::Clip { min, max } => chain(x, y, g, move |_, y| when((y > min) & (y < max), 1.0)),
            Unary::LeakyRelu { alpha } => chain(x, y, g, |x, _| if x < 0.0 { alpha } else { 1.0 }),
            Unary::HardSigmoid { alpha, .. } => chain(x, y, g, move |_, y| when((y > 0.0) & (y < 1.0), alpha)),
            Unary::HardSwish => {
                chain(x, y, g, |x, _| if x >= 3.0 { 1.0 } else { when(x > -3.0, x / 3.0 + 0.5) });
            }
            Unary::Sigmoid => chain(x, y, g, |_, y| y * (1.0 - y)),
            Unary::Tanh => chain(x, y, g, |_, y| 1.0 - y * y),
            Unary::Exp => chain(x, y, g, |_, y| y),
            Unary::Sqrt => chain(x, y, g, |_, y| 0.5 / y),
            Unary::Neg => chain(x, y, g, |_, _| -1.0),
        }
        let mut out: Gradients = vec![None; inputs.len()];
        out[0] = Some(grad);
        out
    }
}
