use std::cmp::Ordering;
use std::collections::BTreeMap;

use drydock_contract::{AccuracyChange, AccuracyMeasurement, FidelityMeasurement};
use serde::{Deserialize, Serialize};

use super::{Changes, Evaluation, McNemar, difference_interval};

const TOP: usize = 5;

/// Counts of each pair of label and class named, of both models. What did not occur is absent, so that a thousand classes
/// are no million zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confusion {
    pub classes: usize,
    pub original: Vec<Cell>,
    pub candidate: Vec<Cell>,
}

/// `class: None` is an answer of NaN only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    pub label: usize,
    pub class: Option<usize>,
    pub images: u64,
}

/// Counts as rows of scores go by. Memory does not grow with the number of images.
#[derive(Clone, Debug)]
pub struct Tally {
    classes: usize,
    images: u64,
    /// Classes that each model named: one for each image, or for each place in it.
    compared: u64,
    agreed: u64,
    signal: f64,
    noise: f64,
    labelled: u64,
    /// Both right, the original alone, the candidate alone, neither.
    paired: [u64; 4],
    /// Of original and candidate.
    in_top: [u64; 2],
    confusion: [BTreeMap<(usize, Option<usize>), u64>; 2],
}

impl Tally {
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            images: 0,
            compared: 0,
            agreed: 0,
            signal: 0.0,
            noise: 0.0,
            labelled: 0,
            paired: [0; 4],
            in_top: [0; 2],
            confusion: [BTreeMap::new(), BTreeMap::new()],
        }
    }

    /// One image: what it is, and each model's scores.
    pub fn add(&mut self, label: Option<usize>, original: &[f32], candidate: &[f32]) {
        self.add_noise(original, candidate);
        let classes = [top(original), top(candidate)];
        self.compare(classes);
        let Some(label) = label else { return };
        self.labelled += 1;
        let cell = match classes.map(|c| c == Some(label)) {
            [true, true] => 0,
            [true, false] => 1,
            [false, true] => 2,
            [false, false] => 3,
        };
        self.paired[cell] += 1;
        for (i, scores) in [original, candidate].into_iter().enumerate() {
            self.in_top[i] += u64::from(rank(scores, label).is_some_and(|r| r < TOP));
            *self.confusion[i].entry((label, classes[i])).or_default() += 1;
        }
    }

    /// One image without a label, of which each model names a class for each place: scores of the first class at all places, then of the next.
    pub fn add_places(&mut self, original: &[f32], candidate: &[f32]) {
        self.add_noise(original, candidate);
        let places = original.len() / self.classes.max(1);
        let mut at_one = [Vec::with_capacity(self.classes), Vec::with_capacity(self.classes)];
        for place in 0..places {
            for (scores, all) in at_one.iter_mut().zip([original, candidate]) {
                scores.clear();
                scores.extend(all.iter().skip(place).step_by(places));
            }
            self.compare([top(&at_one[0]), top(&at_one[1])]);
        }
    }

    fn add_noise(&mut self, original: &[f32], candidate: &[f32]) {
        self.images += 1;
        for (o, c) in original.iter().zip(candidate) {
            let (o, c) = (f64::from(*o), f64::from(*c));
            self.signal += o * o;
            self.noise += (o - c) * (o - c);
        }
    }

    fn compare(&mut self, [original, candidate]: [Option<usize>; 2]) {
        self.compared += 1;
        self.agreed += u64::from(original.is_some() && original == candidate);
    }

    /// Without what is not counted here.
    pub fn finish(self) -> Evaluation {
        let share = |n: u64, of: u64| 100.0 * n as f64 / of.max(1) as f64;
        let agreement = share(self.agreed, self.compared);
        let fidelity = FidelityMeasurement {
            agreement,
            // Equal outputs have no noise to compare with, and NaN is no number of decibels.
            sqnr_decibels: Some(10.0 * (self.signal / self.noise).log10()).filter(|d| d.is_finite()),
            images: self.images,
        };
        if self.labelled == 0 {
            return Evaluation {
                accuracy: None,
                detection: None,
                fidelity,
                confusion: None,
                baseline: None,
                changes: Changes::default(),
            };
        }
        let [both, lost, gained, _] = self.paired;
        let interval = difference_interval(self.paired);
        let top5 = |i: usize| (self.classes > TOP).then(|| share(self.in_top[i], self.labelled));
        let accuracy = AccuracyMeasurement {
            top1: share(both + gained, self.labelled),
            original_top1: share(both + lost, self.labelled),
            agreement,
            images: self.images,
            same_data: false,
            top5: top5(1),
            original_top5: top5(0),
            change: Some(AccuracyChange {
                low: 100.0 * interval.low,
                high: 100.0 * interval.high,
                p: McNemar { lost, gained }.mid_p(),
                lost,
                gained,
            }),
        };
        let cells = |counts: BTreeMap<(usize, Option<usize>), u64>| {
            counts.into_iter().map(|((label, class), images)| Cell { label, class, images }).collect()
        };
        let [original, candidate] = self.confusion.map(cells);
        let confusion = Some(Confusion { classes: self.classes, original, candidate });
        Evaluation {
            accuracy: Some(accuracy),
            detection: None,
            fidelity,
            confusion,
            baseline: None,
            changes: Changes::default(),
        }
    }
}

/// Position of the largest value, the first of equals; none if all are NaN.
pub(super) fn top(values: &[f32]) -> Option<usize> {
    let best = values.iter().enumerate().filter(|(_, v)| !v.is_nan());
    best.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(i, _)| i)
}

/// How many values come before that at `label`, in falling order, the first of equals first.
fn rank(values: &[f32], label: usize) -> Option<usize> {
    let own = values.get(label).filter(|v| !v.is_nan())?;
    let before = |(i, v): &(usize, &f32)| {
        matches!((v.partial_cmp(&own), *i < label), (Some(Ordering::Greater), _) | (Some(Ordering::Equal), true))
    };
    Some(values.iter().enumerate().filter(before).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;

    #[test]
    fn a_class_for_each_place() {
        let mut tally = Tally::new(2);
        // Three places: of the first the original names class 0, of the others class 1.
        tally.add_places(&[2.0, 0.0, 0.0, 1.0, 3.0, 3.0], &[2.0, 0.0, 4.0, 1.0, 3.0, 3.0]);
        let fidelity = tally.finish().fidelity;
        assert!((fidelity.agreement - 200.0 / 3.0).abs() < 1e-9, "{fidelity:?}");
        assert!((fidelity.sqnr_decibels.unwrap() - 10.0 * (23.0_f64 / 16.0).log10()).abs() < 1e-9, "{fidelity:?}");
        assert_eq!(fidelity.images, 1);
    }

    #[test]
    fn the_first_of_the_largest() {
        for (values, expected) in [
            (&[1.0, 3.0, 2.0][..], Some(1)),
            (&[2.0, 2.0], Some(0)),
            (&[NAN, -1.0], Some(1)),
            (&[NAN, NAN], None),
            (&[f32::NEG_INFINITY], Some(0)),
        ] {
            assert_eq!(top(values), expected, "{values:?}");
            let first = (0..values.len()).find(|i| rank(values, *i) == Some(0));
            assert_eq!(first, expected, "rank of {values:?}");
        }
    }

    #[test]
    fn ranks() {
        for (values, label, expected) in [
            (&[3.0, 1.0, 2.0][..], 1, Some(2)),
            (&[1.0, 1.0, 1.0], 2, Some(2)),
            (&[NAN, 1.0], 1, Some(0)),
            (&[NAN, 1.0], 0, None),
            (&[1.0], 7, None),
        ] {
            assert_eq!(rank(values, label), expected, "{label} of {values:?}");
        }
    }

    #[test]
    fn six_classes_of_four_images() {
        let one_hot = |class: usize| {
            let mut scores = [0.0_f32; 6];
            scores[class] = 10.0;
            scores
        };
        let mut tally = Tally::new(6);
        // Both right, the candidate wrong, the original wrong, both wrong (and the label sixth of the original's six).
        for (label, original, candidate) in [(0, 0, 0), (1, 1, 0), (2, 0, 2), (5, 0, 1)] {
            tally.add(Some(label), &one_hot(original), &one_hot(candidate));
        }
        let Evaluation { accuracy, fidelity, confusion, .. } = tally.finish();
        let accuracy = accuracy.unwrap();
        assert_eq!((accuracy.top1, accuracy.original_top1, accuracy.agreement), (50.0, 50.0, 25.0));
        assert_eq!((accuracy.top5, accuracy.original_top5), (Some(75.0), Some(75.0)));
        let change = accuracy.change.unwrap();
        assert_eq!((change.lost, change.gained), (1, 1));
        assert!(change.low < 0.0 && change.high > 0.0 && change.p > 0.7, "{change:?}");
        // Signal 4 x 100, noise 3 x 200.
        assert!((fidelity.sqnr_decibels.unwrap() - 10.0 * (400.0_f64 / 600.0).log10()).abs() < 1e-9);
        let confusion = confusion.unwrap();
        assert_eq!(confusion.original.len(), 4);
        assert!(confusion.candidate.contains(&Cell { label: 1, class: Some(0), images: 1 }));
    }

    #[test]
    fn without_labels_and_without_noise() {
        let mut tally = Tally::new(2);
        tally.add(None, &[1.0, 2.0], &[1.0, 2.0]);
        let Evaluation { accuracy, fidelity, confusion, .. } = tally.finish();
        assert!(accuracy.is_none() && confusion.is_none());
        assert_eq!(fidelity, FidelityMeasurement { agreement: 100.0, sqnr_decibels: None, images: 1 });
    }
}
