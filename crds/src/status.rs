use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Unrecorded;

/// What the operator saw and did. `optimization` and `rollout` are its memory, for what the children cannot tell.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default)]
    pub phase: Phase,
    /// The candidate that is served, or the one that is on its way while nothing is served.
    #[serde(default)]
    pub candidate: String,
    /// Points of top-1 that the candidate has over the original: `-0.08`.
    #[serde(default)]
    pub accuracy_change: String,
    /// Times as fast as the original, by CPU time: `3.80x`.
    #[serde(default)]
    pub speedup: String,
    /// Of the original's size: `25.8%`.
    #[serde(default)]
    pub size_ratio: String,
    /// Share of the requests that the canary gets: `20%`; empty without a canary.
    #[serde(default)]
    pub canary_weight: String,
    /// What is going on, for people.
    #[serde(default)]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<TrackStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<TrackStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimization: Option<OptimizationStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    #[default]
    Pending,
    /// Candidates are made and measured.
    Optimizing,
    /// The first revision is starting.
    Deploying,
    /// A new revision gets a share of the requests.
    Canary,
    /// The new revision is scaled to the old one's size and takes its place.
    Promoting,
    Serving,
    /// The last revision asked for was worse and is not tried again until the spec changes.
    RolledBack,
    Suspended,
    /// Only a change of the spec helps; what is served stays served.
    Failed,
}

/// Pods of one track.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackStatus {
    pub revision: String,
    pub candidate: String,
    /// Digest of the model package.
    pub package: String,
    pub ready_replicas: i32,
    pub replicas: i32,
}

/// The candidates of one optimization Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptimizationStatus {
    /// Hash of everything that the Job's result depends on; the Job's name ends with it.
    pub task: String,
    /// Jobs of this task that were given up for a reason that may pass, such as a source that does not answer: each is made again
    /// after a longer while.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: i32,
    pub candidates: Vec<CandidateStatus>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &i32) -> bool {
    *n == 0
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// `original`, the recipe's name, or `auto`: what `search` found.
    pub name: String,
    pub state: CandidateState,
    /// No other candidate that passes is at least as good in accuracy, latency and size.
    #[serde(default)]
    pub pareto: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Top-1 on the evaluation set, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Points of top-1 over the original's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_change: Option<f64>,
    /// Percent of the evaluation images, or of their places where each has a class, on which it names the class that the original names. Of a
    /// detector, its mean average precision where the boxes that the original answers with are taken for the truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Median CPU milliseconds of one inference on one thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_milliseconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speedup: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_ratio: Option<f64>,
    /// Peak resident set of a process that runs the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<i64>,
    /// Why it failed (`InvalidModel`), or `GateBroken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each number beside its limit, or what was found and what was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CandidateState {
    #[default]
    Pending,
    Running,
    /// Failed for a reason that may pass; the Job tries again.
    Retrying,
    /// Measured; the reference or one that keeps every gate.
    Passed,
    /// Measured; breaks a gate.
    Rejected,
    /// Passed, and the best by the objective.
    Selected,
    Failed,
}

/// Where the rollout is: the one thing that the children cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The revision that `<name>` selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<RevisionStatus>,
    /// Whether the stable revision has ever been ready: one that has not is replaced without a canary.
    #[serde(default)]
    pub stable_was_ready: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<RevisionStatus>,
    #[serde(default)]
    pub stage: RolloutStage,
    /// Index in `spec.rollout.steps`.
    #[serde(default)]
    pub step: i32,
    /// Hash of the shares of all steps, as they were when the step began: a step of others is another one, and begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<String>,
    /// When the stage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When the step began: a canary whose readiness comes and goes begins many stages, and gets no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_since: Option<Time>,
    /// The revision replaced last, kept until `previousUntil`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RevisionStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Time>,
    /// Rolled back; not tried again while the spec asks for just this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedRevision>,
    /// Pods that the autoscalers of both revisions kept when all steps were passed: the canary takes over with as many, and keeps
    /// them until the replaced revision is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover_replicas: Option<i32>,
    /// The step was held before, and is scaled for again: the canary keeps the step's share, as far as its pods can take it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Seconds that the step was held, at its share, before it was scaled for again: they count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_seconds: i32,
    /// The canary was replaced a moment ago and is called back by `control.rollBackTo`: it takes over with the pods that it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called_back: bool,
    /// The last `control.retry` that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<String>,
    /// The `control.promote` that has had its effect: it has none again until it is taken out of the spec, or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<String>,
    /// The same of `control.proceed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proceeded: Option<String>,
    /// How the canary stands in the step that it is in. Written when an outcome changes, and every ten seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisStatus>,
    /// How the A/B test stands, or how the last one ended; until the next canary begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ab_test: Option<Box<AbTestStatus>>,
    /// What the gateway does, with `router: Gateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// What was decided and is not in the record of its revision yet, because that could not be written: a later pass writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrecorded: Vec<Unrecorded>,
}

/// What an A/B test has found, so far or in the end. The interval may be looked at at any time: it misses the true effect, ever, with a
/// probability of `analysis.alpha` at most (docs/analysis.md).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbTestStatus {
    /// When it was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// When both arms were there. A canary that loses pods gets fewer users until it has others, and the test goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The canary's.
    pub revision: String,
    /// Names the span of time that the counts are of.
    pub window: String,
    pub metric: String,
    /// By how much the canary's mean is over the stable revision's: points of `ErrorRate` and `Accuracy`, the unit of a metric of the spec.
    /// Of `Latency`, how many times the stable revision's it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<f64>,
    /// Where the interval begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Where it ends; nothing where nothing bounds it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    pub canary_samples: i64,
    pub stable_samples: i64,
    pub winner: Winner,
    /// Its time, or its sample, is full.
    pub ended: bool,
    /// The same for people.
    pub message: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Winner {
    Canary,
    Stable,
    /// The interval holds 0 (of `Latency`: 1).
    #[default]
    None,
}

/// The routes, as their parents have accepted them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Percent of the requests that go to the canary: what was accepted last.
    #[serde(default)]
    pub weight: i32,
    /// Since when the routes have not been accepted as they should be; absent while they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// Since when pods that were told to count have not said what they have counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisStatus {
    /// When it was so.
    pub at: Time,
    /// Names the span of time that the counts are of.
    pub window: String,
    /// Hash of `analysis` as it was: what has passed by other rules is asked for again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    pub metrics: Vec<MetricStatus>,
}

/// What one metric says of the canary (docs/analysis.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    pub metric: Metric,
    /// Which one of `analysis.metrics`, of the metric `Feedback`, or of `analysis.external`, of the metric `External`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub outcome: MetricOutcome,
    /// The evidence for the outcome, an e-value up to 10^9; without one, for that which has more. Of `External`: its bad answers.
    pub statistic: f64,
    /// What `statistic` must reach for that; of `External`, to fail.
    pub threshold: f64,
    /// Requests to the canary, compared answers, feedback about the canary's, or answers of an external source.
    pub samples: i64,
    /// What the stable pods have made up because users asked little: requests, or recorded inputs that were compared. Not among `samples`. Nothing where
    /// none are made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<i64>,
    /// About how many more are needed if all goes on as it does: 0 after a verdict, nothing where ten million would not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_needed: Option<i64>,
    /// What was counted, beside its limit.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Metric {
    /// Of the canary, against `maxErrorRate`.
    ErrorRate,
    /// Over that of the stable revision, against `maxErrorRateIncrease`.
    ErrorRateIncrease,
    /// Of the canary's to the stable revision's, against `maxLatencyRatio`.
    LatencyRatio,
    /// Of compared answers, against `minAgreement`.
    Agreement,
    /// Of what feedback says is right, beside the stable revision's, against `maxAccuracyDrop`.
    Accuracy,
    /// The mean of one of `analysis.metrics` beside the stable revision's, against its `maxWorsening`.
    Feedback,
    /// What one of `analysis.external` says, against its own limit.
    External,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MetricOutcome {
    /// Worse than the limit and its margin is ruled out.
    Pass,
    /// Within the limit is ruled out.
    Fail,
    #[default]
    NotEnoughEvidence,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutStage {
    /// No canary.
    #[default]
    Idle,
    /// Waits until the canary has the ready pods that the step's weight needs.
    Scaling,
    /// The step's weight is set and its time runs.
    Holding,
    /// All steps are passed; waits until the canary can take every request.
    Promoting,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    pub revision: String,
    pub candidate: String,
    /// Digest of the model package.
    pub package: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedRevision {
    pub revision: String,
    pub candidate: String,
    pub reason: String,
    pub message: String,
    pub at: Time,
}
