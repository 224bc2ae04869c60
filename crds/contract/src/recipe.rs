mod distill;
mod factorize;
mod prune;
mod quantize;
mod sparsify;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use distill::Distill;
pub use factorize::{Budget, Factorize, LayerRanks};
pub use prune::{Importance, Prune};
pub use quantize::{Calibration, Format, Quantize, Rounding};
pub use sparsify::{Pattern, Sparsify};

/// An ordered list of techniques. One recipe makes one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// Names the candidate in status, metrics and logs; unique in the list. `original` is taken by the model as it came, `auto`
    /// by what `search` finds.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub name: String,
    /// Applied in this order.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 8)))]
    pub techniques: Vec<Technique>,
}

impl Recipe {
    /// Names of further models that it reads.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.techniques.iter().filter_map(|t| t.distill.as_ref()).flat_map(Distill::models)
    }

    /// Whether it reads training data.
    pub fn trains(&self) -> bool {
        self.techniques.iter().any(|t| t.distill.is_some())
    }
}

/// One step of a recipe: exactly one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Technique {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factorize: Option<Factorize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsify: Option<Sparsify>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<Distill>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<Quantize>,
}
