//! The operators that have a gradient: each knows its forward and its backward pass.

mod activation;
mod affine;
mod arithmetic;
mod batch_norm;
mod conv;
mod depthwise;
mod fake_quantize;
mod linear;
mod pool;
mod reduce;
mod shape;
mod softmax;
mod window;

use super::tensor::{Buffers, Tensor};

pub(super) use activation::{Activation, Unary};
pub(super) use arithmetic::{Arithmetic, Binary};
pub(super) use batch_norm::BatchNorm;
pub(super) use conv::Conv;
pub(super) use fake_quantize::{Dequantize, Quantize, Range, Rounding};
pub(super) use linear::{Gemm, MatMul};
pub(super) use pool::{AveragePool, MaxPool};
pub(super) use reduce::Mean;
pub(super) use shape::{Concat, Reshape, Shaping, Transpose};
pub(super) use softmax::Softmax;
pub(super) use window::Window;

/// A gradient for each input, in the order of storage; `None` where it was not wanted.
pub(super) type Gradients = Vec<Option<Vec<f32>>>;

pub(super) trait Operator: std::fmt::Debug {
    /// # Errors
    /// What is wrong with the inputs' shapes.
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String>;

    /// From the gradient of the output to that of each input that is `wanted`. Called after `forward` of the same inputs.
    fn backward(
        &mut self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: Vec<f32>,
        wanted: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients;

    /// The moving mean and variance that forward passes have left.
    fn statistics(&self) -> Option<[&[f32]; 2]> {
        None
    }
}

#[cfg(test)]
mod tests;
