//! Static int8 in QDQ form: `QuantizeLinear` and `DequantizeLinear` around what ONNX Runtime has integer kernels for.
//!
//! Activations are U8 with a zero point, weights S8 without one, biases S32 of scale s_x·s_w: of the four sign
//! combinations only this one is fast on x86. [`Scheme`] has what other targets want. What cannot be quantized stays in float and reads dequantized values.

mod affine;
mod bias;
mod layer;
mod rewrite;
mod rounding;
mod scheme;
mod select;
pub(super) mod weights;

pub use affine::Affine;
pub use bias::{Mean, bias_shift, shift_bias};
pub use rewrite::{QuantizeReport, Tuning, Written, quantize};
pub use rounding::{Gram, round_layer};
pub use scheme::Scheme;
pub use select::{ChannelAxis, Selection, select};
