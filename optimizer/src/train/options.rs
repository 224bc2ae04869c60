use std::collections::BTreeSet;

use super::data::{Augment, Samples};
use super::error::TrainError;
use super::optimizer::Rule;
use crate::onnx::Graph;

/// Whose answers are learned. It must take the student's input.
#[derive(Clone, Copy, Debug)]
pub struct Teacher<'a> {
    pub graph: &'a Graph,
    /// Inner values to be matched.
    pub features: &'a [Feature],
}

/// Two values of the same shape, one of the student and one of the teacher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub student: String,
    pub teacher: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub steps: usize,
    /// Images in a step.
    pub batch: usize,
    pub rule: Rule,
    /// The highest of the schedule.
    pub learning_rate: f32,
    /// The share of steps in which the learning rate rises; then it falls as a cosine.
    pub warm_up: f32,
    /// Softens the teacher's answers.
    pub temperature: f32,
    /// The labels' share of the loss; the rest is the teacher's. 0 reads no labels.
    pub labels: f32,
    /// Weight of the features beside that.
    pub features: f32,
    /// What is compared in the place of the first output, where that holds no scores of classes: values of a detector's last layers.
    pub heads: Vec<Feature>,
    pub augment: Augment,
    pub seed: u64,
    /// `BatchNormalization` takes the statistics of the batch, and their moving average goes on; false: it takes those
    /// of the file.
    pub batch_statistics: bool,
    /// Weights that are 0 stay 0, as after pruning.
    pub keep_zeros: bool,
    /// Initializers that stay as they are.
    pub freeze: BTreeSet<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 64,
            rule: Rule::AdamW { weight_decay: 0.05 },
            learning_rate: 1e-3,
            warm_up: 0.1,
            temperature: 4.0,
            labels: 0.0,
            features: 0.0,
            heads: Vec::new(),
            augment: Augment::default(),
            seed: 0,
            batch_statistics: true,
            keep_zeros: false,
            freeze: BTreeSet::new(),
        }
    }
}

pub(super) fn check(options: &Options, teacher: Option<Teacher<'_>>, data: &Samples) -> Result<(), TrainError> {
    let fail = |what: String| Err(TrainError::Options(what));
    let share = |v: f32| (0.0..=1.0).contains(&v);
    if options.steps == 0 || options.batch == 0 {
        return fail(format!("{} steps of {} images; expected at least one of each", options.steps, options.batch));
    }
    let positive = |v: f32| v.is_finite() && v > 0.0;
    if !positive(options.learning_rate) || !positive(options.temperature) {
        let (rate, temperature) = (options.learning_rate, options.temperature);
        return fail(format!("learning rate {rate}, temperature {temperature}; expected numbers above 0"));
    }
    let features = options.features.is_finite() && options.features >= 0.0;
    if !(share(options.labels) && share(options.warm_up) && features) {
        return fail(format!("labels {}, warm-up {}; expected 0 to 1", options.labels, options.warm_up));
    }
    if options.labels > 0.0 && !options.heads.is_empty() {
        return fail(format!(
            "labels {}; expected 0: they are of classes, and what is compared is not",
            options.labels
        ));
    }
    if options.labels > 0.0 && data.labels().is_none() {
        return fail("the loss has a share for labels, and the data has none; expected an array `y`".into());
    }
    if teacher.is_none() && options.labels == 0.0 {
        return fail("neither a teacher nor labels; expected something to learn from".into());
    }
    Ok(())
}
