use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Trains the weights that the techniques before it left, on the calibration images, towards the answers of the model as it
/// came. Needs no labels. It makes up for what `prune` or `factorize` lost, and comes before `quantize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Distill {
    /// Steps of the optimizer (AdamW), each with `batch` images.
    #[serde(default = "default_steps")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub steps: u32,
    /// Images in a step.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1, max = 1024))]
    pub batch: u32,
    /// The highest: it rises over the first tenth of the steps, then falls as a cosine.
    #[serde(default = "default_learning_rate")]
    #[schemars(range(min = 0.000_000_1, max = 1.0))]
    pub learning_rate: f64,
    /// Softens the answers that are learned, so that those of the classes not chosen count too.
    #[serde(default = "default_temperature")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub temperature: f64,
    /// The share of the loss that labels of the calibration images have; 0 reads none.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub labels: f64,
    /// Pixels by which an image is moved at most, at random, each time that it is seen.
    #[serde(default = "default_shift")]
    #[schemars(range(min = 0, max = 64))]
    pub shift: u32,
    /// Mirrors every other image, left to right.
    #[serde(default)]
    pub flip: bool,
    /// Of the order of the images and their changes. Equal inputs give an equal model.
    #[serde(default)]
    #[schemars(range(min = 0))]
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

impl Default for Distill {
    fn default() -> Self {
        Self {
            steps: default_steps(),
            batch: default_batch(),
            learning_rate: default_learning_rate(),
            temperature: default_temperature(),
            labels: 0.0,
            shift: default_shift(),
            flip: false,
            seed: 0,
        }
    }
}
