use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Preprocessing, Recipe, Target};

/// The environment variable of the optimization Job that holds the [`Task`] as JSON.
pub const TASK_ENV: &str = "DRYDOCK_TASK";

/// What one optimization Job is to do. All indexes get the same task: `JOB_COMPLETION_INDEX` 0 is the original, index
/// `i` is `recipes[i - 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    pub model: Input,
    #[serde(default)]
    pub preprocessing: Preprocessing,
    #[serde(default)]
    pub labels: Vec<String>,
    /// Required as soon as there is a recipe.
    #[serde(default)]
    pub dataset: Option<Dataset>,
    #[serde(default)]
    pub recipes: Vec<Recipe>,
    /// Further models, by the name that recipes have for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Input>,
    /// What the packages are for; `None`: the machine that makes them, [`Target::of`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Root of the artifact store: a directory that outlives the Job.
    pub store: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dataset {
    /// Inputs that calibration reads; labels are not needed.
    pub calibration: Input,
    /// Labelled inputs that accuracy is measured on.
    pub evaluation: Input,
    /// Inputs that `distill` learns on; `None`: those of calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Input>,
}

/// A file to read, or a directory of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    pub location: Location,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Location {
    /// A file or directory that the pod has mounted.
    Path(String),
    /// `https://`, or `http://` where a digest is given.
    Url(String),
}

impl Task {
    /// `original`, or the recipe's name; `None` past the last recipe.
    pub fn candidate_name(&self, index: usize) -> Option<&str> {
        match index.checked_sub(1) {
            None => Some("original"),
            Some(i) => self.recipes.get(i).map(|r| r.name.as_str()),
        }
    }
}
