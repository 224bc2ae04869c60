use serde::{Deserialize, Serialize};

/// Annotation of a stable pod that holds its [`Split`] as JSON; the pod reads it through a downward-API volume.
pub const SPLIT_ANNOTATION: &str = "drydock.dev/split";

/// What a stable pod does with its requests. No annotation, or an empty one, means: answer all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// Percent of requests that go to the canary, 0 to 100.
    pub weight: u8,
    /// The canary's revision.
    pub revision: String,
    /// Names the span of time that the [`SplitWindow`] counts: the counts start again at 0 when it changes.
    pub window: String,
    /// Percent of the canary's requests that the stable model answers too, to compare the two.
    #[serde(default)]
    pub compare: u8,
    /// After this many milliseconds the stable model answers in the canary's place.
    pub timeout_milliseconds: u32,
}

/// What a stable pod has seen of the canary in one window: `GET /drydock/split` on the admin port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitWindow {
    /// Of the [`Split`] in force; empty when there is none.
    pub revision: String,
    pub window: String,
    pub weight: u8,
    /// Requests sent to the canary and ended, failed ones among them.
    pub requests: u64,
    /// Of those: no connection, or it broke.
    pub unreachable: u64,
    /// Of those: the canary said that it failed (HTTP 5xx and the like; what the stable model refuses too is not counted).
    pub errors: u64,
    /// Of those: no answer within the timeout.
    pub timeouts: u64,
    /// Requests that both models answered.
    pub compared: u64,
    /// Of those compared: both gave the same class (the largest value of the first output).
    pub agreed: u64,
}

impl SplitWindow {
    pub fn failures(&self) -> u64 {
        self.unreachable.saturating_add(self.errors).saturating_add(self.timeouts)
    }
}
