#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes out the channels that the output depends on least, through residuals and depthwise layers. Needs no labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// Multiply-accumulates of one inference that the result may have, as a share of those before.
    #[serde(default = "default_macs_ratio")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.01, max = 1.0)))]
    pub macs_ratio: f64,
    /// How much a channel matters.
    #[serde(default)]
    pub importance: Importance,
    /// Calibration images to use; 0: all.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    pub images: u32,
    /// Fit each layer again, in order, to what it gave in the model before, from the inputs that it now gets.
    #[serde(default = "default_true")]
    pub reconstruct: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Importance {
    /// The error in the next layer's output that is left once its other weights make up for the loss.
    #[default]
    Reconstruction,
    /// The size of the weights.
    Magnitude,
    /// The size of the weights times that of what they multiply.
    Activation,
    /// The squared change of the loss on labels that taking the weights out would make, to first order. The calibration data
    /// needs labels. Of a detector, the squared change of what its last layers give; that needs none.
    Taylor,
}

fn default_true() -> bool {
    true
}

fn default_macs_ratio() -> f64 {
    0.5
}

impl Default for Prune {
    fn default() -> Self {
        Self { macs_ratio: default_macs_ratio(), importance: Importance::default(), images: 0, reconstruct: true }
    }
}
