//! What the rest of a search will take, from what it took so far. All in seconds.

use std::collections::BTreeMap;

use drydock_contract::Technique;

use crate::benchmark::{ROUNDS, TURN};

/// Of the benchmark in each round of the search; the package that is published has the usual number.
pub(super) const SEARCH_ROUNDS: [u32; 3] = [10, 15, 20];
/// Candidates that are measured on all images.
const FINALISTS: u32 = 3;
/// What they together take of the time that the original takes: they are three times as fast.
const FINALISTS_SHARE: f64 = 1.0;
/// To open sessions, measure memory and write the package.
const PUBLISH: f64 = 1.5;

/// How fast the original answers, in batches on all cores. A candidate that is slower is seldom worth a thought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub per_image: f64,
    /// Of the evaluation set.
    pub images: usize,
}

impl Pace {
    /// Accuracy of both models on all images, and a benchmark of all rounds.
    pub fn publish(self) -> f64 {
        self.answer(2 * self.images) + benchmark(ROUNDS) + PUBLISH
    }

    /// To measure the original and the finalists on all images, with their benchmarks on the way there.
    pub fn verify(self) -> f64 {
        let benchmarks: f64 = SEARCH_ROUNDS[1..].iter().map(|rounds| benchmark(*rounds)).sum();
        self.answer(self.images) * (1.0 + FINALISTS_SHARE) + f64::from(FINALISTS) * benchmarks
    }

    pub fn answer(self, images: usize) -> f64 {
        self.per_image * images as f64
    }
}

/// With the warm-up, which is two turns of each.
pub(super) fn benchmark(rounds: u32) -> f64 {
    2.0 * f64::from(rounds + 2) * TURN.as_secs_f64()
}

/// When the last candidate must be made, and when the choice must stand, in seconds from the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    pub explore: f64,
    pub choose: f64,
}

impl Schedule {
    /// `None` where what is left when the original has been measured is not enough to publish anything.
    pub fn new(total: f64, elapsed: f64, pace: Pace) -> Option<Self> {
        let choose = total - pace.publish();
        let left = choose - elapsed;
        // Rather fewer candidates than a choice that stands on a few images; but half of the time is theirs.
        (left > 0.0).then(|| Self { explore: choose - pace.verify().min(left / 2.0), choose })
    }
}

/// The most that a technique of each kind has taken; of training, that a step has.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs(BTreeMap<&'static str, f64>);

impl Costs {
    pub fn note(&mut self, technique: &Technique, seconds: f64) {
        let most = self.0.entry(kind(technique)).or_default();
        *most = most.max(seconds / times(technique));
    }

    /// Of what has never been done, nor what is like it, it says nothing: the deadline breaks that off.
    pub fn expect(&self, techniques: &[Technique]) -> f64 {
        let known = |kind: &str| self.0.get(kind).copied();
        let expected = |t: &Technique| {
            let kind = kind(t);
            Some(times(t) * known(kind).or_else(|| known(like(kind)?))?)
        };
        techniques.iter().filter_map(expected).sum()
    }
}

fn times(technique: &Technique) -> f64 {
    technique.distill.as_ref().map_or(1.0, |d| f64::from(d.steps))
}

/// Both fit each layer anew, on as many images.
fn like(kind: &str) -> Option<&'static str> {
    match kind {
        "prune" => Some("factorize"),
        "factorize" => Some("prune"),
        _ => None,
    }
}

fn kind(technique: &Technique) -> &'static str {
    match technique {
        Technique { distill: Some(_), .. } => "distill",
        Technique { prune: Some(_), .. } => "prune",
        Technique { factorize: Some(_), .. } => "factorize",
        _ => "quantize",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let pace = Pace { per_image: 0.001, images: 10_000 };
        // 20 s for both models, 5 s for the benchmark, a little to write; to verify, 20 s and two benchmarks of three.
        assert!((26.0..27.0).contains(&pace.publish()) && (29.0..30.0).contains(&pace.verify()), "{pace:?}");
        let wide = Schedule::new(300.0, 5.0, pace).unwrap();
        assert!((300.0 - wide.choose - pace.publish()).abs() < 1e-9, "{wide:?}");
        assert!((wide.choose - wide.explore - pace.verify()).abs() < 1e-9, "{wide:?}");
        let narrow = Schedule::new(60.0, 5.0, pace).unwrap();
        assert!(5.0 < narrow.explore && narrow.explore < narrow.choose, "{narrow:?}");
        assert_eq!(Schedule::new(30.0, 5.0, pace), None);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "chosen, not computed")]
    fn costs_are_the_most_that_was_seen() {
        let prune = Technique { prune: Some(drydock_contract::Prune::default()), ..Technique::default() };
        let distill = |steps| Technique {
            distill: Some(drydock_contract::Distill { steps, ..Default::default() }),
            ..Technique::default()
        };
        let mut costs = Costs::default();
        costs.note(&prune, 7.0);
        costs.note(&prune, 5.0);
        assert_eq!(costs.expect(&[prune.clone(), distill(100)]), 7.0);
        costs.note(&distill(100), 20.0);
        costs.note(&distill(1000), 150.0);
        assert_eq!(costs.expect(&[prune, distill(300)]), 67.0, "a step took 0.2 s at most");
        let factorize = Technique { factorize: Some(drydock_contract::Factorize::macs(0.5)), ..Technique::default() };
        assert_eq!(costs.expect(std::slice::from_ref(&factorize)), 7.0, "never done, and like prune");
        costs.note(&factorize, 3.0);
        assert_eq!(costs.expect(&[factorize]), 3.0);
        assert_eq!(costs.expect(&[]), 0.0);
    }
}
