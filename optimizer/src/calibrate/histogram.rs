/// Bins; the range is covered by at least half of them at any time.
const BINS: usize = 4096;

/// Counts of values in equal bins over a range that grows as values come. The memory is fixed.
///
/// When a value falls outside, the bins double their width, neighbours merging in pairs, as often as it takes: counts
/// stay exact, only their places coarsen.
#[derive(Clone, Debug)]
pub struct Histogram {
    low: f64,
    width: f64,
    counts: Vec<u64>,
    min: f32,
    max: f32,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { low: 0.0, width: 0.0, counts: Vec::new(), min: f32::INFINITY, max: f32::NEG_INFINITY, total: 0 }
    }
}

impl Histogram {
    /// Adds finite values, whose smallest and largest the caller knows already.
    pub fn add(&mut self, values: &[f32], min: f32, max: f32) {
        if values.is_empty() {
            return;
        }
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        if self.counts.is_empty() {
            self.counts = vec![0; BINS];
            self.low = f64::from(min);
            self.width = ((f64::from(max) - f64::from(min)) / BINS as f64).max(f64::from(f32::MIN_POSITIVE));
        }
        while f64::from(min) < self.low {
            self.low -= self.width * BINS as f64;
            self.merge(BINS / 2);
        }
        while f64::from(max) > self.low + self.width * BINS as f64 {
            self.merge(0);
        }
        for value in values {
            let bin = ((f64::from(*value) - self.low) / self.width) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
        self.total += values.len() as u64;
    }

    /// Doubles the width; what was counted goes to the half that begins at `to`.
    fn merge(&mut self, to: usize) {
        let mut merged = vec![0; BINS];
        for (i, pair) in self.counts.chunks(2).enumerate() {
            merged[to + i] = pair.iter().sum();
        }
        self.counts = merged;
        self.width *= 2.0;
    }

    /// The smallest and the largest value. `None` before any.
    pub fn seen(&self) -> Option<(f32, f32)> {
        (self.total > 0).then_some((self.min, self.max))
    }

    /// Of one bin.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// The middle of each bin, and its count.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> {
        let middle = |i: usize| self.low + self.width * (i as f64 + 0.5);
        self.counts.iter().enumerate().map(move |(i, n)| (middle(i).clamp(self.min.into(), self.max.into()), *n))
    }

    /// The range that keeps `percent` percent of the values, half of the rest cut at each end. `None` before any value.
    pub fn range(&self, percent: f64) -> Option<(f32, f32)> {
        if self.total == 0 {
            return None;
        }
        let cut = self.total as f64 * ((100.0 - percent) / 200.0).clamp(0.0, 0.5);
        let low = self.low + self.width * position(self.counts.iter(), cut);
        let high = self.low + self.width * (BINS as f64 - position(self.counts.iter().rev(), cut));
        let (low, high) = (low as f32, high as f32);
        Some((low.clamp(self.min, self.max), high.clamp(self.min, self.max)))
    }
}

/// How many bins, and what part of the next, hold `count` values.
fn position<'c>(counts: impl Iterator<Item = &'c u64>, count: f64) -> f64 {
    let mut left = count;
    let mut bins = 0.0;
    for &n in counts {
        if n > 0 && left <= n as f64 {
            return bins + left / n as f64;
        }
        left -= n as f64;
        bins += 1.0;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(batches: &[&[f32]]) -> Histogram {
        let mut histogram = Histogram::default();
        for batch in batches {
            let (min, max) = batch.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            histogram.add(batch, min, max);
        }
        histogram
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let ramp: Vec<f32> = (0..=10_000_i16).map(f32::from).collect();
        let histogram = of(&[&ramp]);
        for (percent, low, high) in [(100.0, 0.0, 10_000.0), (99.0, 50.0, 9_950.0), (50.0, 2_500.0, 7_500.0)] {
            let (l, h) = histogram.range(percent).unwrap();
            assert!((l - low).abs() < 5.0 && (h - high).abs() < 5.0, "{percent} %: {l} to {h}");
        }
    }

    #[test]
    fn growing_to_both_sides_gives_what_one_batch_gives() {
        let values: Vec<f32> = (-500..=500_i16).map(|i| f32::from(i) / 7.0).collect();
        let middle_first: Vec<&[f32]> = vec![&values[400..600], &values[..400], &values[600..]];
        let (whole, grown) = (of(&[&values]), of(&middle_first));
        assert_eq!(grown.total, 1001);
        assert_eq!(grown.counts.iter().sum::<u64>(), 1001);
        for percent in [100.0, 99.0, 90.0] {
            let ((a, b), (c, d)) = (whole.range(percent).unwrap(), grown.range(percent).unwrap());
            assert!((a - c).abs() < 0.2 && (b - d).abs() < 0.2, "{percent} %: {a} {b} and {c} {d}");
        }
    }

    #[test]
    fn extremes() {
        assert_eq!(Histogram::default().range(99.0), None);
        assert_eq!(of(&[&[0.0; 5]]).range(99.0), Some((0.0, 0.0)));
        // Far outliers among many: cut; and the way there is short, though the range grows 2^100 times.
        let (low, high) = of(&[&[0.0, 1e-8], &vec![0.5; 100_000], &[1e30]]).range(99.9).unwrap();
        assert!(low >= 0.0 && high < 1e29, "{low} {high}");
        let all = of(&[&[-f32::MAX, 0.0], &[f32::MAX]]).range(100.0).unwrap();
        assert_eq!(all, (-f32::MAX, f32::MAX));
    }
}
