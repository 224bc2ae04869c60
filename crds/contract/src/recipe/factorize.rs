#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Low rank: each convolution or matrix product whose outputs are nearly dependent becomes two smaller ones. Needs no labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Factorize {
    /// Multiply-accumulates of one inference that the result may have, as a share of those before. Ranks are shared out
    /// over the layers so that the output changes least.
    #[serde(default = "default_macs_ratio")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.01, max = 1.0)))]
    pub macs_ratio: f64,
    /// Calibration images to use; 0: all.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    pub images: u32,
    /// Fit each layer again, in order, to what it gave in the model before, from the inputs that it now gets.
    #[serde(default = "default_true")]
    pub reconstruct: bool,
}

fn default_true() -> bool {
    true
}

fn default_macs_ratio() -> f64 {
    0.5
}

impl Default for Factorize {
    fn default() -> Self {
        Self { macs_ratio: default_macs_ratio(), images: 0, reconstruct: true }
    }
}
