//! What a candidate answers beside what the original answers, on the same images.

mod answers;
mod baseline;
mod changes;
mod detection;
mod paired;
mod probabilities;
mod tally;

use drydock_contract::{AccuracyMeasurement, Baseline, DetectionMeasurement, FidelityMeasurement};

use crate::Error;
use crate::dataset::{Dataset, DatasetError};
use crate::engine::{Engine, Session};
use crate::progress::Progress;
pub use answers::{Answers, answers};
use baseline::BaselineCollector;
pub use changes::{Answer, Changes, Sample};
pub use detection::{Matches, Precision, Truth, difference, evaluate_detector};
pub(crate) use detection::{detections, finds_something};
pub use paired::{Interval, McNemar, difference_interval};
pub use tally::{Cell, Confusion, Tally};

const BATCH: usize = 64;

/// What a pass over the evaluation set came to.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Needs labels.
    pub accuracy: Option<AccuracyMeasurement>,
    /// Of a detector; needs boxes.
    pub detection: Option<DetectionMeasurement>,
    pub fidelity: FidelityMeasurement,
    /// Needs labels.
    pub confusion: Option<Confusion>,
    /// Of the candidate's answers.
    pub baseline: Option<Baseline>,
    pub changes: Changes,
}

/// What is counted as the images go by.
struct Counters {
    tally: Tally,
    labels: Option<Vec<u32>>,
    /// Of one class for each image.
    baseline: Option<BaselineCollector>,
    changes: Changes,
}

impl Counters {
    /// Whether there are labels, and which there may be, is known once the model has answered.
    fn new(data: &Dataset, answered: &Scores) -> Result<Self, Error> {
        let classes = answered.classes;
        let labels = labels(data, classes)?;
        if labels.is_some() || data.require_boxes().is_ok() {
            answered.of_whole_images()?;
        }
        let softmax = !probabilities::are_probabilities(answered.values.get(..classes).unwrap_or_default());
        Ok(Self {
            tally: Tally::new(classes),
            labels,
            baseline: answered
                .of_whole_images()
                .is_ok()
                .then(|| BaselineCollector::new(data.item_shape(), classes, softmax)),
            changes: Changes::new(softmax),
        })
    }
}

/// Runs both models over the whole set. `candidate: None` measures the original against itself.
///
/// # Errors
/// Labels that do not fit the model, or are all the same, or of a model that does not name one class for each image; a candidate that does not run.
pub fn evaluate(
    engine: &Engine,
    original: &[u8],
    candidate: Option<&[u8]>,
    output: &str,
    data: &Dataset,
    progress: &mut Progress,
) -> Result<Evaluation, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut original = engine.open(original, threads)?;
    let mut candidate = candidate.map(|c| engine.open(c, threads)).transpose().map_err(Error::Candidate)?;
    let mut counters: Option<Counters> = None;
    data.batches(usize::MAX, BATCH, |batch| {
        let expected = any_scores(&mut original, output, batch.shape, batch.data)?;
        let found = match &mut candidate {
            Some(session) => Some(any_scores(session, output, batch.shape, batch.data).map_err(as_candidate)?),
            None => None,
        };
        let found = found.as_ref().unwrap_or(&expected);
        if found.width() != expected.width() {
            return Err(Error::Classes { original: expected.width(), candidate: found.width() });
        }
        let counters = match &mut counters {
            Some(counters) => counters,
            None => counters.insert(Counters::new(data, &expected)?),
        };
        let width = expected.width();
        let rows = expected.values.chunks(width).zip(found.values.chunks(width));
        let inputs = batch.data.chunks(data.item_shape().iter().product::<i64>().max(1) as usize);
        for (row, ((original, candidate), input)) in rows.zip(inputs).take(batch.count).enumerate() {
            let Some(baseline) = &mut counters.baseline else {
                counters.tally.add_places(original, candidate);
                continue;
            };
            let index = batch.start + row;
            let label = counters.labels.as_ref().and_then(|l| l.get(index)).map(|l| *l as usize);
            counters.tally.add(label, original, candidate);
            baseline.add(input, candidate);
            counters.changes.add(index, label, input, [original, candidate]);
        }
        progress.step("evaluate", batch.start + batch.count, data.len(), "images");
        Ok::<(), Error>(())
    })?;
    let Some(Counters { tally, labels, baseline, changes }) = counters else { return Ok(Tally::new(1).finish()) };
    if labels.is_none() {
        progress.note("the evaluation data has no labels: agreement and SQNR are measured, accuracy is not");
    }
    Ok(Evaluation { baseline: baseline.map(BaselineCollector::finish), changes, ..tally.finish() })
}

/// None if there are none.
pub(crate) fn labels(data: &Dataset, classes: usize) -> Result<Option<Vec<u32>>, Error> {
    let labels = match data.labels(classes) {
        Ok(labels) => labels,
        Err(DatasetError::NoLabels { .. }) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match labels.split_first() {
        Some((first, rest)) if !rest.is_empty() && rest.iter().all(|l| l == first) => {
            Err(DatasetError::OneClass { path: data.path().to_owned(), class: *first, images: labels.len() }.into())
        }
        _ => Ok(Some(labels)),
    }
}

pub(crate) fn as_candidate(e: Error) -> Error {
    match e {
        Error::Engine(e) => Error::Candidate(e),
        Error::Detection(e) => Error::Recipe(format!("the recipe's result is not usable: {e}")),
        other => other,
    }
}

/// Scores of each class, image after image; in an image of each class in turn, where there are more places than one.
struct Scores {
    output: String,
    shape: Vec<i64>,
    values: Vec<f32>,
    classes: usize,
}

impl Scores {
    /// Values of one image.
    fn width(&self) -> usize {
        self.shape[1..].iter().product::<i64>() as usize
    }

    fn of_whole_images(&self) -> Result<(), Error> {
        if self.width() == self.classes {
            return Ok(());
        }
        Err(Error::NotClassifier { output: self.output.clone(), found: self.shape.clone() })
    }
}

/// Of one class for each image: (N, classes), or the same with trailing ones.
fn scores(session: &mut Session, output: &str, shape: &[i64], data: &[f32]) -> Result<Scores, Error> {
    let found = any_scores(session, output, shape, data)?;
    found.of_whole_images()?;
    Ok(found)
}

/// (N, classes), or (N, classes, height, width) with a class for each place of an image. Of fewer dimensions are boxes and sequences, and of one
/// channel are maps of something else.
fn any_scores(session: &mut Session, output: &str, shape: &[i64], data: &[f32]) -> Result<Scores, Error> {
    let rows = shape.first().copied().unwrap_or(0);
    let mut result = Err(Error::NotClassifier { output: output.to_owned(), found: Vec::new() });
    session.run(shape, data, [output], |_, found, values| {
        let fits = found.len() >= 2 && found[0] == rows && !values.is_empty();
        let places = values.len() as i64 / (rows * found.get(1).copied().unwrap_or(1)).max(1);
        result = if fits && (places == 1 || (found.len() >= 4 && found[1] >= 2)) {
            let classes = found[1] as usize;
            Ok(Scores { output: output.to_owned(), shape: found.to_vec(), values: values.to_vec(), classes })
        } else {
            Err(Error::NotClassifier { output: output.to_owned(), found: found.to_vec() })
        };
    })?;
    result
}
