//! What is known of a candidate so far, and how surely.

use drydock_contract::{Limits, Numbers, rounded};
use serde::Serialize;

use crate::evaluate::difference_interval;

/// A measurement and its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    pub low: f64,
    pub value: f64,
    pub high: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Evaluation images that the accuracy stands on.
    pub images: usize,
    /// Those are all that there are: the gate is on just these, and nothing is left to chance.
    pub all_images: bool,
    /// Top-1, or the mean average precision of a detector, on those images: percent.
    pub accuracy: f64,
    /// Points of that over the original's on the same images.
    pub change: Bounds,
    /// Rounds of the benchmark, candidate and original taking turns.
    pub rounds: usize,
    pub speedup: Bounds,
    /// Median CPU time.
    pub latency_milliseconds: f64,
    pub bytes: u64,
    pub original_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

impl Estimate {
    /// What the candidates are compared by.
    pub fn numbers(&self) -> Numbers {
        self.at(self.change.value, self.speedup.value, self.latency_milliseconds)
    }

    /// As good as it may still turn out.
    pub fn at_best(&self) -> Numbers {
        let change = if self.all_images { self.change.value } else { self.change.high };
        let latency = self.latency_milliseconds * self.speedup.value / self.speedup.high;
        self.at(change, self.speedup.high, latency)
    }

    /// As bad as it may still turn out.
    pub fn at_worst(&self) -> Numbers {
        let change = if self.all_images { self.change.value } else { self.change.low };
        let latency = self.latency_milliseconds * self.speedup.value / self.speedup.low.max(f64::MIN_POSITIVE);
        self.at(change, self.speedup.low, latency)
    }

    fn at(&self, change: f64, speedup: f64, latency: f64) -> Numbers {
        let bytes = |b: u64| i64::try_from(b).unwrap_or(i64::MAX);
        Numbers {
            // Each stands on images of its own, some on more: only the change against the original on the same images compares.
            accuracy: rounded(change),
            accuracy_change: rounded(change),
            latency_milliseconds: rounded(latency),
            speedup: rounded(speedup),
            size_bytes: Some(bytes(self.bytes)),
            size_ratio: rounded(self.bytes as f64 / self.original_bytes.max(1) as f64),
            memory_bytes: self.memory_bytes.map(bytes),
        }
    }
}

/// Without the limits on what the estimates do not have: memory is measured last.
pub(super) fn known(limits: &Limits, numbers: &Numbers) -> Limits {
    Limits { max_memory_bytes: limits.max_memory_bytes.filter(|_| numbers.memory_bytes.is_some()), ..limits.clone() }
}

/// Points that the second has over the first. Both slices say which images are answered right, in the same order; what only
/// one of them has is left out.
pub(super) fn change(first: &[bool], second: &[bool]) -> Bounds {
    let mut table = [0_u64; 4];
    for pair in first.iter().zip(second) {
        let cell = match pair {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        table[cell] += 1;
    }
    let [both, lost, gained, neither] = table.map(|n| n as f64);
    let interval = difference_interval(table);
    let value = 100.0 * (gained - lost) / (both + lost + gained + neither).max(1.0);
    Bounds { low: 100.0 * interval.low, value, high: 100.0 * interval.high }
}

/// Of a few values, with the interval that order statistics give without any assumption of how they are spread.
pub(super) fn median(values: &[f64]) -> Bounds {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let Some(last) = n.checked_sub(1) else { return Bounds { low: 0.0, value: f64::NAN, high: f64::INFINITY } };
    // The chance that fewer than k + 1 of n values lie below the median.
    let (mut chance, mut tail, mut k) = (0.5_f64.powi(n as i32), 0.0, 0);
    while k < last / 2 {
        tail += chance;
        chance *= (n - k) as f64 / (k + 1) as f64;
        if tail + chance > 0.025 {
            break;
        }
        k += 1;
    }
    Bounds { low: sorted[k], value: sorted[(n - 1) / 2].midpoint(sorted[n / 2]), high: sorted[last - k] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        // Ranks of the published tables: n = 6 takes the extremes, 10 the second, 20 the sixth.
        for (n, rank) in [(1, 1), (5, 1), (6, 1), (9, 2), (10, 2), (12, 3), (20, 6), (60, 22)] {
            let values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
            let found = median(&values);
            let expected = (f64::from(rank), f64::midpoint(1.0, f64::from(n)), f64::from(n + 1 - rank));
            assert_eq!((found.low, found.value, found.high), expected, "{n}");
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "chosen, not computed")]
    fn changes_are_of_the_images_that_both_have() {
        let original = [vec![true; 90], vec![false; 10]].concat();
        let candidate = [vec![true; 85], vec![false; 15], vec![true; 50]].concat();
        let found = change(&original, &candidate);
        assert_eq!(found.value, -5.0);
        assert!(found.low < -5.0 && -5.0 < found.high && found.high < 1.0, "{found:?}");
        assert_eq!(change(&original, &original).value, 0.0);
        assert_eq!(change(&[], &[]).value, 0.0);
    }
}
