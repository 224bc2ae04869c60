use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Tries recipes within a time budget, drops those that cannot keep the gates, and keeps the best by the objective.
/// `search: {}` is enough.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// From the first recipe that is tried to the published package. The search ends sooner when there is nothing left to try.
    #[serde(default = "default_time_budget")]
    #[schemars(range(min = 10, max = 86_400))]
    pub time_budget_seconds: u32,
    /// Recipes that are tried, at most.
    #[serde(default = "default_max_candidates")]
    #[schemars(range(min = 1, max = 100))]
    pub max_candidates: u32,
}

fn default_time_budget() -> u32 {
    300
}

fn default_max_candidates() -> u32 {
    32
}

/// As the schema has it: what an empty object means.
impl Default for Search {
    fn default() -> Self {
        Self { time_budget_seconds: default_time_budget(), max_candidates: default_max_candidates() }
    }
}
