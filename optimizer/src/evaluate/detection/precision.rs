//! COCO's mean average precision: `COCOeval` of pycocotools for boxes, all areas, 100 boxes of a class and an image at most.

use std::collections::BTreeMap;

use drydock_detection::Detected;

use super::truth::Truth;

/// Of intersection over union: 0.5, 0.55, to 0.95.
const THRESHOLDS: usize = 10;
const RECALLS: usize = 101;
/// Boxes of one class in one image.
pub(super) const MOST: usize = 100;

/// What one model has found, held against the truth. Memory grows with the number of boxes.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// By their numbers, however large these are.
    classes: BTreeMap<usize, Class>,
    images: usize,
}

#[derive(Clone, Debug, Default)]
struct Class {
    outcomes: Vec<Outcome>,
    /// Images with objects that are no crowd, and how many.
    objects: Vec<(u32, u32)>,
}

/// What one box is, a bit for each threshold.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    score: f32,
    image: u32,
    hit: u16,
    /// It is of a crowd.
    ignored: u16,
}

/// Of 1; percent is what people read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    pub map: f64,
    pub map50: f64,
}

impl Matches {
    /// The next image. For each of `truth` whether a box with a score of `served` or more has it at the first threshold.
    pub fn add(&mut self, found: &[Detected], truth: &[Truth], served: f32) -> Vec<bool> {
        let image = self.images as u32;
        self.images += 1;
        let mut is_found = vec![false; truth.len()];
        let mut present: Vec<usize> = found.iter().map(|f| f.class).chain(truth.iter().map(|t| t.class)).collect();
        present.sort_unstable();
        present.dedup();
        for class in present {
            let mut boxes: Vec<&Detected> = found.iter().filter(|f| f.class == class).collect();
            boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
            boxes.truncate(MOST);
            // Crowds last: they are for what no object takes.
            let mut places: Vec<usize> = (0..truth.len()).filter(|i| truth[*i].class == class).collect();
            places.sort_by_key(|i| truth[*i].crowd);
            let objects: Vec<&Truth> = places.iter().map(|i| &truth[*i]).collect();
            let taken = self.classes.entry(class).or_default().add(image, &boxes, &objects);
            for (place, by) in places.into_iter().zip(taken) {
                is_found[place] = by.is_some_and(|by| boxes[by].score >= served);
            }
        }
        is_found
    }

    /// To be called once all images are in: in the order of falling scores, equal ones in that of the images.
    pub fn sort(&mut self) {
        for class in self.classes.values_mut() {
            class.outcomes.sort_by(|a, b| b.score.total_cmp(&a.score));
        }
    }

    /// Each image counted as often as `weights` says; `None`: once. No precision where there is no object.
    pub fn precision(&self, weights: Option<&[u32]>) -> Option<Precision> {
        let mut sum = [0.0; THRESHOLDS];
        let mut classes = 0_u32;
        let weight = |image: u32| weights.map_or(1, |w| w.get(image as usize).copied().unwrap_or(0));
        for class in self.classes.values() {
            let objects: u64 = class.objects.iter().map(|(i, n)| u64::from(weight(*i)) * u64::from(*n)).sum();
            if objects == 0 {
                continue;
            }
            classes += 1;
            for (threshold, sum) in sum.iter_mut().enumerate() {
                *sum += class.average(threshold, objects, &weight);
            }
        }
        let mean = |sum: f64| sum / f64::from(classes);
        (classes > 0).then(|| Precision { map: mean(sum.iter().sum::<f64>() / THRESHOLDS as f64), map50: mean(sum[0]) })
    }

    /// The same of the first `images` only.
    #[must_use]
    pub fn first(&self, images: usize) -> Self {
        let is_first = |image: u32| (image as usize) < images;
        let cut = |class: &Class| Class {
            outcomes: class.outcomes.iter().filter(|o| is_first(o.image)).copied().collect(),
            objects: class.objects.iter().filter(|(image, _)| is_first(*image)).copied().collect(),
        };
        let classes = self.classes.iter().map(|(number, class)| (*number, cut(class))).collect();
        Self { classes, images: self.images.min(images) }
    }

    pub fn images(&self) -> usize {
        self.images
    }

    /// How many boxes there are.
    pub fn boxes(&self) -> usize {
        self.classes.values().map(|c| c.outcomes.len()).sum()
    }

    /// Objects that are no crowd.
    pub fn objects(&self) -> u64 {
        self.classes.values().flat_map(|c| &c.objects).map(|(_, n)| u64::from(*n)).sum()
    }
}

impl Class {
    /// Greedy, from the highest score on: each box takes the object that it covers best of those that are left. For each object the
    /// box that has it at the first threshold.
    fn add(&mut self, image: u32, boxes: &[&Detected], objects: &[&Truth]) -> Vec<Option<usize>> {
        let overlap = |found: &Detected, object: &Truth| {
            let common = found.bounds.intersection(object.bounds);
            // Of a crowd the part of the box counts that lies in it.
            let union =
                if object.crowd { found.bounds.area() } else { found.bounds.area() + object.bounds.area() - common };
            if common > 0.0 { common / union } else { 0.0 }
        };
        let overlaps: Vec<Vec<f64>> = boxes.iter().map(|b| objects.iter().map(|o| overlap(b, o)).collect()).collect();
        let mut outcomes: Vec<Outcome> =
            boxes.iter().map(|b| Outcome { score: b.score, image, hit: 0, ignored: 0 }).collect();
        let mut first = vec![None; objects.len()];
        for threshold in 0..THRESHOLDS {
            let mut taken: Vec<Option<usize>> = vec![None; objects.len()];
            for (at, (outcome, overlaps)) in outcomes.iter_mut().zip(&overlaps).enumerate() {
                let mut best: Option<usize> = None;
                let mut least = least_overlap(threshold);
                for (i, (object, overlap)) in objects.iter().zip(overlaps).enumerate() {
                    if taken[i].is_some() && !object.crowd {
                        continue;
                    }
                    if best.is_some_and(|b| !objects[b].crowd) && object.crowd {
                        break;
                    }
                    // Of equals the last one, as pycocotools has it.
                    if *overlap >= least {
                        (best, least) = (Some(i), *overlap);
                    }
                }
                if let Some(best) = best {
                    taken[best] = Some(at);
                    let bit = 1 << threshold;
                    if objects[best].crowd {
                        outcome.ignored |= bit;
                    } else {
                        outcome.hit |= bit;
                    }
                }
            }
            if threshold == 0 {
                first = taken;
            }
        }
        self.outcomes.extend(outcomes);
        let count = objects.iter().filter(|o| !o.crowd).count() as u32;
        if count > 0 {
            self.objects.push((image, count));
        }
        first
    }

    /// Mean over 101 recalls of the best precision at that recall or more.
    fn average(&self, threshold: usize, objects: u64, weight: &impl Fn(u32) -> u32) -> f64 {
        let bit = 1 << threshold;
        let (mut right, mut all) = (0_u64, 0_u64);
        // Recall and precision after each box that is right: elsewhere neither is higher.
        let mut points: Vec<(f64, f64)> = Vec::new();
        for outcome in self.outcomes.iter().filter(|o| o.ignored & bit == 0) {
            let count = u64::from(weight(outcome.image));
            all += count;
            if outcome.hit & bit != 0 && count > 0 {
                right += count;
                points.push((right as f64 / objects as f64, right as f64 / all as f64));
            }
        }
        let (mut sum, mut best, mut points) = (0.0_f64, 0.0_f64, points.into_iter().rev().peekable());
        for recall in (0..RECALLS).rev() {
            while let Some((_, precision)) = points.next_if(|(reached, _)| *reached >= recall_at(recall)) {
                best = best.max(precision);
            }
            sum += best;
        }
        sum / RECALLS as f64
    }
}

/// The numbers of `numpy.linspace(0.5, 0.95, 10)`, bit for bit: a box may lie just on one of them.
fn least_overlap(threshold: usize) -> f64 {
    let step = (0.95 - 0.5) / 9.0;
    if threshold == THRESHOLDS - 1 { 0.95 } else { threshold as f64 * step + 0.5 }
}

/// Those of `numpy.linspace(0, 1, 101)`.
fn recall_at(index: usize) -> f64 {
    index as f64 * 0.01
}
