//! What two detectors find on the same images.

mod bootstrap;
mod precision;
mod truth;

use drydock_contract::{AccuracyChange, DetectionMeasurement, FidelityMeasurement};
use drydock_detection::{Array, Bounds, Decoder, Detected, DetectionError, Most};

pub use bootstrap::difference;
pub use precision::{Matches, Precision};
pub use truth::Truth;

use super::answers::gather;
use super::baseline::BaselineCollector;
use super::{BATCH, Changes, Evaluation, as_candidate};
use crate::Error;
use crate::dataset::{Batch, Dataset, DatasetError};
use crate::engine::{Engine, Numbers, Session};
use crate::interrupt::Interrupted;
use crate::progress::Progress;

/// Boxes with lower scores are many, and change the mean average precision by nothing that can be seen.
const LEAST_SCORE: f32 = 0.001;
/// Whatever number is answered: that of COCO, in each image.
const MOST: Most = Most::OfClass(precision::MOST);
/// Percent. A gate on points says nothing where the original has less: whatever a candidate finds would pass.
const LEAST_MAP50: f64 = 1.0;

/// As [`super::evaluate`], for a detector: mean average precision where the data has boxes, and how near the candidate's boxes are to
/// the original's in any case.
///
/// # Errors
/// Boxes in the data that do not fit the model, or of which the original finds none; outputs that are no boxes; a candidate that does not
/// run.
pub fn evaluate_detector(
    engine: &Engine,
    original: &[u8],
    candidate: Option<&[u8]>,
    decoder: &Decoder,
    data: &Dataset,
    progress: &mut Progress,
) -> Result<Evaluation, Error> {
    let truth = data.boxes(decoder.classes())?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut original = engine.open(original, threads)?;
    let mut candidate = candidate.map(|c| engine.open(c, threads)).transpose().map_err(Error::Candidate)?;
    let mut counters = Counters::default();
    let mut baseline = BaselineCollector::new(data.item_shape(), 0, false);
    let batch_size = if decoder.takes_one_image() { 1 } else { BATCH };
    data.batches(usize::MAX, batch_size, |batch| {
        let expected = find(&mut original, decoder, &batch)?;
        let found = match &mut candidate {
            Some(session) => Some(find(session, decoder, &batch).map_err(as_candidate)?),
            None => None,
        };
        let found = found.as_ref().unwrap_or(&expected);
        if !decoder.is_suppressed() {
            counters.signal(batch.count, [&expected.outputs, &found.outputs]);
        }
        let inputs = batch.data.chunks(data.item_shape().iter().product::<i64>().max(1) as usize);
        for (row, input) in (0..batch.count).zip(inputs) {
            let own = truth.as_ref().and_then(|t| t.get(batch.start + row)).map(Vec::as_slice);
            counters.add(decoder.score_threshold(), own, [&expected.boxes[row], &found.boxes[row]]);
            baseline.add(input, &[]);
        }
        progress.step("evaluate", batch.start + batch.count, data.len(), "images");
        Ok::<(), Error>(())
    })?;
    if truth.is_none() {
        progress.note("the evaluation data has no boxes: agreement is measured, mean average precision is not");
    }
    progress.step("compare", 0, 1, "pair of models");
    let (detection, fidelity) = counters.finish(truth.is_some())?;
    if let Some(d) = &detection {
        finds_something(d.original_map50, d.objects, data)?;
    }
    Ok(Evaluation {
        accuracy: None,
        detection,
        fidelity,
        confusion: None,
        baseline: Some(baseline.finish()),
        changes: Changes::default(),
    })
}

/// Whatever a candidate finds would pass. `map50`: of the original, percent.
pub(crate) fn finds_something(map50: f64, objects: u64, data: &Dataset) -> Result<(), DatasetError> {
    if map50 < LEAST_MAP50 {
        return Err(DatasetError::NothingFound { path: data.path().to_owned(), objects });
    }
    Ok(())
}

/// The boxes that the model finds in the images at `rows`, which rise, and in no others: in pixels of each image.
pub(crate) fn detections(
    engine: &Engine,
    model: &[u8],
    decoder: &Decoder,
    data: &Dataset,
    rows: &[usize],
) -> Result<Vec<Vec<Detected>>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut session = engine.open(model, threads)?;
    let mut found = Vec::with_capacity(rows.len());
    gather(data, rows, if decoder.takes_one_image() { 1 } else { BATCH }, |batch| {
        found.extend(find(&mut session, decoder, batch)?.boxes.into_iter().take(batch.count));
        Ok(())
    })?;
    Ok(found)
}

/// What one model says of a batch.
struct Found {
    /// Of each image, in its pixels.
    boxes: Vec<Vec<Detected>>,
    outputs: Vec<Numbers>,
}

fn find(session: &mut Session, decoder: &Decoder, batch: &Batch<'_>) -> Result<Found, Error> {
    let names = decoder.outputs();
    let outputs = session.run_numbers(batch.shape, batch.data, &names)?;
    let arrays: Vec<Array<'_>> = outputs.iter().map(|o| Array { shape: &o.shape, values: &o.values }).collect();
    let mut boxes = decoder.decode(&arrays, LEAST_SCORE, MOST)?;
    if boxes.len() < batch.count {
        let (output, found) = (names.first().copied().unwrap_or_default().to_owned(), boxes.len());
        let expected = format!("boxes of {} images, not of {found}", batch.count);
        return Err(DetectionError::Shape {
            output,
            found: outputs.first().map(|o| o.shape.clone()).unwrap_or_default(),
            expected,
        }
        .into());
    }
    // Raw values have the size of the model's input, and so have their boxes.
    for (boxes, placement) in boxes.iter_mut().zip(batch.placements) {
        for found in boxes {
            found.bounds = Bounds::of_edges(placement.to_image(found.bounds.edges()));
        }
    }
    Ok(Found { boxes, outputs })
}

/// What is counted as the images go by.
#[derive(Default)]
struct Counters {
    /// The original and the candidate against the truth.
    matches: [Matches; 2],
    /// The candidate against the original.
    agreement: Matches,
    /// Boxes that the candidate answers with where the original has none at all.
    alone: u64,
    lost: u64,
    gained: u64,
    signal: f64,
    noise: f64,
}

impl Counters {
    /// Of the first `count` images: what a model with one batch size is given beyond them is the last one again.
    fn signal(&mut self, count: usize, [original, candidate]: [&[Numbers]; 2]) {
        let own = |o: &Numbers| {
            let images = o.shape.first().map_or(1, |n| usize::try_from(*n).unwrap_or(1)).max(1);
            o.values.len() / images * count.min(images)
        };
        let pairs = original.iter().zip(candidate).flat_map(|(o, c)| o.values.iter().zip(&c.values).take(own(o)));
        for (o, c) in pairs {
            let (o, c) = (f64::from(*o), f64::from(*c));
            self.signal += o * o;
            self.noise += (o - c) * (o - c);
        }
    }

    fn add(&mut self, served: f32, truth: Option<&[Truth]>, [original, candidate]: [&[Detected]; 2]) {
        if let Some(truth) = truth {
            let [before, after] = [(0, original), (1, candidate)].map(|(i, f)| self.matches[i].add(f, truth, served));
            for (before, after) in
                truth.iter().zip(before.into_iter().zip(after)).filter(|(t, _)| !t.crowd).map(|(_, f)| f)
            {
                self.lost += u64::from(before && !after);
                self.gained += u64::from(after && !before);
            }
        }
        // What has no area overlaps nothing, not even itself.
        let [original, candidate] =
            [original, candidate].map(|f| f.iter().filter(|d| d.bounds.area() > 0.0).copied().collect::<Vec<_>>());
        let answered = original.iter().filter(|d| d.score >= served);
        let as_truth: Vec<Truth> = answered.map(|d| Truth { class: d.class, bounds: d.bounds, crowd: false }).collect();
        self.alone += candidate.iter().filter(|d| d.score >= served).count() as u64;
        self.agreement.add(&candidate, &as_truth, served);
    }

    fn finish(mut self, has_truth: bool) -> Result<(Option<DetectionMeasurement>, FidelityMeasurement), Interrupted> {
        self.matches.iter_mut().chain([&mut self.agreement]).for_each(Matches::sort);
        let agreement = match self.agreement.precision(None) {
            Some(precision) => 100.0 * precision.map,
            None if self.alone == 0 => 100.0,
            None => 0.0,
        };
        let fidelity = FidelityMeasurement {
            agreement,
            sqnr_decibels: Some(10.0 * (self.signal / self.noise).log10()).filter(|d| d.is_finite()),
            images: self.agreement.images() as u64,
        };
        let [original, candidate] = &self.matches;
        let precisions = original.precision(None).zip(candidate.precision(None)).filter(|_| has_truth);
        let measured = |(before, after): (Precision, Precision)| {
            let (interval, p) = difference([original, candidate])?;
            Ok(DetectionMeasurement {
                map: 100.0 * after.map,
                original_map: 100.0 * before.map,
                map50: 100.0 * after.map50,
                original_map50: 100.0 * before.map50,
                images: fidelity.images,
                objects: original.objects(),
                same_data: false,
                change: Some(AccuracyChange {
                    low: 100.0 * interval.low,
                    high: 100.0 * interval.high,
                    p,
                    lost: self.lost,
                    gained: self.gained,
                }),
            })
        };
        Ok((precisions.map(measured).transpose()?, fidelity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(class: usize, score: f32, left: f64, width: f64) -> Detected {
        Detected { class, score, bounds: Bounds::of_edges([left, 0.0, left + width, 10.0]) }
    }

    /// With more boxes of a class than count, and with boxes that have no area.
    #[test]
    fn a_model_agrees_with_itself() {
        let mut values = Vec::new();
        for i in 0..150_u8 {
            values.extend([20.0 * f32::from(i), 0.0, 20.0 * f32::from(i) + 9.0, 9.0, 0.9 - 0.001 * f32::from(i), 0.0]);
        }
        values.extend([5.0, 5.0, 5.0, 9.0, 0.95, 1.0, 5.0, 5.0, 9.0, 9.0, 0.4, 1.0]);
        let signature = drydock_contract::TensorSignature {
            name: "y".into(),
            datatype: drydock_contract::Datatype::Fp32,
            shape: vec![-1, -1, 6],
        };
        for max_detections in [1, 10, 1000] {
            let layout = Some(drydock_contract::DetectionLayout::Boxes);
            let detection = drydock_contract::Detection { layout, max_detections, ..Default::default() };
            let decoder = Decoder::new(&detection, std::slice::from_ref(&signature), 2).unwrap();
            let output = [Array { shape: &[1, 152, 6], values: &values }];
            let boxes = decoder.decode(&output, LEAST_SCORE, MOST).unwrap().remove(0);
            assert_eq!(boxes.len(), 102, "{max_detections}: 100 of one class, 2 of the other");
            let mut counters = Counters::default();
            counters.add(decoder.score_threshold(), None, [&boxes, &boxes]);
            let (detection, fidelity) = counters.finish(false).unwrap();
            assert_eq!((detection, fidelity.agreement), (None, 100.0), "{max_detections}");
        }
    }

    #[test]
    fn boxes_that_only_one_model_has_are_no_agreement() {
        for (original, candidate, agreement) in [
            (&[][..], &[][..], 100.0),
            (&[], &[detected(0, 0.9, 0.0, 5.0)], 0.0),
            (&[], &[detected(0, 0.1, 0.0, 5.0)], 100.0),
            (&[detected(0, 0.9, 0.0, 5.0)], &[], 0.0),
            (&[detected(0, 0.9, 0.0, 5.0)], &[detected(0, 0.9, 5.0, 5.0)], 0.0),
        ] {
            let mut counters = Counters::default();
            counters.add(0.25, None, [original, candidate]);
            let (_, fidelity) = counters.finish(false).unwrap();
            assert!(
                (fidelity.agreement - agreement).abs() < 1e-9,
                "{original:?} {candidate:?}: {}",
                fidelity.agreement
            );
        }
    }

    #[test]
    fn rows_that_only_fill_a_batch_are_not_in_the_sqnr() {
        let output = |values: [f32; 4]| [Numbers { shape: vec![2, 2, 1], values: values.to_vec() }];
        let mut counters = Counters::default();
        counters.signal(1, [&output([10.0, 0.0, 7.0, 7.0]), &output([9.0, 0.0, 0.0, 0.0])]);
        let (_, fidelity) = counters.finish(false).unwrap();
        assert!((fidelity.sqnr_decibels.unwrap() - 20.0).abs() < 1e-9, "{fidelity:?}");
    }
}
