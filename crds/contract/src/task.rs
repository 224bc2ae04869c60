use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Detection, Digest, Preprocessing, Recipe, SEARCH_CANDIDATE, Search, Target};

/// The environment variable of the optimization Job that holds the [`Task`] as JSON.
pub const TASK_ENV: &str = "DRYDOCK_TASK";

/// What one optimization Job is to do. All indexes get the same task: `JOB_COMPLETION_INDEX` 0 is the original, index
/// `i` is `recipes[i - 1]`, and the search comes last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    pub model: Input,
    #[serde(default)]
    pub preprocessing: Preprocessing,
    #[serde(default)]
    pub labels: Vec<String>,
    /// The model is a detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detection>,
    /// Required as soon as there is a recipe or a search.
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
    // Left out where there is none: a task that asks for nothing new keeps its hash, and with it its Job and results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Root of the artifact store: a directory that outlives the Job.
    pub store: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dataset {
    /// Inputs that calibration reads; labels are not needed.
    pub calibration: Input,
    /// Inputs with labels, or boxes for a detector, that accuracy is measured on.
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

/// What one index of the Job makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work<'t> {
    Original,
    Recipe(&'t Recipe),
    Search(&'t Search),
}

impl Task {
    /// Indexes of the Job.
    pub fn candidates(&self) -> usize {
        1 + self.recipes.len() + usize::from(self.search.is_some())
    }

    /// `None` past the last index.
    pub fn work(&self, index: usize) -> Option<Work<'_>> {
        let Some(i) = index.checked_sub(1) else { return Some(Work::Original) };
        match self.recipes.get(i) {
            Some(recipe) => Some(Work::Recipe(recipe)),
            None if i == self.recipes.len() => self.search.as_ref().map(Work::Search),
            None => None,
        }
    }

    /// `original`, the recipe's name, or `auto`; `None` past the last index.
    pub fn candidate_name(&self, index: usize) -> Option<&str> {
        self.work(index).map(|work| match work {
            Work::Original => "original",
            Work::Recipe(recipe) => recipe.name.as_str(),
            Work::Search(_) => SEARCH_CANDIDATE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Objective};

    #[test]
    fn the_search_is_the_last_index() {
        let recipe = |name: &str| Recipe { name: name.into(), techniques: Vec::new() };
        let search = Search {
            time_budget_seconds: 300,
            max_candidates: 8,
            limits: Limits::default(),
            objective: Objective::Size,
        };
        let mut task = Task {
            model: Input { location: Location::Path("m".into()), sha256: None },
            preprocessing: Preprocessing::default(),
            labels: Vec::new(),
            detection: None,
            dataset: None,
            recipes: vec![recipe("a"), recipe("b")],
            search: None,
            models: BTreeMap::new(),
            target: None,
            store: "s".into(),
        };
        let names = |task: &Task| (0..9).map_while(|i| task.candidate_name(i).map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(names(&task), ["original", "a", "b"]);
        assert_eq!(task.candidates(), 3);
        let without = serde_json::to_string(&task).unwrap();
        assert!(!without.contains("search"), "{without}");
        task.search = Some(search);
        assert_eq!(names(&task), ["original", "a", "b", "auto"]);
        assert_eq!(task.candidates(), 4);
        assert_eq!(serde_json::from_str::<Task>(&serde_json::to_string(&task).unwrap()).unwrap(), task);
        task.recipes.clear();
        assert_eq!(names(&task), ["original", "auto"]);
    }
}
