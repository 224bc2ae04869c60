use drydock_contract as contract;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number that users send back about an answer (`POST /v2/models/NAME/feedback`): a conversion, a rating, what was bought.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min < self.max")
    .message("a metric's min must be less than its max: every value lies between the two"))]
#[x_kube(validation = Rule::new("self.name != 'correct'")
    .message("correct is what feedback always has, judged by maxAccuracyDrop: take another name"))]
#[x_kube(validation = Rule::new("!has(self.maxWorsening) || (self.maxWorsening > 0.0 && self.maxWorsening < self.max - self.min)")
    .message("a metric's maxWorsening must be over 0, for that it is no worse at all cannot be shown, and less than max - min"))]
pub struct FeedbackMetric {
    #[schemars(length(max = 32), regex(pattern = r"^[a-z][a-z0-9_]{0,31}$"))]
    pub name: String,
    /// Its least value. Feedback with less is refused.
    #[serde(default)]
    #[schemars(range(min = -1e12, max = 1e12))]
    pub min: f64,
    /// Its greatest value. The closer the bounds are to what there is, the fewer values a verdict takes.
    #[serde(default = "one")]
    #[schemars(range(min = -1e12, max = 1e12))]
    pub max: f64,
    #[serde(default)]
    pub better: Better,
    /// By so much the canary's mean may be worse than the stable revision's. Not judged where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_worsening: Option<f64>,
}

/// Which way a metric is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Better {
    #[default]
    Higher,
    Lower,
}

/// How far the canary's numbers may lie from the stable model's and agree still: `absolute + relative * |the stable model's|`.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tolerance {
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub absolute: f64,
    /// 0.01 is one percent.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub relative: f64,
}

fn one() -> f64 {
    1.0
}

impl Default for FeedbackMetric {
    fn default() -> Self {
        Self { name: String::new(), min: 0.0, max: one(), better: Better::default(), max_worsening: None }
    }
}

impl FeedbackMetric {
    /// As the pods are told.
    pub fn told(&self) -> contract::FeedbackMetric {
        contract::FeedbackMetric { name: self.name.clone(), min: self.min, max: self.max }
    }
}

impl Tolerance {
    /// As the pods are told.
    pub fn told(self) -> contract::Tolerance {
        contract::Tolerance { absolute: self.absolute, relative: self.relative }
    }
}
