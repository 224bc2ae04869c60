use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AbTest, BlueGreen, Control, ExternalMetric, FeedbackMetric, Gateway, RequestKey, RequestMatch, Router, Shadow,
    Strategy, Tolerance,
};

/// How a new revision takes the place of the one that is served.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.strategy in ['Canary', 'ABTest'] || (!has(self.sticky) && (!has(self.match) || self.match.size() == 0))")
    .message("rollout.match and sticky choose who the new revision answers, which strategy BlueGreen and Shadow do not: take them out, or use Canary or ABTest"))]
#[x_kube(validation = Rule::new("!has(self.blueGreen) || self.strategy == 'BlueGreen'")
    .message("rollout.blueGreen is for strategy BlueGreen: set it, or take blueGreen out"))]
#[x_kube(validation = Rule::new("has(self.abTest) == (self.strategy == 'ABTest')")
    .message("strategy ABTest takes rollout.abTest, and no other does: set both or none"))]
#[x_kube(validation = Rule::new("self.strategy != 'ABTest' || has(self.sticky)")
    .message("strategy ABTest needs rollout.sticky: without it, a user would see both models"))]
#[x_kube(validation = Rule::new("!has(self.abTest) || !has(self.abTest.metric) || self.abTest.metric in ['ErrorRate', 'Latency', 'Accuracy'] || (has(self.analysis.metrics) && self.analysis.metrics.exists(m, m.name == self.abTest.metric))")
    .message("abTest.metric is none of ErrorRate, Latency, Accuracy and the names of analysis.metrics: declare it there"))]
#[x_kube(validation = Rule::new("self.strategy != 'Shadow' || has(self.shadow)")
    .message("strategy Shadow needs rollout.shadow.percentage"))]
#[x_kube(validation = Rule::new("has(self.gateway) == (self.router == 'Gateway')")
    .message("router Gateway takes rollout.gateway, and no other does: set both or none"))]
#[x_kube(validation = Rule::new("self.router != 'Gateway' || !has(self.sticky)")
    .message("router Gateway cannot keep users to one model (sticky, strategy ABTest): use router Sidecar, or take it out"))]
#[x_kube(validation = Rule::new("self.router != 'Gateway' || (!has(self.shadow) && !has(self.analysis.minAgreement))")
    .message("router Gateway cannot compare the answers of both models (shadow, analysis.minAgreement): a gateway's copy of a request is thrown away unseen; use router Sidecar, or take it out"))]
#[x_kube(validation = Rule::new("self.router != 'Gateway' || (!has(self.analysis.metrics) && !has(self.analysis.maxAccuracyDrop) && !has(self.analysis.tolerance))")
    .message("router Gateway cannot judge what users say (analysis.metrics, maxAccuracyDrop) nor a tolerance: the splitter of router Sidecar counts them"))]
#[x_kube(validation = Rule::new("self.router != 'Gateway' || !has(self.match) || self.match.all(m, has(m.header))")
    .message("router Gateway matches headers alone: an HTTPRoute cannot tell one cookie from the others"))]
#[x_kube(validation = Rule::new("self.router != 'Gateway' || self.analysis.timeoutMilliseconds == 1000")
    .message("analysis.timeoutMilliseconds is for router Sidecar, where the stable model answers for a canary that is late: take it out"))]
#[x_kube(validation = Rule::new("self.router != 'Gateway' || self.analysis.syntheticPerSecond in [0, 2]")
    .message("router Gateway has nobody who could make up requests (analysis.syntheticPerSecond): the stable pods send a canary nothing there; take it out"))]
pub struct Rollout {
    #[serde(default)]
    pub strategy: Strategy,
    /// A gateway cannot do all that the sidecar can: docs/rollouts.md, "A gateway as the router".
    #[serde(default)]
    pub router: Router,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// Of strategy Canary, in order; after the last one the new revision is promoted. Empty: promoted as soon as it is ready.
    #[serde(default = "default_steps")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.map(s, s.weight).isSorted()")
        .message("the weights of the steps must not fall: a rollout only goes forward, or back to 0 as a whole"))]
    pub steps: Vec<CanaryStep>,
    /// Requests with one of these are the canary's from its first step on, whatever the weight.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matches: Vec<RequestMatch>,
    /// Requests with the same value go the same way, on every pod; who the canary has it keeps when the weight rises. Without the
    /// value they go by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<RequestKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ab_test: Option<AbTest>,
    #[serde(default)]
    pub analysis: Analysis,
    /// What a person decides. Each word names the revision that it is for, so that it does nothing to another one.
    #[serde(default)]
    pub control: Control,
    /// A canary that is not ready after this many seconds is rolled back.
    #[serde(default = "default_progress_deadline")]
    #[schemars(range(min = 1, max = 86_400))]
    pub progress_deadline_seconds: i32,
    /// The replaced revision's pods are kept this long after a promotion.
    #[serde(default = "default_scale_down_delay")]
    #[schemars(range(min = 0, max = 86_400))]
    pub scale_down_delay_seconds: i32,
    /// Revisions without pods whose records (ControllerRevisions) are kept: what they were, and what was decided about them.
    #[serde(default = "default_history")]
    #[schemars(range(min = 0, max = 1000))]
    pub revision_history_limit: i32,
}

/// Send `weight` percent of the requests to the canary, for at least `holdSeconds`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStep {
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    #[serde(default = "default_hold")]
    #[schemars(range(min = 0, max = 604_800))]
    pub hold_seconds: i32,
    /// After `holdSeconds` the step waits for a person: for `control.proceed`, or `control.promote`.
    #[serde(default)]
    pub pause: bool,
}

/// When a canary is worse than what it would replace. The numbers come from the stable pods, which send the canary its
/// requests and answer in its place when it fails. They are judged by a test that may be looked at at any time
/// (docs/analysis.md); each metric passes, fails, or has not enough evidence for either.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.maxErrorRate + self.errorRateMargin > 0.0")
    .message("maxErrorRate and errorRateMargin are both 0: that none will ever fail cannot be shown; set one of them to more"))]
#[x_kube(validation = Rule::new("!has(self.minAgreement) || self.minAgreement - self.agreementMargin < 100.0")
    .message("minAgreement is 100 and agreementMargin 0: that none will ever differ cannot be shown; set one of them to less, or more"))]
#[x_kube(validation = Rule::new("!has(self.tolerance) || has(self.minAgreement)")
    .message("analysis.tolerance says when two answers agree, and nothing is asked of that: set minAgreement too"))]
pub struct Analysis {
    /// The probability, over all steps and metrics, that a canary that keeps every limit is rolled back by them all the same; also
    /// that one that is worse than limit and margin together is promoted. Synthetic requests have a tenth of it on top.
    #[serde(default = "default_alpha")]
    #[schemars(range(min = 0.0001, max = 0.5))]
    pub alpha: f64,
    /// Percent of the canary's requests that may fail.
    #[serde(default = "default_error_rate")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_error_rate: f64,
    /// Points over `maxErrorRate` that a pass must rule out: with the defaults a canary passes once more than 5 % is ruled out, which
    /// takes about 100 requests without a failure. Less takes more requests.
    #[serde(default = "default_error_rate_margin")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub error_rate_margin: f64,
    /// Points by which the canary may fail more of its requests than the stable revision does of its own at the same time.
    #[serde(default = "default_error_rate_increase")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub max_error_rate_increase: f64,
    /// The canary's latency may be so many times the stable revision's, at `latencyQuantile`. Not judged where it is not set. The canary's
    /// has one hop through the network more in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.42, max = 100.0))]
    pub max_latency_ratio: Option<f64>,
    /// Percent of the requests that are at most as slow as the latency that is compared: 95 is p95.
    #[serde(default = "default_latency_quantile")]
    #[schemars(range(min = 1.0, max = 99.9))]
    pub latency_quantile: f64,
    /// No verdict on fewer requests (or compared answers), whatever they say.
    #[serde(default = "default_min_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: i32,
    /// A canary that takes longer than this has failed the request, and the stable model answers it.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 600_000))]
    pub timeout_milliseconds: i32,
    /// Percent of compared answers in which both models must agree: name the same class, or give numbers within `tolerance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub min_agreement: Option<f64>,
    /// Points under `minAgreement` that a pass must rule out.
    #[serde(default = "default_agreement_margin")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub agreement_margin: f64,
    /// Percent of the canary's requests that the stable model answers too, when `minAgreement` is set.
    #[serde(default = "default_compare")]
    #[schemars(range(min = 1, max = 100))]
    pub compare_percentage: i32,
    /// For a model whose outputs are no classes: how far the numbers of these outputs may lie apart, each of them, in answers that agree.
    /// Outputs that are not named here are not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub tolerance: BTreeMap<String, Tolerance>,
    /// Points by which the canary may be right less often than the stable revision, of the answers of which users say so
    /// (`POST /v2/models/NAME/feedback`). Not judged where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 99.0))]
    pub max_accuracy_drop: Option<f64>,
    /// What else feedback may tell. Each is judged where it has a `maxWorsening`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<FeedbackMetric>,
    /// What others say of the canary (docs/analysis.md, "Other sources").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub external: Vec<ExternalMetric>,
    /// A canary that gets fewer requests than this in a second is sent inputs that the package has recorded, by the stable pods and to be
    /// compared with what these answer, up to so many in a second. Only by pods that have no request in progress. 0: none. They are counted and judged
    /// apart (docs/analysis.md).
    #[serde(default = "default_synthetic")]
    #[schemars(range(min = 0, max = 100))]
    pub synthetic_per_second: i32,
    /// What becomes of a step whose time is over without enough evidence.
    #[serde(default)]
    pub on_not_enough_evidence: OnNotEnoughEvidence,
}

/// Evidence that is missing is never taken for a pass in silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnNotEnoughEvidence {
    /// The step goes on until there is; the status says about how many requests that takes.
    #[default]
    Hold,
    /// The next step begins, with a warning.
    Promote,
    /// The canary is rolled back.
    RollBack,
}

fn default_steps() -> Vec<CanaryStep> {
    [10, 50].map(|weight| CanaryStep { weight, hold_seconds: default_hold(), pause: false }).to_vec()
}

fn default_hold() -> i32 {
    60
}

fn default_progress_deadline() -> i32 {
    600
}

fn default_scale_down_delay() -> i32 {
    30
}

fn default_alpha() -> f64 {
    0.05
}

fn default_history() -> i32 {
    10
}

fn default_error_rate() -> f64 {
    1.0
}

fn default_error_rate_margin() -> f64 {
    4.0
}

fn default_error_rate_increase() -> f64 {
    5.0
}

fn default_latency_quantile() -> f64 {
    95.0
}

fn default_agreement_margin() -> f64 {
    2.0
}

fn default_min_requests() -> i32 {
    20
}

fn default_timeout() -> i32 {
    1000
}

fn default_compare() -> i32 {
    20
}

fn default_synthetic() -> i32 {
    2
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            router: Router::default(),
            gateway: None,
            steps: default_steps(),
            matches: Vec::new(),
            sticky: None,
            shadow: None,
            blue_green: None,
            ab_test: None,
            analysis: Analysis::default(),
            control: Control::default(),
            progress_deadline_seconds: default_progress_deadline(),
            scale_down_delay_seconds: default_scale_down_delay(),
            revision_history_limit: default_history(),
        }
    }
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            alpha: default_alpha(),
            max_error_rate: default_error_rate(),
            error_rate_margin: default_error_rate_margin(),
            max_error_rate_increase: default_error_rate_increase(),
            max_latency_ratio: None,
            latency_quantile: default_latency_quantile(),
            min_requests: default_min_requests(),
            timeout_milliseconds: default_timeout(),
            min_agreement: None,
            agreement_margin: default_agreement_margin(),
            compare_percentage: default_compare(),
            tolerance: BTreeMap::new(),
            max_accuracy_drop: None,
            metrics: Vec::new(),
            external: Vec::new(),
            synthetic_per_second: default_synthetic(),
            on_not_enough_evidence: OnNotEnoughEvidence::default(),
        }
    }
}
