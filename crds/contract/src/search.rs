use serde::{Deserialize, Serialize};

use crate::{Limits, Objective};

/// Names the candidate that a search finds.
pub const SEARCH_CANDIDATE: &str = "auto";
/// File name of what a search tried, in the directory of the package that it found; for reports.
pub const SEARCH_FILE: &str = "search.json";

/// A search for the best recipe within a time budget. It looks for what the operator will choose by, so it has to know the
/// gates; no other part of a task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Search {
    /// From the first candidate to the published package.
    pub time_budget_seconds: u32,
    /// Candidates that are made, at most.
    pub max_candidates: u32,
    pub limits: Limits,
    pub objective: Objective,
}
