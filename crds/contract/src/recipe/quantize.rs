#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Numbers of fewer bits. What cannot be quantized stays in float; inputs and outputs keep their types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Quantize {
    /// What becomes of weights and activations. The options below are for `Int8`, where they do not say otherwise.
    #[serde(default)]
    pub format: Format,
    /// How the range of each activation is taken from the calibration data.
    #[serde(default)]
    pub calibration: Calibration,
    /// The share of values, in percent, that the range keeps; read by `Percentile` only.
    #[serde(default = "default_percentile")]
    #[cfg_attr(feature = "schema", schemars(range(min = 50.0, max = 100.0)))]
    pub percentile: f64,
    /// One scale for each output channel of a weight; false: one for the whole tensor. Read by `DynamicInt8` too.
    #[serde(default = "default_true")]
    pub per_channel: bool,
    /// Calibration images to use; 0: all.
    #[serde(default = "default_images")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    pub images: u32,
    /// Scale the channels of each activation towards one range, and undo it in the weights that read them
    /// (cross-layer equalization). The float network computes the same.
    #[serde(default = "default_true")]
    pub equalize: bool,
    /// How weights are rounded.
    #[serde(default)]
    pub rounding: Rounding,
    /// Correct each bias by the mean error that quantization causes on the calibration data.
    #[serde(default = "default_true")]
    pub bias_correction: bool,
    /// Mixed precision: keep the most sensitive layers in float until the signal-to-noise ratio of the outputs on the
    /// calibration data, in dB, is at least this; 0: every layer is quantized.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 120.0)))]
    pub min_sqnr: f64,
    /// Weights that share one scale; read by `WeightInt4` and `WeightInt8` only.
    #[serde(default = "default_block_size")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [16, 32, 64, 128, 256])))]
    pub block_size: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Format {
    /// Static int8 in QDQ form: activations U8, weights S8, the form that ONNX Runtime runs fastest on x86.
    #[default]
    Int8,
    /// `MatMul` and `Gemm` in int8, the activations' ranges taken anew from each input: for transformers. Needs no data.
    DynamicInt8,
    /// Weights of `MatMul` and `Gemm` in blocks of 8-bit integers, computed in float. Needs no data.
    WeightInt8,
    /// The same in 4 bits.
    WeightInt4,
    /// Weights in half precision; computed in float32 where the engine has no half-precision kernel. Needs no data.
    Float16,
    /// The same in bfloat16: float32's range with 8 bits of precision.
    BFloat16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Calibration {
    /// The smallest and the largest value seen.
    #[default]
    MinMax,
    /// The range that keeps `percentile` percent of the values seen.
    Percentile,
    /// The range whose quantized distribution is nearest to the one seen, by Kullback-Leibler divergence.
    Entropy,
    /// The range with the least mean squared error.
    Mse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Rounding {
    /// Each weight to the nearest code.
    #[default]
    Nearest,
    /// Up or down, whichever together keep the layer's output nearest on the calibration data: slower.
    Adaptive,
}

fn default_percentile() -> f64 {
    99.99
}

fn default_true() -> bool {
    true
}

fn default_images() -> u32 {
    256
}

fn default_block_size() -> u32 {
    32
}

impl Default for Quantize {
    fn default() -> Self {
        Self {
            format: Format::default(),
            calibration: Calibration::default(),
            percentile: default_percentile(),
            per_channel: true,
            images: default_images(),
            equalize: true,
            rounding: Rounding::default(),
            bias_correction: true,
            min_sqnr: 0.0,
            block_size: default_block_size(),
        }
    }
}
