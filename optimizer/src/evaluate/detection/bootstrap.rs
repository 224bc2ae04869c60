//! Two detectors on the same images: is the difference more than luck?

use super::precision::Matches;
use crate::evaluate::Interval;
use crate::interrupt::{self, Interrupted};

const SEED: u64 = 7;
const SAMPLES: [usize; 2] = [200, 1000];
/// Boxes looked at in all: seconds.
const WORK: usize = 400_000_000;

/// 95 % confidence interval of the second's mean average precision less the first's, of 1, and the two-sided p value.
///
/// Percentiles of a paired bootstrap: B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 and 15.
/// Images are drawn with replacement, the same ones for both models: 1000 times, or fewer, 200 at least, where there are many boxes.
/// One seed: equal inputs give equal numbers.
///
/// # Errors
/// The work was told to end.
pub fn difference([first, second]: [&Matches; 2]) -> Result<(Interval, f64), Interrupted> {
    let images = first.images();
    let samples = (WORK / (10 * (first.boxes() + second.boxes())).max(1)).clamp(SAMPLES[0], SAMPLES[1]);
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut changes: Vec<f64> = Vec::with_capacity(samples);
    let mut weights = vec![0_u32; images];
    for _ in 0..samples {
        interrupt::check()?;
        weights.fill(0);
        for _ in 0..images {
            weights[rng.usize(0..images)] += 1;
        }
        // Where nothing drawn holds an object, there is nothing to compare.
        if let (Some(a), Some(b)) = (first.precision(Some(&weights)), second.precision(Some(&weights))) {
            changes.push(b.map - a.map);
        }
    }
    if changes.is_empty() {
        return Ok((Interval { low: -1.0, high: 1.0 }, 1.0));
    }
    changes.sort_unstable_by(f64::total_cmp);
    let share = |count: usize| (count + 1) as f64 / (changes.len() + 1) as f64;
    let below = changes.partition_point(|c| *c <= 0.0);
    let above = changes.len() - changes.partition_point(|c| *c < 0.0);
    let p = (2.0 * share(below.min(above))).min(1.0);
    Ok((Interval { low: quantile(&changes, 0.025), high: quantile(&changes, 0.975) }, p))
}

/// Between the two nearest of sorted values, as NumPy has it.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use drydock_detection::{Bounds, Detected};

    use super::*;
    use crate::evaluate::detection::Truth;

    /// Models that find the object in each image, or in all but each `misses`-th.
    fn matches(images: usize, misses: usize) -> Matches {
        let bounds = Bounds::of_edges([0.0, 0.0, 10.0, 10.0]);
        let mut matches = Matches::default();
        for i in 0..images {
            let found = Detected { class: 0, score: 0.9, bounds };
            let found = if misses > 0 && i % misses == 0 { vec![] } else { vec![found] };
            matches.add(&found, &[Truth { class: 0, bounds, crowd: false }], 0.5);
        }
        matches.sort();
        matches
    }

    #[test]
    fn an_interval_that_has_the_change_in_it() {
        let (all, most) = (matches(200, 0), matches(200, 10));
        let (same, p) = difference([&all, &all]).unwrap();
        assert_eq!((same, p), (Interval { low: 0.0, high: 0.0 }, 1.0));
        let change = most.precision(None).unwrap().map - all.precision(None).unwrap().map;
        let (worse, p) = difference([&all, &most]).unwrap();
        // 20 of 200 are missing: 10 % with a standard error of 2.1 %.
        assert!((change + 0.1).abs() < 0.01, "{change}");
        assert!(worse.low < change && change < worse.high && p < 0.01, "{worse:?} {p}");
        // Precision is taken at 101 recalls: each end is off by a step of that at most.
        assert!((worse.high - worse.low - 3.92 * 0.0212).abs() < 2.0 / 101.0, "{worse:?}");
        assert_eq!(difference([&all, &most]).unwrap(), (worse, p), "equal inputs, unequal numbers");
        let (better, _) = difference([&most, &all]).unwrap();
        assert!((better.low + worse.high).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_compare() {
        let nothing = || {
            let mut matches = Matches::default();
            matches.add(&[], &[], 0.5);
            matches
        };
        assert_eq!(difference([&nothing(), &nothing()]).unwrap(), (Interval { low: -1.0, high: 1.0 }, 1.0));
    }

    #[test]
    fn it_stops_at_its_next_sample() {
        let all = matches(3, 0);
        let late = interrupt::before(std::time::Instant::now(), || Ok(difference([&all, &all])?));
        assert_eq!(late.unwrap(), None);
    }

    /// An image that counts twice is two images.
    #[test]
    fn weights() {
        let bounds = |left: f64| Bounds::of_edges([left, 0.0, left + 10.0, 10.0]);
        let image = |i: usize| {
            let truth: Vec<Truth> = (0..3)
                .map(|t| Truth { class: t % 2, bounds: bounds(t as f64 * 20.0), crowd: t == 2 && i == 1 })
                .collect();
            let found = |f: usize| Detected {
                class: (f + i) % 2,
                score: ((f * 7 + i * 3) % 5) as f32 / 5.0,
                bounds: bounds(f as f64 * 20.0 + i as f64),
            };
            (truth, (0..4).map(found).collect::<Vec<_>>())
        };
        let of = |order: &[usize]| {
            let mut matches = Matches::default();
            for i in order {
                let (truth, found) = image(*i);
                matches.add(&found, &truth, 0.5);
            }
            matches.sort();
            matches
        };
        let once = of(&[0, 1, 2]);
        for (weights, order) in [([1, 1, 1], &[0, 1, 2][..]), ([2, 0, 1], &[0, 0, 2]), ([0, 3, 1], &[1, 1, 1, 2])] {
            let (a, b) = (once.precision(Some(&weights)).unwrap(), of(order).precision(None).unwrap());
            assert!((a.map - b.map).abs() < 1e-12 && (a.map50 - b.map50).abs() < 1e-12, "{weights:?}: {a:?} {b:?}");
            assert!(a.map > 0.0 && a.map < 1.0, "{a:?}");
        }
    }
}
