#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went into and came out of the package's model on the evaluation data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    pub images: u64,
    /// Of the input as the model gets it, after pre-processing: one for each channel, or one for all where there are many.
    pub input: Vec<Statistics>,
    /// Of the first output, where its rows are scores of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputBaseline>,
}

/// Of single values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    pub mean: f64,
    /// Of the whole population: divided by the number of values.
    pub std: f64,
    pub min: f64,
    pub max: f64,
}

/// Of the scores of classes. Images with a score that is not finite are counted in `predicted` alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OutputBaseline {
    /// Mean of each class's score, as the model gives it.
    pub mean_scores: Vec<f64>,
    /// Images for which each class has the highest score.
    pub predicted: Vec<u64>,
    /// The scores are no probabilities: `margin` and `entropy` are those of their softmax.
    pub softmax: bool,
    /// The highest probability less the second.
    pub margin: Distribution,
    /// Of the probabilities, over the largest there can be: 0 is sure, 1 has no idea.
    pub entropy: Distribution,
}

/// Of a number from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    pub mean: f64,
    pub std: f64,
    /// Images in each of equal parts of the range; 1 is in the last.
    pub bins: Vec<u64>,
}
