//! Which of several measured candidates is best: gates, objective and Pareto front. The operator asks it of finished
//! candidates, the optimizer's search of estimates.

use std::cmp::Ordering;
use std::fmt;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::EnumString;

use crate::Measurements;

/// What the best of the candidates that pass the gates is best in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub enum Objective {
    /// The lowest CPU time of one inference.
    #[default]
    Latency,
    /// The smallest file.
    Size,
    /// The highest top-1, or of a detector the highest mean average precision.
    Accuracy,
}

/// The gates as numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Points of top-1, or of a detector's mean average precision, that may be lost.
    pub max_accuracy_drop: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_speedup: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_milliseconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size_ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_bytes: Option<f64>,
}

/// What candidates are compared by. What is absent was not measured, and is worse than anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Top-1 or mean average precision, percent.
    pub accuracy: Option<f64>,
    /// Points of it over the original's.
    pub accuracy_change: Option<f64>,
    pub latency_milliseconds: Option<f64>,
    pub speedup: Option<f64>,
    pub size_bytes: Option<i64>,
    pub size_ratio: Option<f64>,
    pub memory_bytes: Option<i64>,
}

impl From<&Measurements> for Numbers {
    /// To four decimals: what is shown is what is compared, and it comes back from JSON as the same number.
    fn from(m: &Measurements) -> Self {
        let (quality, latency, size) = (m.quality(), m.latency.as_ref(), m.size.as_ref());
        Self {
            accuracy: quality.and_then(|q| rounded(q.value)),
            accuracy_change: quality.and_then(|q| rounded(q.value - q.original)),
            latency_milliseconds: latency.and_then(|l| rounded(l.cpu)),
            speedup: latency.and_then(|l| rounded(l.speedup())),
            size_bytes: size.map(|s| whole(s.bytes)),
            size_ratio: size.and_then(|s| rounded(s.bytes as f64 / s.original_bytes as f64)),
            memory_bytes: m.memory.as_ref().map(|m| whole(m.peak_bytes)),
        }
    }
}

/// To four decimals; `None` for what is no number.
pub fn rounded(value: f64) -> Option<f64> {
    let value = (value * 1e4).round() / 1e4;
    // No -0.0: it is no change, and prints as one.
    value.is_finite().then_some(value + 0.0)
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    AccuracyDrop,
    Speedup,
    Latency,
    Size,
    Memory,
}

/// A limit beside what was measured: `accuracy drop 1.20 points, limit 0.50 points`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    pub gate: Gate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    pub limit: f64,
}

impl Limits {
    /// Each limit that is broken.
    pub fn broken(&self, n: &Numbers, objective: Objective) -> Vec<GateResult> {
        let mut all = self.results(n, objective);
        all.retain(GateResult::is_broken);
        all
    }

    /// Each limit that is set, kept or not.
    pub fn results(&self, n: &Numbers, objective: Objective) -> Vec<GateResult> {
        let slower_is_useless = (objective == Objective::Latency).then_some(1.0);
        let limits = [
            (Gate::AccuracyDrop, n.accuracy_change.map(|change| -change), Some(self.max_accuracy_drop)),
            (Gate::Speedup, n.speedup, self.min_speedup.or(slower_is_useless)),
            (Gate::Latency, n.latency_milliseconds, self.max_latency_milliseconds),
            (Gate::Size, n.size_ratio, self.max_size_ratio),
            (Gate::Memory, n.memory_bytes.map(|b| b as f64), self.max_memory_bytes),
        ];
        let set = |(gate, measured, limit): (_, _, Option<f64>)| Some(GateResult { gate, measured, limit: limit? });
        limits.into_iter().filter_map(set).collect()
    }
}

impl GateResult {
    /// A gate that nothing was measured for is: it was set to keep something out.
    pub fn is_broken(&self) -> bool {
        let Some(measured) = self.measured else { return true };
        let is_over = if self.gate == Gate::Speedup { measured < self.limit } else { measured > self.limit };
        // Ratios carry an error in the last bit.
        is_over && (measured - self.limit).abs() >= 1e-9
    }
}

impl fmt::Display for GateResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, measured, limit } = *self;
        let what = match gate {
            Gate::AccuracyDrop => "accuracy drop",
            Gate::Speedup => "speedup",
            Gate::Latency => "latency",
            Gate::Size => "size",
            Gate::Memory => "memory",
        };
        let show = |n: f64, decimals: usize| match gate {
            Gate::AccuracyDrop => format!("{n:.decimals$} points"),
            Gate::Speedup => format!("{n:.decimals$}x"),
            Gate::Latency => format!("{n:.decimals$} ms"),
            // The table shows a ratio of four decimals; as a percentage it has two.
            Gate::Size => format!("{:.1$} %", n * 100.0, decimals.saturating_sub(1).max(1)),
            Gate::Memory => format!("{:.1} MiB", n / f64::from(1 << 20)),
        };
        let Some(measured) = measured else {
            return write!(f, "{what} was not measured, limit {}", show(limit, 2));
        };
        // As many decimals as it takes to see the difference.
        let decimals = (2..=4).find(|d| show(measured, *d) != show(limit, *d)).unwrap_or(4);
        write!(f, "{what} {}, limit {}", show(measured, decimals), show(limit, decimals))
    }
}

impl Objective {
    /// The better one is less; equal only where latency, size and accuracy all are.
    pub fn compare(self, a: &Numbers, b: &Numbers) -> Ordering {
        let (a, b) = (coordinates(a), coordinates(b));
        let [accuracy, latency, size] = [0, 1, 2].map(|i| a[i].total_cmp(&b[i]));
        match self {
            Self::Latency => latency.then(size).then(accuracy),
            Self::Size => size.then(latency).then(accuracy),
            Self::Accuracy => accuracy.then(latency).then(size),
        }
    }
}

/// Whether each is on the Pareto front of accuracy, latency and size: no other is at least as good in everything, and better
/// in something.
pub fn front(candidates: &[Numbers]) -> Vec<bool> {
    let points: Vec<[f64; 3]> = candidates.iter().map(coordinates).collect();
    let beats =
        |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b);
    points.iter().map(|own| !points.iter().any(|other| beats(other, own))).collect()
}

/// Accuracy, latency and size; less is better.
fn coordinates(n: &Numbers) -> [f64; 3] {
    let values = [n.accuracy.map(|a| -a), n.latency_milliseconds, n.size_bytes.map(|b| b as f64)];
    values.map(|v| v.unwrap_or(f64::INFINITY))
}
