use serde::{Deserialize, Serialize};

use super::probabilities::probabilities;
use super::tally::top;

/// Samples kept at most, and what their inputs may take together.
const SAMPLES: usize = 24;
const BYTES: usize = 32 << 20;

/// Images that the two models give different classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub images: u64,
    /// The ones that both models are surest of, surest first.
    pub samples: Vec<Sample>,
    softmax: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub index: usize,
    pub label: Option<usize>,
    pub original: Answer,
    pub candidate: Answer,
    /// As the model got it.
    pub input: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub class: usize,
    pub probability: f64,
}

impl Changes {
    /// `softmax`: the scores are no probabilities.
    pub(super) fn new(softmax: bool) -> Self {
        Self { softmax, ..Self::default() }
    }

    pub(super) fn add(&mut self, index: usize, label: Option<usize>, input: &[f32], scores: [&[f32]; 2]) {
        let [Some(first), Some(second)] = scores.map(top) else { return };
        if first == second {
            return;
        }
        self.images += 1;
        let [Some(original), Some(candidate)] = scores.map(|s| probabilities(s, self.softmax)) else { return };
        let original = Answer { class: first, probability: original[first] };
        let candidate = Answer { class: second, probability: candidate[second] };
        let sure = |o: &Answer, c: &Answer| o.probability + c.probability;
        let own = sure(&original, &candidate);
        // Equals stay in the order of the data.
        let at = self.samples.partition_point(|s| sure(&s.original, &s.candidate) >= own);
        let most = (BYTES / size_of_val(input).max(1)).clamp(1, SAMPLES);
        if at < most {
            self.samples.insert(at, Sample { index, label, original, candidate, input: input.to_vec() });
            self.samples.truncate(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_are_kept_and_all_are_counted() {
        let mut changes = Changes::new(false);
        changes.add(0, None, &[0.0], [&[0.9, 0.1], &[0.6, 0.4]]);
        changes.add(1, None, &[0.0], [&[f32::NAN, f32::NAN], &[0.6, 0.4]]);
        for i in 0..100_u8 {
            let p = 0.5 + f32::from(i % 50) / 100.0;
            changes.add(2 + usize::from(i), Some(1), &[f32::from(i)], [&[p, 1.0 - p], &[0.25, 0.75]]);
        }
        assert_eq!((changes.images, changes.samples.len()), (100, SAMPLES));
        let indexes: Vec<usize> = changes.samples.iter().take(4).map(|s| s.index).collect();
        assert_eq!(indexes, [51, 101, 50, 100]);
        let first = &changes.samples[0];
        assert_eq!((first.original.class, first.candidate.class, first.input.as_slice()), (0, 1, &[49.0][..]));
    }
}
