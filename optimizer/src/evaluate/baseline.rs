use drydock_contract::{Baseline, Distribution, OutputBaseline, Statistics};

use super::probabilities::probabilities;
use super::tally::top;

/// More are no channels: the first axis of a sequence, say.
const MAX_CHANNELS: usize = 64;
const BINS: usize = 20;

/// Sums over the inputs and outputs of a model as they go by. Memory does not grow with the number of images.
#[derive(Clone, Debug)]
pub(super) struct BaselineCollector {
    images: u64,
    channels: Vec<Running>,
    softmax: bool,
    scores: Vec<Running>,
    predicted: Vec<u64>,
    margin: Spread,
    entropy: Spread,
}

impl BaselineCollector {
    /// `item`: the shape of one input. `softmax`: the scores are no probabilities.
    pub(super) fn new(item: &[i64], classes: usize, softmax: bool) -> Self {
        let first = item.first().map_or(1, |n| usize::try_from(*n).unwrap_or(1));
        let channels = if item.len() >= 2 && (1..=MAX_CHANNELS).contains(&first) { first } else { 1 };
        Self {
            images: 0,
            channels: vec![Running::default(); channels],
            softmax,
            scores: vec![Running::default(); classes],
            predicted: vec![0; classes],
            margin: Spread::default(),
            entropy: Spread::default(),
        }
    }

    pub(super) fn add(&mut self, input: &[f32], scores: &[f32]) {
        self.images += 1;
        let size = input.len().div_ceil(self.channels.len()).max(1);
        for (channel, values) in self.channels.iter_mut().zip(input.chunks(size)) {
            for value in values {
                channel.add(f64::from(*value));
            }
        }
        if let Some(predicted) = top(scores).and_then(|c| self.predicted.get_mut(c)) {
            *predicted += 1;
        }
        let Some(likely) = probabilities(scores, self.softmax) else { return };
        for (class, score) in self.scores.iter_mut().zip(scores) {
            class.add(f64::from(*score));
        }
        let (mut first, mut second, mut entropy) = (0.0_f64, 0.0_f64, 0.0_f64);
        for p in &likely {
            (first, second) = if *p > first { (*p, first) } else { (first, second.max(*p)) };
            entropy -= if *p > 0.0 { p * p.ln() } else { 0.0 };
        }
        self.margin.add(first - second);
        self.entropy.add(entropy / (likely.len() as f64).ln());
    }

    pub(super) fn finish(self) -> Baseline {
        // Of one class there is nothing to choose.
        let output = (self.predicted.len() > 1).then(|| OutputBaseline {
            mean_scores: self.scores.iter().map(|s| s.statistics().mean).collect(),
            predicted: self.predicted,
            softmax: self.softmax,
            margin: self.margin.finish(),
            entropy: self.entropy.finish(),
        });
        Baseline { images: self.images, input: self.channels.iter().map(Running::statistics).collect(), output }
    }
}

#[derive(Clone, Debug)]
struct Running {
    count: u64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Running {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Running {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Zeros of nothing: JSON knows no infinity.
    fn statistics(&self) -> Statistics {
        if self.count == 0 {
            return Statistics::default();
        }
        let n = self.count as f64;
        let mean = self.sum / n;
        Statistics { mean, std: (self.squares / n - mean * mean).max(0.0).sqrt(), min: self.min, max: self.max }
    }
}

#[derive(Clone, Debug, Default)]
struct Spread {
    running: Running,
    bins: [u64; BINS],
}

impl Spread {
    fn add(&mut self, value: f64) {
        let value = value.clamp(0.0, 1.0);
        // Of one class the entropy is 0 / 0.
        if value.is_finite() {
            self.running.add(value);
            self.bins[((value * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
    }

    fn finish(self) -> Distribution {
        let Statistics { mean, std, .. } = self.running.statistics();
        Distribution { mean, std, bins: self.bins.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_channels_and_three_classes() {
        let mut collector = BaselineCollector::new(&[2, 1, 2], 3, false);
        collector.add(&[1.0, 3.0, -1.0, -1.0], &[0.5, 0.25, 0.25]);
        collector.add(&[5.0, 3.0, -1.0, 7.0], &[0.0, 1.0, 0.0]);
        collector.add(&[3.0, 3.0, 1.0, 1.0], &[0.0, f32::NAN, 1.0]);
        let Baseline { images, input, output } = collector.finish();
        assert_eq!(images, 3);
        assert_eq!((input[0].mean, input[0].min, input[0].max), (3.0, 1.0, 5.0));
        assert!((input[0].std - (8.0_f64 / 6.0).sqrt()).abs() < 1e-12, "{input:?}");
        assert_eq!((input[1].mean, input[1].min, input[1].max), (1.0, -1.0, 7.0));
        let output = output.unwrap();
        // The third image has no scores, and its answer is the class that has one.
        assert_eq!(output.predicted, [1, 1, 1]);
        assert_eq!(output.mean_scores, [0.25, 0.625, 0.125]);
        assert_eq!((output.margin.mean, output.margin.bins[5], output.margin.bins[19]), (0.625, 1, 1));
        let entropy = 1.5 * 2.0_f64.ln() / 3.0_f64.ln() / 2.0;
        assert!((output.entropy.mean - entropy).abs() < 1e-12 && output.entropy.bins[0] == 1, "{output:?}");
    }

    /// JSON writes what is not finite as null, and nobody reads that as a number again.
    #[test]
    fn every_number_is_finite() {
        for (item, classes, scores) in
            [(&[4_i64][..], 1, &[2.0_f32][..]), (&[2, 2], 2, &[f32::NAN, f32::INFINITY]), (&[1000, 4], 2, &[1.0, 2.0])]
        {
            let mut collector = BaselineCollector::new(item, classes, true);
            collector.add(&[1.0; 4], scores);
            let baseline = collector.finish();
            let back: Baseline = serde_json::from_str(&serde_json::to_string(&baseline).unwrap()).unwrap();
            assert_eq!(back, baseline);
        }
    }
}
