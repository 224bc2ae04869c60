use std::collections::BTreeMap;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Baseline, RecordedSamples};
use crate::{Digest, Measurements, Recipe};

/// How a package came to be and what was measured on it. What is not known is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PackageRecord {
    /// `original`, the recipe's name, or `auto`: then the recipe is the one that a search found.
    pub candidate: String,
    /// As it was applied, with every default and every seed; null for the model as it came.
    pub recipe: Option<Recipe>,
    /// Digest of the model as it came from its source; where its weights lie in further files, the digest of what `sha256sum`
    /// prints for the `.onnx` file and then for each of them, by name.
    pub source: Digest,
    /// Digest of the calibration data.
    pub calibration: Option<Digest>,
    /// Digest of the evaluation data.
    pub evaluation: Option<Digest>,
    /// What it learned on, where that is not the calibration data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Digest>,
    /// Digests of the further models that its recipe read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Digest>,
    pub measurements: Measurements,
    /// Program name to version: drydock-optimizer, onnxruntime.
    pub tools: BTreeMap<String, String>,
    /// What each technique said that it did, in the order of the recipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the two graphs are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphs: Option<Graphs>,
    /// What inputs and outputs looked like on the evaluation data, to tell later whether they still do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Inputs and outputs in the file `samples.safetensors` beside this one; absent where one sample alone would be too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<RecordedSamples>,
}

impl PackageRecord {
    /// Of a candidate of which nothing else is known.
    pub fn new(candidate: &str, source: Digest) -> Self {
        Self {
            candidate: candidate.to_owned(),
            recipe: None,
            source,
            calibration: None,
            evaluation: None,
            training: None,
            models: BTreeMap::new(),
            measurements: Measurements::default(),
            tools: BTreeMap::new(),
            notes: Vec::new(),
            graphs: None,
            baseline: None,
            samples: None,
        }
    }

    /// Whether it is the model as it came; no recipe may have that name.
    pub fn is_original(&self) -> bool {
        self.candidate == "original"
    }
}

/// The model as it came and the model of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Graphs {
    pub original: GraphSummary,
    pub candidate: GraphSummary,
}

/// What a graph is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GraphSummary {
    /// Of the default domain.
    pub opset: i64,
    /// Values in all constants.
    pub parameters: u64,
    /// Multiply-accumulates of one item, of the nodes where they are known.
    pub macs: u64,
    /// Nodes whose multiply-accumulates are not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncounted_nodes: u64,
    /// By operator, with the domain before its name where it is not the default: `com.microsoft.MatMulNBits`.
    pub operators: BTreeMap<String, OperatorCount>,
}

/// What a graph has of one operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OperatorCount {
    pub nodes: u64,
    /// Multiply-accumulates of one item, of the nodes where they are known.
    pub macs: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use crate::PackageManifest;

    /// A package of the first version is read, and an unknown field of a later one is passed over.
    #[test]
    fn records_of_other_versions() {
        let digest = crate::Digest::of(b"");
        let text = format!(
            r#"{{"digest": "{digest}", "content": {{"schema": 1, "model": {{"sha256": "{digest}", "size": 1}}, "inputs": [],
                "outputs": [], "preprocessing": {{"scale": 1.0}}, "labels": []}},
                "record": {{"candidate": "original", "recipe": null, "source": "{digest}", "calibration": null,
                "evaluation": null, "measurements": {{}}, "tools": {{}}, "novelty": 1}}}}"#
        );
        let old: PackageManifest = serde_json::from_str(&text).unwrap();
        let record = &old.record;
        assert!(record.notes.is_empty() && record.graphs.is_none() && record.baseline.is_none(), "{record:?}");
        let written = serde_json::to_string(&old).unwrap();
        assert!(!["baseline", "graphs", "samples"].iter().any(|field| written.contains(field)), "{written}");
    }
}
