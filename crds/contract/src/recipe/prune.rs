use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes out what the output depends on least.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    #[serde(default)]
    pub structure: PruneStructure,
    /// Multiply-accumulates of one inference that the result may have, as a share of those before; read by `Channels` only.
    #[serde(default = "default_macs_ratio")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub macs_ratio: f64,
    /// The share of weights to set to zero; read by `Weights` only.
    #[serde(default = "default_sparsity")]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub sparsity: f64,
    /// How much a channel or weight matters.
    #[serde(default)]
    pub importance: Importance,
    /// Calibration images to use; 0: all.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub images: u32,
    /// Fit each layer again, in order, to what it gave in the model before, from the inputs that it now gets.
    #[serde(default = "default_true")]
    pub reconstruct: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PruneStructure {
    /// Whole channels: a smaller and faster model.
    #[default]
    Channels,
    /// Single weights, set to zero. ONNX Runtime runs the model no faster, and the file is smaller only once compressed.
    Weights,
    /// Two of each four weights along the input channels, set to zero. The same holds.
    TwoOfFour,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Importance {
    /// The error in the next layer's output that is left once its other weights make up for the loss.
    #[default]
    Reconstruction,
    /// The size of the weights.
    Magnitude,
    /// The size of the weights times that of what they multiply.
    Activation,
}

fn default_true() -> bool {
    true
}

fn default_macs_ratio() -> f64 {
    0.5
}

fn default_sparsity() -> f64 {
    0.5
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            structure: PruneStructure::default(),
            macs_ratio: default_macs_ratio(),
            sparsity: default_sparsity(),
            importance: Importance::default(),
            images: 0,
            reconstruct: true,
        }
    }
}
