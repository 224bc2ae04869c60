use drydock_contract::{Detection, TensorSignature};

use crate::bounds::{Bounds, Detected};
use crate::error::DetectionError;
use crate::layout::Layout;
use crate::suppress::{Most, ranked, suppress};

/// The most that are read where nothing tells how many there are.
const CLASSES: usize = 65_536;
/// Rounding, of int8 too, may bring a score above 1 by so much.
const HIGHEST_SCORE: f32 = 1.001;

/// The values of one output for a batch; whole numbers as floats.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    pub shape: &'a [i64],
    pub values: &'a [f32],
}

/// Reads the boxes of one model.
#[derive(Clone, Debug)]
pub struct Decoder {
    layout: Layout,
    detection: Detection,
    /// Names of classes that there are; 0: it is not known.
    labels: usize,
    /// Of the output that has a value for each class.
    classes: Option<usize>,
    is_single: bool,
}

impl Decoder {
    /// `labels`: how many names of classes there are; 0: none is known.
    ///
    /// # Errors
    /// The outputs are not what the layout has, or not those of a detector, or leave open of which kind.
    pub fn new(detection: &Detection, outputs: &[TensorSignature], labels: usize) -> Result<Self, DetectionError> {
        let layout = Layout::of(detection.layout, outputs, labels)?;
        let dimension = |output: &str, axis: usize, besides: i64| {
            let found = outputs.iter().find(|o| o.name == output).and_then(|o| o.shape.get(axis)).copied();
            match found.filter(|d| *d >= 0).map(|d| d - besides) {
                Some(found) if found < 1 || labels > 0 && found != labels as i64 => {
                    Err(DetectionError::Classes { output: output.to_owned(), found, labels })
                }
                found => Ok(found.map(|c| c as usize)),
            }
        };
        let classes = match &layout {
            Layout::ClassesFirst { output } => dimension(output, 1, 4)?,
            Layout::Objectness { output } => dimension(output, 2, 5)?,
            Layout::Rows { .. } | Layout::Separate { .. } => None,
        };
        let shape = |name: &str| outputs.iter().find(|o| o.name == name).map(|o| o.shape.as_slice());
        let is_single = matches!(&layout, Layout::Separate { boxes, .. } if shape(boxes).is_some_and(|s| s.len() == 2));
        Ok(Self { layout, detection: detection.clone(), labels, classes, is_single })
    }

    /// Names of the outputs that [`Decoder::decode`] reads, in its order.
    pub fn outputs(&self) -> Vec<&str> {
        self.layout.outputs()
    }

    /// The number of classes, where labels or the outputs tell.
    pub fn classes(&self) -> Option<usize> {
        Some(self.labels).filter(|n| *n > 0).or(self.classes)
    }

    /// Whether the model has dropped overlapping boxes itself: its outputs are a list then, whose places mean nothing.
    pub fn is_suppressed(&self) -> bool {
        matches!(self.layout, Layout::Rows { .. } | Layout::Separate { .. })
    }

    /// Whether the outputs are of one image, without an axis for a batch.
    pub fn takes_one_image(&self) -> bool {
        self.is_single
    }

    /// The lowest score that is answered.
    pub fn score_threshold(&self) -> f32 {
        self.detection.score_threshold as f32
    }

    /// The boxes that are answered for each image at most.
    pub fn most(&self) -> Most {
        Most::OfImage(self.detection.max_detections as usize)
    }

    /// The boxes of each image whose score is `least` or more, `most` of them, the highest score first. In pixels of the model's input.
    ///
    /// `outputs` are those of [`Decoder::outputs`], in that order. What is not finite is no box.
    ///
    /// # Errors
    /// An output is absent, or not of the shape that the layout has; a score above 1; a class that there is not.
    pub fn decode(&self, outputs: &[Array<'_>], least: f32, most: Most) -> Result<Vec<Vec<Detected>>, DetectionError> {
        let names = self.outputs();
        let at = |i: usize| {
            let output = || names.get(i).copied().unwrap_or_default().to_owned();
            outputs.get(i).copied().ok_or_else(|| DetectionError::Absent { output: output() })
        };
        let wrong = |i: usize, expected: &str| DetectionError::Shape {
            output: names.get(i).copied().unwrap_or_default().to_owned(),
            found: outputs.get(i).map(|o| o.shape.to_vec()).unwrap_or_default(),
            expected: expected.to_owned(),
        };
        let found: Vec<Vec<Detected>> = match &self.layout {
            Layout::ClassesFirst { .. } => {
                let output = at(0)?;
                let (n, rows, anchors) = match *sizes(output).as_slice() {
                    [n, rows, anchors] if rows > 4 => (n, rows, anchors),
                    _ => return Err(wrong(0, "(N, 4 + C, A)")),
                };
                images(output, n, rows * anchors).map(|values| classes_first(values, anchors, least)).collect()
            }
            Layout::Objectness { .. } => {
                let output = at(0)?;
                let (n, anchors, width) = match *sizes(output).as_slice() {
                    [n, anchors, width] if width > 5 => (n, anchors, width),
                    _ => return Err(wrong(0, "(N, A, 5 + C)")),
                };
                images(output, n, anchors * width).map(|values| objectness(values, width, least)).collect()
            }
            Layout::Rows { .. } => {
                let output = at(0)?;
                let [n, boxes, 6] = *sizes(output).as_slice() else { return Err(wrong(0, "(N, K, 6)")) };
                images(output, n, boxes * 6).map(|values| rows(values, least)).collect()
            }
            Layout::Separate { count, .. } => {
                let (boxes, scores, classes) = (at(0)?, at(1)?, at(2)?);
                let (count_of, lengths) = match *sizes(boxes).as_slice() {
                    [n, k, 4] => (k, vec![k; n]),
                    [k, 4] => (k, vec![k]),
                    _ => return Err(wrong(0, "(N, K, 4) or (K, 4)")),
                };
                for (i, output) in [(1, scores), (2, classes)] {
                    if output.values.len() != count_of * lengths.len() {
                        return Err(wrong(i, "one value for each box"));
                    }
                }
                let mut lengths = lengths;
                if count.is_some() {
                    let told = at(3)?.values;
                    if told.len() != lengths.len() {
                        return Err(wrong(3, "one value for each image"));
                    }
                    lengths.iter_mut().zip(told).for_each(|(length, told)| *length = (*length).min(*told as usize));
                }
                let edges = boxes.values.as_chunks::<4>().0;
                let read = |(image, length): (usize, usize)| {
                    let of = image * count_of..image * count_of + length;
                    of.filter_map(|i| listed(edges[i], scores.values[i], classes.values[i], least)).collect()
                };
                lengths.into_iter().enumerate().map(read).collect()
            }
        };
        found.iter().flatten().try_for_each(|found| self.check(found))?;
        let iou = self.detection.iou_threshold;
        let pick = |found: Vec<Detected>| {
            if self.is_suppressed() { ranked(found, most) } else { suppress(found, iou, most) }
        };
        Ok(found.into_iter().map(pick).collect())
    }

    fn check(&self, found: &Detected) -> Result<(), DetectionError> {
        let output = |i: usize| self.outputs().get(i).copied().unwrap_or_default().to_owned();
        let is_separate = matches!(self.layout, Layout::Separate { .. });
        if found.score > HIGHEST_SCORE {
            return Err(DetectionError::Score { output: output(usize::from(is_separate)), score: found.score });
        }
        let classes = self.classes().unwrap_or(CLASSES);
        if found.class >= classes {
            let output = output(if is_separate { 2 } else { 0 });
            return Err(DetectionError::ClassOf { output, class: found.class, classes, labels: self.labels > 0 });
        }
        Ok(())
    }
}

fn sizes(output: Array<'_>) -> Vec<usize> {
    let sizes: Vec<usize> = output.shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    // What does not hold together has no size at all.
    let whole = sizes.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)) == Some(output.values.len());
    if whole { sizes } else { Vec::new() }
}

/// The values of each of `count` images: none, where there is no box.
fn images(output: Array<'_>, count: usize, size: usize) -> impl Iterator<Item = &[f32]> {
    (0..count).map(move |i| output.values.get(i * size..(i + 1) * size).unwrap_or_default())
}

fn classes_first(values: &[f32], anchors: usize, least: f32) -> Vec<Detected> {
    // Class after class, as it lies in memory.
    let mut best: Vec<(f32, usize)> = vec![(f32::NEG_INFINITY, 0); anchors];
    for (class, scores) in values.chunks_exact(anchors.max(1)).skip(4).enumerate() {
        for (best, score) in best.iter_mut().zip(scores) {
            if *score > best.0 {
                *best = (*score, class);
            }
        }
    }
    let found = best.into_iter().enumerate().filter(|(_, (score, _))| *score >= least);
    let bounds = |at: usize| Bounds::of_centre([0, 1, 2, 3].map(|row| f64::from(values[row * anchors + at])));
    let found = found.map(|(at, (score, class))| Detected { class, score, bounds: bounds(at) });
    found.filter(|d| d.score.is_finite() && d.bounds.is_finite()).collect()
}

fn objectness(values: &[f32], width: usize, least: f32) -> Vec<Detected> {
    let read = |row: &[f32]| {
        let ([x, y, w, h, objectness], scores) = row.split_first_chunk::<5>()?;
        // No class can make it more.
        if *objectness < least {
            return None;
        }
        let first = (f32::NEG_INFINITY, 0);
        let best = |best: (f32, usize), (i, s): (usize, &f32)| if *s > best.0 { (*s, i) } else { best };
        let (score, class) = scores.iter().enumerate().fold(first, best);
        let found =
            Detected { class, score: score * objectness, bounds: Bounds::of_centre([*x, *y, *w, *h].map(f64::from)) };
        (found.score >= least && found.score.is_finite() && found.bounds.is_finite()).then_some(found)
    };
    values.chunks_exact(width).filter_map(read).collect()
}

fn rows(values: &[f32], least: f32) -> Vec<Detected> {
    let read = |[left, top, right, bottom, score, class]: &[f32; 6]| {
        listed([*left, *top, *right, *bottom], *score, *class, least)
    };
    values.as_chunks::<6>().0.iter().filter_map(read).collect()
}

fn listed(edges: [f32; 4], score: f32, class: f32, least: f32) -> Option<Detected> {
    let bounds = Bounds::of_edges(edges.map(f64::from));
    let found = score >= least && score.is_finite() && class >= 0.0 && bounds.is_finite();
    found.then_some(Detected { class: class as usize, score, bounds })
}

#[cfg(test)]
mod tests;
