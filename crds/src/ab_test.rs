use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two arms, which `sticky` or `match` tells apart. At the end the winner by `metric` is named; then, unless `onWinner` and `onNoWinner` say
/// otherwise, it waits for a person, who gives the new revision every request (`control.promote`) or none (`control.abort`).
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.durationSeconds) || has(self.sampleSize)")
    .message("abTest takes durationSeconds, sampleSize, or both: without one it has no end"))]
#[x_kube(validation = Rule::new("!has(self.sampleSize) || has(self.metric)")
    .message("abTest.sampleSize counts values of abTest.metric: set it too"))]
#[x_kube(validation = Rule::new("has(self.metric) || (self.onWinner == 'Hold' && self.onNoWinner == 'Hold')")
    .message("abTest.onWinner and onNoWinner need abTest.metric: without one no winner is named"))]
pub struct AbTest {
    /// Of the values of `sticky`, in the arm of the new revision.
    #[serde(default = "default_arm")]
    #[schemars(range(min = 1, max = 99))]
    pub percentage: i32,
    /// It ends when both arms have been there for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7_776_000))]
    pub duration_seconds: Option<i32>,
    /// It ends when each arm has so many values of `metric`, if that is before `durationSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub sample_size: Option<i32>,
    /// The winner is better by this: `ErrorRate`, `Latency` (at `analysis.latencyQuantile`), `Accuracy` (of what feedback says is
    /// `correct`), or one of `analysis.metrics`. Without it no winner is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^(ErrorRate|Latency|Accuracy|[a-z][a-z0-9_]{0,31})$"))]
    pub metric: Option<String>,
    /// What becomes of a test whose interval does not hold 0: one arm is better.
    #[serde(default)]
    pub on_winner: OnWinner,
    /// And of one whose interval does.
    #[serde(default)]
    pub on_no_winner: OnNoWinner,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnWinner {
    /// It waits for a person.
    #[default]
    Hold,
    /// The better one gets every request: the canary is promoted once it keeps every limit of `analysis`, or rolled back.
    Apply,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnNoWinner {
    /// It waits for a person; or for a winner, who may be seen later still.
    #[default]
    Hold,
    /// The canary is rolled back.
    KeepStable,
}

fn default_arm() -> i32 {
    50
}

impl Default for AbTest {
    fn default() -> Self {
        Self {
            percentage: default_arm(),
            duration_seconds: None,
            sample_size: None,
            metric: None,
            on_winner: OnWinner::default(),
            on_no_winner: OnNoWinner::default(),
        }
    }
}
