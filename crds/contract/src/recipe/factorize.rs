use std::collections::BTreeMap;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Low rank: each convolution or matrix product whose values are nearly dependent becomes two or three smaller ones. Needs no
/// labels. At most one of `macsRatio`, `latencyRatio` and `ranks` is set; none is `macsRatio: 0.5`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Factorize {
    /// Multiply-accumulates of one inference that the result may have, as a share of those before. Ranks are shared out
    /// over the layers so that the output changes least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.01, max = 1.0)))]
    pub macs_ratio: Option<f64>,
    /// CPU time of one inference on one thread that the result may take, as a share of that before. Layers are measured in
    /// ONNX Runtime on the machine that makes the package; the ranks that this came to are in the package's recipe, as `ranks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.01, max = 1.0)))]
    pub latency_ratio: Option<f64>,
    /// The ranks themselves, by the name of the layer's output; a layer that is not named stays whole. Equal ranks give equal
    /// models on every machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 1024)))]
    pub ranks: Option<BTreeMap<String, LayerRanks>>,
    /// Calibration images to use; 0: all.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    pub images: u32,
    /// Fit each layer again, in order, to what it gave in the model before, from the inputs that it now gets.
    #[serde(default = "default_true")]
    pub reconstruct: bool,
}

/// What a layer is split into, at least one of the two. A convolution of a kernel over 1x1 with both becomes 1x1 from its channels
/// to `input`, its own kernel from there to `output`, and 1x1 to its channels (Tucker-2: Kim et al. 2016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LayerRanks {
    /// Channels that the kernel reads. Absent: all that the layer has; for 1x1 and matrix products always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65_536)))]
    pub input: Option<u32>,
    /// Channels that the kernel makes. Absent: all that the layer has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65_536)))]
    pub output: Option<u32>,
}

/// How ranks are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget<'a> {
    MacsRatio(f64),
    LatencyRatio(f64),
    Ranks(&'a BTreeMap<String, LayerRanks>),
}

impl Factorize {
    /// `None` where more than one is set.
    pub fn budget(&self) -> Option<Budget<'_>> {
        match (self.macs_ratio, self.latency_ratio, &self.ranks) {
            (ratio, None, None) => Some(Budget::MacsRatio(ratio.unwrap_or(MACS_RATIO))),
            (None, Some(ratio), None) => Some(Budget::LatencyRatio(ratio)),
            (None, None, Some(ranks)) => Some(Budget::Ranks(ranks)),
            _ => None,
        }
    }

    pub fn macs(ratio: f64) -> Self {
        Self { macs_ratio: Some(ratio), ..Self::default() }
    }
}

/// Where nothing is said.
const MACS_RATIO: f64 = 0.5;

fn default_true() -> bool {
    true
}

impl Default for Factorize {
    fn default() -> Self {
        Self { macs_ratio: None, latency_ratio: None, ranks: None, images: 0, reconstruct: true }
    }
}
