use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{OnNotEnoughEvidence, Resources};

/// What something else says of the canary: a number of a Prometheus, the word of a web hook, the exit code of a Job. Asked while a
/// step is held, and judged by a limit on a single number: there are no statistics behind it, and it is no part of `alpha`.
///
/// In `query`, `url`, the values of `metadata`, `command` and `args`, `{{canary}}` and `{{stable}}` are the revisions,
/// `{{name}}` and `{{namespace}}` the ModelDeployment's. The Services are `{{name}}` and `{{name}}-canary`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.prometheus), has(self.webHook), has(self.job)].filter(x, x).size() == 1")
    .message("each entry of analysis.external has one source: write prometheus: {...}, webHook: {...} or job: {...}"))]
#[x_kube(validation = Rule::new("!has(self.prometheus) || has(self.max) || has(self.min)")
    .message("a number of prometheus needs a limit: set max, min or both"))]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max")
    .message("an external number's min is over its max: no number would pass"))]
#[x_kube(validation = Rule::new("!has(self.job) || (!has(self.max) && !has(self.min) && !has(self.intervalSeconds) && self.failureLimit == 0)")
    .message("a job runs once in each step, and its exit code is its word: take max, min, intervalSeconds and failureLimit out"))]
#[x_kube(validation = Rule::new("!has(self.webHook) || !has(self.webHook.pointer) || has(self.max) || has(self.min)")
    .message("webHook.pointer says where the number is that max and min limit: set one of them, or take it out"))]
#[x_kube(validation = Rule::new("has(self.job) || !has(self.timeoutSeconds) || self.timeoutSeconds <= 60")
    .message("a request waits for 60 seconds at most: set timeoutSeconds to less, or use a job"))]
pub struct ExternalMetric {
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$"))]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_hook: Option<WebHook>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<CheckJob>,
    /// The number may be as much, and no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The number must be as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// From one request to the next. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub interval_seconds: Option<i32>,
    /// For the whole of an answer. Default: 5, of a job 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: Option<i32>,
    /// So many answers of a step may be bad; one more rolls the canary back.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub failure_limit: i32,
    /// What becomes of a step whose time is over while the last answer is none, or bad. Default: as `analysis.onNotEnoughEvidence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_not_enough_evidence: Option<OnNotEnoughEvidence>,
}

/// An instant query (`/api/v1/query`) that gives one number: a scalar, or a vector of one series.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQuery {
    /// `http://prometheus.monitoring:9090`, or anything that answers as Prometheus does.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+(/[^?#\\s]*)?$')")
        .message("prometheus.address is http://HOST[:PORT][/PATH] or https://..., without a user, a password and a query"))]
    pub address: String,
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
}

/// `POST` with the ModelDeployment, both revisions, the step and `metadata` as JSON. With `max` or `min` the answer is JSON, with a
/// number in it. Without them its status is the word: 2xx is yes, 4xx no. 401, 404, 405, 408, 429, 3xx and 5xx are no word at all.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebHook {
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+([/?][^#\\s]*)?$')")
        .message("webHook.url is http://HOST[:PORT][/PATH][?QUERY] or https://..., without a user and a password"))]
    pub url: String,
    /// Sent along.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub metadata: BTreeMap<String, String>,
    /// Where the number is in the answer, as a JSON Pointer (RFC 6901): `/result/errors`. Default: the answer is the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^(/.*)?$"))]
    pub pointer: Option<String>,
}

/// Runs to its end once in each step, as user 65532 without a service account's token, with `/tmp` to write to. Exit code 0 is
/// yes, any other no. One that has not ended after `timeoutSeconds` says nothing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckJob {
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Default: what the image says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<String>,
    /// Default: requests of 50m CPU and 64Mi, a memory limit of 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}
