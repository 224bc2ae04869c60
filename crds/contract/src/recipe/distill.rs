#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Trains the weights that the techniques before it left towards the answers of the model as it came, on the data set's
/// training images, or those of calibration where there are none. Needs no labels. It makes up for what `prune` or `factorize`
/// lost; after `quantize` it trains what the integers stand for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Distill {
    /// Whose answers are learned: the name of one of `optimization.models`. Default: the model as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 40)))]
    pub teacher: Option<String>,
    /// Takes the place of the model as it came: the name of one of `optimization.models`, with the same input and output. In the
    /// first technique of a recipe only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 40)))]
    pub student: Option<String>,
    /// Steps of the optimizer (AdamW), each with `batch` images.
    #[serde(default = "default_steps")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    pub steps: u32,
    /// Images in a step.
    #[serde(default = "default_batch")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1024)))]
    pub batch: u32,
    /// The highest: it rises over the first tenth of the steps, then falls as a cosine.
    #[serde(default = "default_learning_rate")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.000_000_1, max = 1.0)))]
    pub learning_rate: f64,
    /// Softens the answers that are learned, so that those of the classes not chosen count too.
    #[serde(default = "default_temperature")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.1, max = 100.0)))]
    pub temperature: f64,
    /// The share of the loss that the images' labels have; 0 reads none.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub labels: f64,
    /// Weight, beside the loss on answers, of that on inner values which both networks have under one name and in one shape: where
    /// they add and pool. 0 compares none.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1000.0)))]
    pub features: f64,
    /// Pixels by which an image is moved at most, at random, each time that it is seen.
    #[serde(default = "default_shift")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 64)))]
    pub shift: u32,
    /// Mirrors every other image, left to right.
    #[serde(default)]
    pub flip: bool,
    /// Of the order of the images and their changes. Equal inputs give an equal model.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub seed: u32,
}

fn default_steps() -> u32 {
    300
}

fn default_batch() -> u32 {
    64
}

fn default_learning_rate() -> f64 {
    0.0005
}

fn default_temperature() -> f64 {
    4.0
}

fn default_shift() -> u32 {
    2
}

impl Distill {
    /// Names of further models that it reads.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.teacher.iter().chain(&self.student).map(String::as_str)
    }
}

impl Default for Distill {
    fn default() -> Self {
        Self {
            teacher: None,
            student: None,
            steps: default_steps(),
            batch: default_batch(),
            learning_rate: default_learning_rate(),
            temperature: default_temperature(),
            labels: 0.0,
            features: 0.0,
            shift: default_shift(),
            flip: false,
            seed: 0,
        }
    }
}
