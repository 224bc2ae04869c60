#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets single weights to zero and fits the others to make up for it. Needs no labels. The file compresses better and hardware
/// with sparse kernels can use it; ONNX Runtime's CPU kernels multiply by the zeros all the same and gain **no speed**. `distill`
/// and `quantize` after it keep the zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sparsify {
    #[serde(default)]
    pub pattern: Pattern,
    /// The share of zeros in each layer; read by `Unstructured` only.
    #[serde(default = "default_sparsity")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 0.99)))]
    pub sparsity: f64,
    /// Calibration images to use; 0: all.
    #[serde(default = "default_images")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    pub images: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Pattern {
    /// Anywhere.
    #[default]
    Unstructured,
    /// Two of each four neighbours, as sparse tensor cores want it.
    TwoOfFour,
}

fn default_sparsity() -> f64 {
    0.5
}

fn default_images() -> u32 {
    256
}

impl Default for Sparsify {
    fn default() -> Self {
        Self { pattern: Pattern::default(), sparsity: default_sparsity(), images: default_images() }
    }
}
