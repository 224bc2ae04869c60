use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Static int8 in QDQ form: activations U8, weights S8, the form that ONNX Runtime runs fastest on x86.
/// What cannot be quantized stays in float.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantize {
    /// How the range of each activation is taken from the calibration data.
    #[serde(default)]
    pub calibration: Calibration,
    /// The share of values, in percent, that the range keeps; read by `Percentile` only.
    #[serde(default = "default_percentile")]
    #[schemars(range(min = 50.0, max = 100.0))]
    pub percentile: f64,
    /// One scale for each output channel of a weight; false: one for the whole tensor.
    #[serde(default = "default_true")]
    pub per_channel: bool,
    /// Calibration images to use; 0: all.
    #[serde(default = "default_images")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub images: u32,
    /// Correct each bias by the mean error that quantizing the weights causes on the calibration data.
    #[serde(default)]
    pub bias_correction: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Calibration {
    /// The smallest and the largest value seen.
    #[default]
    MinMax,
    /// The range that keeps `percentile` percent of the values seen.
    Percentile,
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

impl Default for Quantize {
    fn default() -> Self {
        Self {
            calibration: Calibration::default(),
            percentile: default_percentile(),
            per_channel: true,
            images: default_images(),
            bias_correction: false,
        }
    }
}
