use drydock_contract::{GateResult, Recipe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MetricStatus;

/// Annotation of a revision's ControllerRevision that holds its [`Record`] as JSON. Not in `data`, which cannot change.
pub const RECORD_ANNOTATION: &str = "drydock.dev/record";

/// What became of a revision, and why: what stays of it when its pods are gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// That made its candidate. `None`: the model as it came, or what a search found, whose recipe is in the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// What its candidate was measured at: `accuracy -0.08, 3.80x as fast, 25.8 % of the size`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub measured: String,
    /// Each gate that it had to keep, as the gates were then. None of the model as it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// The oldest first.
    pub decisions: Vec<Decision>,
}

/// A decision that is on its way into the record of its revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unrecorded {
    pub revision: String,
    pub decision: Decision,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub at: Time,
    pub what: Decided,
    /// Index in `spec.rollout.steps`.
    pub step: i32,
    /// Names the span of time that was judged.
    pub window: String,
    /// Of a rollback: a reason of docs/runbook.md, and what was found. Of a promotion after an A/B test: what that has found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Who said the word that it follows from, as `control.by` has it: a claim. Nothing where the operator decided by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// As they stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decided {
    /// Served with nothing before it to compare with.
    Deployed,
    /// A canary began.
    Started,
    StepPassed,
    Promoted,
    RolledBack,
    /// The spec asked for something else.
    Superseded,
    /// `control.retry`: its failure is forgotten.
    Retried,
}
