use drydock_contract::{Objective, Recipe, Target};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Amount, Resources, Search, Source};

/// How to make candidates of the model and which of them to keep.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.recipes) || self.recipes.size() == 0 || has(self.dataset)")
    .message("recipes need dataset: its calibration file sets the ranges, its evaluation file measures the accuracy that the gates look at"))]
#[x_kube(validation = Rule::new("!has(self.recipes) || self.recipes.all(r, r.techniques.all(t, !has(t.distill) || [has(t.distill.teacher) ? t.distill.teacher : '', has(t.distill.student) ? t.distill.student : ''].all(n, n == '' || (has(self.models) && self.models.exists(m, m.name == n)))))")
    .message("distill.teacher and distill.student name entries of models: add one of that name, or leave them out"))]
#[x_kube(validation = Rule::new("!has(self.search) || has(self.dataset)")
    .message("search needs dataset: what it tries is made with the calibration file and measured on the evaluation file"))]
pub struct Optimization {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Dataset>,
    /// Further models, for recipes to learn from (`distill.teacher`) or to train (`distill.student`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(m, self.exists_one(n, n.name == m.name))")
        .message("each of models needs a name of its own"))]
    pub models: Vec<FurtherModel>,
    /// One candidate for each. The model as it came is always measured beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(r, self.exists_one(s, s.name == r.name))")
        .message("each recipe needs a name of its own"))]
    #[x_kube(validation = Rule::new("self.all(r, r.name != 'original')")
        .message("'original' names the model as it came: give the recipe another name"))]
    #[x_kube(validation = Rule::new("self.all(r, r.name != 'auto')")
        .message("'auto' names what search finds: give the recipe another name"))]
    #[x_kube(validation = Rule::new("self.all(r, r.techniques.all(t, [has(t.factorize), has(t.prune), has(t.sparsify), has(t.distill), has(t.quantize)].filter(x, x).size() == 1))")
        .message("each entry of techniques names one technique: write factorize: {}, prune: {}, sparsify: {}, distill: {} or quantize: {}"))]
    #[x_kube(validation = Rule::new("self.all(r, r.techniques.all(t, !has(t.factorize) || [has(t.factorize.macsRatio), has(t.factorize.latencyRatio), has(t.factorize.ranks)].filter(x, x).size() <= 1))")
        .message("factorize sets more than one of macsRatio, latencyRatio and ranks: write factorize: { macsRatio: 0.5 }"))]
    pub recipes: Vec<Recipe>,
    /// Looks for a recipe itself, beside those of `recipes`: one more candidate, named `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// The hardware that the packages are made for: sets the form of int8, and which formats are taken (docs/targets.md).
    /// Default: the processor of the node that the optimization runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    #[serde(default)]
    pub gates: Gates,
    #[serde(default)]
    pub objective: Objective,
    #[serde(default)]
    pub when_no_candidate_passes: CandidateFallback,
    /// Of the container that optimizes. Default: requests of 500m CPU and 512Mi, a memory limit of 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The whole optimization is given up after this many seconds; the time budget of `search` comes on top.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 10, max = 604_800))]
    pub deadline_seconds: i64,
}

fn default_deadline() -> i64 {
    3600
}

/// As the schema has it: what an empty object means.
impl Default for Optimization {
    fn default() -> Self {
        Self {
            dataset: None,
            models: Vec::new(),
            recipes: Vec::new(),
            target: None,
            search: None,
            gates: Gates::default(),
            objective: Objective::default(),
            when_no_candidate_passes: CandidateFallback::default(),
            resources: None,
            deadline_seconds: default_deadline(),
        }
    }
}

/// Images with their classes: directories with a folder for each class, CSV, WebDataset tar, Parquet, or NumPy arrays `x` and `y`
/// (`.npz`, `.npy`). What a source holds is told by its content.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dataset {
    /// Images that ranges are taken from; must not be among those of `evaluation`.
    pub calibration: Source,
    /// Labelled images that accuracy is measured on.
    pub evaluation: Source,
    /// Images that `distill` learns on, with labels where a recipe asks for them; must not be among those of `evaluation`. Default:
    /// those of `calibration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Source>,
}

/// An ONNX model beside the one that is deployed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FurtherModel {
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    pub source: Source,
}

/// Limits that a candidate must keep, each compared with the original measured beside it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Points of top-1, or of a detector's mean average precision, that may be lost: 0.5 lets 91.8 % become 91.3 %.
    #[serde(default = "default_accuracy_drop")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_accuracy_drop: f64,
    /// At least this many times as fast as the original, by CPU time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub min_speedup: Option<f64>,
    /// Median CPU time of one inference on one thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_latency_milliseconds: Option<f64>,
    /// Size of the file over that of the original: 0.3 keeps what is at most 30 % of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub max_size_ratio: Option<f64>,
    /// Peak memory of a process that runs the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<Amount>,
}

fn default_accuracy_drop() -> f64 {
    1.0
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            max_accuracy_drop: default_accuracy_drop(),
            min_speedup: None,
            max_latency_milliseconds: None,
            max_size_ratio: None,
            max_memory: None,
        }
    }
}

/// What to serve when every candidate breaks a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CandidateFallback {
    /// Go on with what is served now, and say so in `Stalled`.
    #[default]
    KeepCurrent,
    /// Serve the model as it came.
    ServeOriginal,
}
