//! What a model answered on the first images of the bench.

use super::estimate::{Bounds, change};
use crate::evaluate::{Matches, difference};
use crate::interrupt::Interrupted;

#[derive(Clone, Debug)]
pub(super) enum Answered {
    /// Which images a classifier answers right.
    Classes(Vec<bool>),
    /// What a detector finds, held against what is marked in the images.
    Boxes(Matches),
}

impl Default for Answered {
    fn default() -> Self {
        Self::Classes(Vec::new())
    }
}

impl Answered {
    /// Images.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(right) => right.len(),
            Self::Boxes(matches) => matches.images(),
        }
    }

    /// Percent: top-1, or the mean average precision of a detector.
    pub fn accuracy(&self) -> f64 {
        match self {
            Self::Classes(right) => 100.0 * right.iter().filter(|r| **r).count() as f64 / right.len().max(1) as f64,
            Self::Boxes(matches) => matches.precision(None).map_or(0.0, |p| 100.0 * p.map),
        }
    }

    /// The same of the first `images` only.
    pub fn first(&self, images: usize) -> Self {
        match self {
            Self::Classes(right) => Self::Classes(right.iter().copied().take(images).collect()),
            Self::Boxes(matches) => Self::Boxes(matches.first(images)),
        }
    }

    /// Points that the other one has over this one, on the images that both have answered.
    ///
    /// # Errors
    /// The work was told to end: a detector's interval takes time.
    pub fn change(&self, other: &Self) -> Result<Bounds, Interrupted> {
        match (self, other) {
            (Self::Classes(own), Self::Classes(other)) => Ok(change(own, other)),
            (Self::Boxes(own), Self::Boxes(other)) => {
                let images = own.images().min(other.images());
                let (own, other) = (own.first(images), other.first(images));
                let (interval, _) = difference([&own, &other])?;
                let [before, after] = [&own, &other].map(|m| m.precision(None).map_or(0.0, |p| p.map));
                let value = 100.0 * (after - before);
                // A bootstrap's percentiles need not have the estimate between them.
                let (low, high) = ((100.0 * interval.low).min(value), (100.0 * interval.high).max(value));
                Ok(Bounds { low, value, high })
            }
            // Models of two kinds are never in one search.
            _ => Ok(Bounds { low: -100.0, value: 0.0, high: 100.0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use drydock_detection::{Bounds as Place, Detected};

    use super::*;
    use crate::evaluate::Truth;

    /// Finds the object in all images but those.
    fn boxes(images: usize, misses: impl Fn(usize) -> bool) -> Answered {
        let bounds = Place::of_edges([0.0, 0.0, 10.0, 10.0]);
        let mut matches = Matches::default();
        for image in 0..images {
            let found: Vec<Detected> =
                Some(Detected { class: 0, score: 0.9, bounds }).into_iter().filter(|_| !misses(image)).collect();
            matches.add(&found, &[Truth { class: 0, bounds, crowd: false }], 0.5);
        }
        matches.sort();
        Answered::Boxes(matches)
    }

    #[test]
    fn detectors_are_compared_on_the_images_that_both_have_seen() {
        let (whole, late) = (boxes(200, |_| false), boxes(100, |i| i >= 50));
        assert_eq!((whole.len(), late.len(), late.first(50).len()), (200, 100, 50));
        assert!((whole.accuracy() - 100.0).abs() < 1e-9);
        let half = whole.change(&late).unwrap();
        assert!((half.value + 50.0).abs() < 1.0, "{half:?}");
        assert!(half.low < half.value && half.value < half.high && half.high < -30.0, "{half:?}");
        // On the first 50 they are alike.
        let same = whole.change(&late.first(50)).unwrap();
        assert_eq!(same, Bounds { low: 0.0, value: 0.0, high: 0.0 });
    }
}
