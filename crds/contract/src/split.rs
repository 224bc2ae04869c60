use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Annotation of a stable pod that holds its [`Split`] as JSON; the pod reads it through a downward-API volume.
pub const SPLIT_ANNOTATION: &str = "drydock.dev/split";

/// What a stable pod does with its requests. No annotation, or an empty one, means: answer all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Requests with one of these go to the canary, whatever the weight.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RequestMatch>,
    /// Of requests that have it, its value decides, so that the same value always goes the same way: see docs/rollouts.md for the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<RequestKey>,
    /// Percent of the requests that the stable model answers of which the canary gets a copy, 0 to 100.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shadow: u8,
    /// What feedback may tell of an answer besides whether it was right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<FeedbackMetric>,
    /// How far the two models' numbers may lie apart and agree still, by output. Empty: they agree if they name the same class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tolerance: BTreeMap<String, Tolerance>,
    /// When the canary has had none of this pod's requests for so many milliseconds, the pod asks both models a recorded input of its
    /// package by itself: [`SplitWindow::synthetic`]. 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub synthetic_milliseconds: u32,
    /// The revision has taken this pod's place, and its Service: clients are asked to connect again, which leads them there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: bool,
}

impl Split {
    /// What a pod is told whose place `revision` has taken.
    pub fn replaced(revision: &str) -> Self {
        Self { revision: revision.to_owned(), timeout_milliseconds: 1, replaced: true, ..Self::default() }
    }
}

/// A number that feedback may give, and where it lies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedbackMetric {
    pub name: String,
    pub min: f64,
    pub max: f64,
}

/// Two numbers agree where they are at most `absolute + relative * |the stable model's|` apart, as in `numpy.isclose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    #[serde(default)]
    pub absolute: f64,
    #[serde(default)]
    pub relative: f64,
}

impl Tolerance {
    /// Whatever is no number agrees with what is the same.
    pub fn holds(self, canary: f64, stable: f64) -> bool {
        let is_near = canary.is_finite()
            && stable.is_finite()
            && (canary - stable).abs() <= self.absolute + self.relative * stable.abs();
        is_near || canary.total_cmp(&stable).is_eq() || (canary.is_nan() && stable.is_nan())
    }
}

fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

/// What of a request decides: the value of an HTTP header (of gRPC metadata) or of a cookie, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKey {
    Header(String),
    Cookie(String),
}

/// A key and the value that it must have, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMatch {
    #[serde(flatten)]
    pub key: RequestKey,
    pub value: String,
}

/// What a stable pod has seen of the canary in one window: `GET /drydock/split` on the admin port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitWindow {
    /// Of the [`Split`] in force, or of the last one: what was counted stays while nothing is sent.
    pub revision: String,
    pub window: String,
    pub weight: u8,
    /// Requests sent to the canary and ended, failed ones among them. Not those that the stable model refuses too, as the user's mistake.
    pub requests: u64,
    /// Of those: no connection, or it broke.
    pub unreachable: u64,
    /// Of those: the canary said that it failed (HTTP 5xx and the like).
    pub errors: u64,
    /// Of those: no answer within the timeout, or half of the time that the user had left.
    pub timeouts: u64,
    /// Requests that both models answered.
    pub compared: u64,
    /// Of those compared: both gave the same class (the largest value of the first output), or numbers within [`Split::tolerance`].
    pub agreed: u64,
    /// How long the canary took, by bucket of [`latency_bucket`]: of the requests that it answered, and of timeouts in the
    /// last bucket, without the first [`WARM_UP_REQUESTS`]. Empty while there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<u64>,
    /// What users said of the canary's answers, by metric: [`CORRECT`], and those of [`Split::metrics`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feedback: BTreeMap<String, Feedback>,
    /// What this pod answered itself at the same time. Pods of older revisions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<StableWindow>,
    /// The same of what nobody but this pod has asked, which is in none of the numbers above: [`Split::synthetic_milliseconds`]. Only of what the
    /// stable model has answered. Nothing where none is sent, and of older pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Box<SplitWindow>>,
    /// Of [`Self::synthetic`] alone, by the input's number among those that the package has recorded: whether both models have agreed on
    /// it each time. However often it is asked, it is one input.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<u32, bool>,
}

/// Requests that a stable pod answered itself while it sent others on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StableWindow {
    pub requests: u64,
    /// Of those: answered with HTTP 5xx and the like.
    pub errors: u64,
    /// As [`SplitWindow::latencies`], over the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<u64>,
    /// As [`SplitWindow::feedback`], of the stable revision's answers. The user's feedback comes to any of the stable pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feedback: BTreeMap<String, Feedback>,
}

/// The values of one metric that feedback gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    pub count: u64,
    pub sum: f64,
}

impl Feedback {
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
    }
}

/// The metric of what feedback says of whether an answer was right: 1, or 0. No other may have this name.
pub const CORRECT: &str = "correct";

/// The canary's first requests in a window have caches to fill and connections to open; nobody's latency counts before them.
pub const WARM_UP_REQUESTS: u64 = 10;

const FIRST_EDGE_MILLISECONDS: f64 = 0.25;
const EDGES_PER_OCTAVE: f64 = 4.0;
const EDGES: u32 = 65;

/// Upper edges of the latency buckets, in milliseconds: from 0.25 ms to 16.4 s, each 19 % (a quarter of an octave) over the one
/// before. One more bucket holds what took longer.
pub fn latency_edges() -> Vec<f64> {
    (0..EDGES).map(|i| FIRST_EDGE_MILLISECONDS * (f64::from(i) / EDGES_PER_OCTAVE).exp2()).collect()
}

/// Which bucket a latency is counted in: from 0 to the number of [`latency_edges`].
pub fn latency_bucket(latency: Duration) -> usize {
    let octaves = (latency.as_secs_f64() * 1e3 / FIRST_EDGE_MILLISECONDS).log2();
    // Less than nothing is 0: `as` saturates. What lies on an edge may go either way by a rounding.
    ((octaves * EDGES_PER_OCTAVE).ceil() as usize).min(EDGES as usize)
}

/// Adds one to a bucket of such a list.
pub fn count_latency(latencies: &mut Vec<u64>, latency: Duration) {
    latencies.resize(EDGES as usize + 1, 0);
    if let Some(n) = latencies.get_mut(latency_bucket(latency)) {
        *n += 1;
    }
}

impl SplitWindow {
    pub fn failures(&self) -> u64 {
        self.unreachable.saturating_add(self.errors).saturating_add(self.timeouts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pods of an older sidecar read it, and an annotation that differs is written again.
    #[test]
    fn what_is_not_used_is_not_said() {
        let split = Split { weight: 10, revision: "r2".into(), timeout_milliseconds: 500, ..Split::default() };
        let json = r#"{"weight":10,"revision":"r2","window":"","compare":0,"timeoutMilliseconds":500}"#;
        assert_eq!(serde_json::to_string(&split).unwrap(), json);
        let key = RequestKey::Cookie("session".into());
        let matches = vec![RequestMatch { key: RequestKey::Header("x-canary".into()), value: "always".into() }];
        let split = Split { matches, sticky: Some(key), shadow: 5, synthetic_milliseconds: 500, ..split };
        let json = json.replace(
            "500}",
            r#"500,"match":[{"header":"x-canary","value":"always"}],"sticky":{"cookie":"session"},"shadow":5,"syntheticMilliseconds":500}"#,
        );
        assert_eq!(serde_json::to_string(&split).unwrap(), json);
        assert_eq!(serde_json::from_str::<Split>(&json).unwrap(), split);
        // One that does not know the word answers everything itself, which is what it did before.
        let json = r#"{"weight":0,"revision":"r2","window":"","compare":0,"timeoutMilliseconds":1,"replaced":true}"#;
        assert_eq!(serde_json::to_string(&Split::replaced("r2")).unwrap(), json);
    }

    #[test]
    fn numbers_agree_within_their_tolerance() {
        let t = Tolerance { absolute: 0.01, relative: 0.1 };
        for (canary, stable, agrees) in [
            (1.0, 1.1, true),
            (1.0, 1.2, false),
            (0.0, 0.01, true),
            (0.0, -0.02, false),
            (f64::INFINITY, f64::INFINITY, true),
            (1.0, f64::INFINITY, false),
            (f64::NEG_INFINITY, f64::INFINITY, false),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, 1.0, false),
        ] {
            assert_eq!(t.holds(canary, stable), agrees, "{canary} {stable}");
        }
        assert!(!Tolerance::default().holds(f64::INFINITY, 1.0));
    }

    #[test]
    fn a_latency_is_in_the_bucket_whose_edges_are_about_it() {
        let edges = latency_edges();
        assert!((edges[64] - 16_384.0).abs() < 1e-6);
        for micros in [0, 1, 100, 251, 999, 1500, 12_345, 1_000_000, 16_000_000, 17_000_000, 600_000_000] {
            let bucket = latency_bucket(Duration::from_micros(micros));
            let milliseconds = micros as f64 / 1e3;
            assert!(bucket == 0 || milliseconds > edges[bucket - 1], "{micros}");
            assert!(edges.get(bucket).is_none_or(|edge| milliseconds <= *edge), "{micros}");
        }
        let mut latencies = Vec::new();
        count_latency(&mut latencies, Duration::from_secs(60));
        count_latency(&mut latencies, Duration::ZERO);
        assert_eq!((latencies.len(), latencies[0], latencies[65]), (66, 1, 1));
    }

    #[test]
    fn a_pod_of_an_older_revision_is_understood_and_understands() {
        let old = r#"{"revision":"b","window":"1","weight":20,"requests":3,"unreachable":0,"errors":1,"timeouts":0,"compared":0,"agreed":0}"#;
        let window: SplitWindow = serde_json::from_str(old).unwrap();
        assert_eq!((window.requests, window.stable.clone()), (3, None));
        assert_eq!(serde_json::to_string(&window).unwrap(), old);
        let asked = SplitWindow { requests: 2, inputs: [(0, true), (3, false)].into(), ..SplitWindow::default() };
        let window = SplitWindow { synthetic: Some(Box::new(asked)), ..window };
        let json = serde_json::to_string(&window).unwrap();
        assert!(json.ends_with(r#""inputs":{"0":true,"3":false}}}"#), "{json}");
        assert_eq!(serde_json::from_str::<SplitWindow>(&json).unwrap(), window);
    }
}
