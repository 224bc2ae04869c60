//! Measures candidates against the original on more and more images.

use drydock_contract::LatencyMeasurement;
use drydock_detection::{Decoder, Detected};

use super::answered::Answered;
use super::estimate::{Bounds, Estimate, median};
use crate::Error;
use crate::benchmark::{Comparison, compare};
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::evaluate::{Answers, Matches, Truth, answers, as_candidate, detections, finds_something, labels};
use crate::progress::Progress;

/// Of the order in which images are looked at: a data set may be sorted by class.
const SEED: u64 = 7;

#[derive(Debug)]
pub(super) struct Bench<'a> {
    engine: &'a Engine,
    original: &'a [u8],
    judge: Judge<'a>,
    data: &'a Dataset,
    /// Of one input.
    shape: &'a [i64],
    order: Vec<usize>,
    /// What the original answers, in `order`.
    answered: Answered,
    /// Median CPU time of the original, in milliseconds. Measured once: speeds of different minutes compare as ratios.
    latency: f64,
}

/// What tells right from wrong.
#[derive(Debug)]
pub(super) enum Judge<'a> {
    /// Labels; they are read once it is known how many classes the original has.
    Classes { output: &'a str, classes: usize, labels: Vec<u32> },
    /// Boxes, of each image of the data set.
    Boxes { decoder: &'a Decoder, truth: Vec<Vec<Truth>> },
}

impl<'a> Judge<'a> {
    pub fn new(output: &'a str, decoder: Option<&'a Decoder>, data: &Dataset) -> Result<Self, Error> {
        Ok(match decoder {
            Some(decoder) => Self::Boxes { decoder, truth: data.boxes(decoder.classes())?.unwrap_or_default() },
            None => Self::Classes { output, classes: 0, labels: Vec::new() },
        })
    }
}

impl<'a> Bench<'a> {
    pub fn new(
        engine: &'a Engine,
        original: &'a [u8],
        judge: Judge<'a>,
        data: &'a Dataset,
        shape: &'a [i64],
    ) -> Result<Self, Error> {
        let mut order: Vec<usize> = (0..data.len()).collect();
        fastrand::Rng::with_seed(SEED).shuffle(&mut order);
        let alone = compare(engine, original, None, shape, 5, &mut Progress::silent())?;
        let latency = alone.latency.cpu;
        Ok(Self { engine, original, judge, data, shape, order, answered: Answered::default(), latency })
    }

    pub fn images(&self) -> usize {
        self.order.len()
    }

    /// How many of them the original has answered.
    pub fn reached(&self) -> usize {
        self.answered.len()
    }

    pub fn shape(&self) -> &[i64] {
        self.shape
    }

    pub fn original_latency(&self) -> f64 {
        self.latency
    }

    pub fn original_bytes(&self) -> u64 {
        self.original.len() as u64
    }

    /// Has the original answer the first `images`.
    pub fn reach(&mut self, images: usize) -> Result<(), Error> {
        if images <= self.answered.len() {
            return Ok(());
        }
        let mut answered = std::mem::take(&mut self.answered);
        let outcome = self.extend(self.original, &mut answered, images);
        self.answered = answered;
        outcome?;
        if let Answered::Boxes(matches) = &self.answered {
            let map50 = matches.precision(None).map_or(0.0, |p| 100.0 * p.map50);
            finds_something(map50, matches.objects(), self.data)?;
        }
        Ok(())
    }

    /// `answered` is what the candidate's earlier rounds came to, and takes what this one adds.
    pub fn measure(
        &mut self,
        model: &[u8],
        answered: &mut Answered,
        images: usize,
        rounds: u32,
    ) -> Result<Estimate, Error> {
        self.reach(images)?;
        self.extend(model, answered, images).map_err(as_candidate)?;
        let silent = &mut Progress::silent();
        let Comparison { latency, speedups } =
            compare(self.engine, self.original, Some(model), self.shape, rounds, silent)?;
        let LatencyMeasurement { rounds, .. } = latency;
        let speedup = median(&speedups);
        let answered = answered.first(images);
        Ok(Estimate {
            images,
            all_images: images == self.images(),
            accuracy: answered.accuracy(),
            change: self.answered.first(images).change(&answered)?,
            rounds: rounds as usize,
            speedup: Bounds { high: speedup.high.max(speedup.value), ..speedup },
            latency_milliseconds: self.latency / speedup.value,
            bytes: model.len() as u64,
            original_bytes: self.original_bytes(),
            memory_bytes: None,
        })
    }

    /// Has a model answer the images of the order up to `to`.
    fn extend(&mut self, model: &[u8], answered: &mut Answered, to: usize) -> Result<(), Error> {
        let (engine, data, from) = (self.engine, self.data, answered.len());
        if to <= from {
            return Ok(());
        }
        let rows = &self.order[from..to];
        let places = rising(rows);
        let wanted: Vec<usize> = places.iter().map(|place| rows[*place]).collect();
        match &mut self.judge {
            Judge::Classes { output, classes, labels: known } => {
                let Answers { classes: found, named } = answers(engine, model, output, data, &wanted)?;
                if known.is_empty() {
                    (*classes, *known) = (found, labels(data, found)?.unwrap_or_default());
                }
                if found != *classes {
                    return Err(Error::Classes { original: *classes, candidate: found });
                }
                let label = |row: &usize| known.get(*row).map(|l| *l as usize);
                let named = ordered(&places, named);
                let right = rows.iter().zip(named).map(|(row, class)| class.is_some() && class == label(row));
                match answered {
                    Answered::Classes(before) => before.extend(right),
                    Answered::Boxes(_) => *answered = Answered::Classes(right.collect()),
                }
            }
            Judge::Boxes { decoder, truth } => {
                let found: Vec<Vec<Detected>> = ordered(&places, detections(engine, model, decoder, data, &wanted)?);
                let mut matches = match answered {
                    Answered::Boxes(before) => std::mem::take(before),
                    Answered::Classes(_) => Matches::default(),
                };
                for (row, found) in rows.iter().zip(&found) {
                    let truth = truth.get(*row).map_or(&[][..], Vec::as_slice);
                    matches.add(found, truth, decoder.score_threshold());
                }
                matches.sort();
                *answered = Answered::Boxes(matches);
            }
        }
        Ok(())
    }
}

/// Places of the rows, those of the lowest rows first.
fn rising(rows: &[usize]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_unstable_by_key(|place| rows[*place]);
    places
}

/// What came for the places one after another, each in its place.
fn ordered<T: Clone + Default>(places: &[usize], found: Vec<T>) -> Vec<T> {
    let mut ordered = vec![T::default(); places.len()];
    for (place, found) in places.iter().zip(found) {
        ordered[*place] = found;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_rising_order_goes_back_to_its_place() {
        let rows = [7, 2, 9, 4];
        let places = rising(&rows);
        let wanted: Vec<usize> = places.iter().map(|place| rows[*place]).collect();
        assert_eq!(wanted, [2, 4, 7, 9]);
        assert_eq!(ordered(&places, wanted), rows);
    }
}
