//! Measures candidates against the original on more and more images.

use drydock_contract::LatencyMeasurement;

use super::estimate::{Bounds, Estimate, change, median};
use crate::Error;
use crate::benchmark::{Comparison, compare};
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::evaluate::{Answers, answers, as_candidate, labels};
use crate::progress::Progress;

/// Of the order in which images are looked at: a data set may be sorted by class.
const SEED: u64 = 7;

#[derive(Debug)]
pub(super) struct Bench<'a> {
    engine: &'a Engine,
    original: &'a [u8],
    output: &'a str,
    data: &'a Dataset,
    /// Of one input.
    shape: &'a [i64],
    order: Vec<usize>,
    classes: usize,
    labels: Vec<u32>,
    /// Which images the original answers right, in `order`.
    right: Vec<bool>,
    /// Median CPU time of the original, in milliseconds. Measured once: speeds of different minutes compare as ratios.
    latency: f64,
}

impl<'a> Bench<'a> {
    pub fn new(
        engine: &'a Engine,
        original: &'a [u8],
        output: &'a str,
        data: &'a Dataset,
        shape: &'a [i64],
    ) -> Result<Self, Error> {
        let mut order: Vec<usize> = (0..data.len()).collect();
        fastrand::Rng::with_seed(SEED).shuffle(&mut order);
        let alone = compare(engine, original, None, shape, 5, &mut Progress::silent())?;
        let latency = alone.latency.cpu;
        Ok(Self {
            engine,
            original,
            output,
            data,
            shape,
            order,
            classes: 0,
            labels: Vec::new(),
            right: Vec::new(),
            latency,
        })
    }

    pub fn images(&self) -> usize {
        self.order.len()
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
        let from = self.right.len();
        if images <= from {
            return Ok(());
        }
        let Answers { classes, named } = self.answers(self.original, from, images)?;
        if self.labels.is_empty() {
            self.classes = classes;
            self.labels = labels(self.data, classes)?.unwrap_or_default();
        }
        let right = self.is_right(&named, from);
        self.right.extend(right);
        Ok(())
    }

    /// `right` is what the candidate's earlier rounds came to, and takes what this one adds.
    pub fn measure(
        &mut self,
        model: &[u8],
        right: &mut Vec<bool>,
        images: usize,
        rounds: u32,
    ) -> Result<Estimate, Error> {
        self.reach(images)?;
        if right.len() < images {
            let from = right.len();
            let Answers { classes, named } = self.answers(model, from, images).map_err(as_candidate)?;
            if classes != self.classes {
                return Err(Error::Classes { original: self.classes, candidate: classes });
            }
            right.extend(self.is_right(&named, from));
        }
        let silent = &mut Progress::silent();
        let Comparison { latency, speedups } =
            compare(self.engine, self.original, Some(model), self.shape, rounds, silent)?;
        let LatencyMeasurement { rounds, .. } = latency;
        let speedup = median(&speedups);
        Ok(Estimate {
            images,
            all_images: images == self.images(),
            top1: percent(&right[..images]),
            change: change(&self.right[..images], &right[..images]),
            rounds: rounds as usize,
            speedup: Bounds { high: speedup.high.max(speedup.value), ..speedup },
            latency_milliseconds: self.latency / speedup.value,
            bytes: model.len() as u64,
            original_bytes: self.original_bytes(),
            memory_bytes: None,
        })
    }

    /// Those of the images `from..to` of the order, in the order.
    fn answers(&self, model: &[u8], from: usize, to: usize) -> Result<Answers, Error> {
        let mut rows: Vec<(usize, usize)> =
            self.order[from..to].iter().enumerate().map(|(place, row)| (*row, place)).collect();
        rows.sort_unstable();
        let rising: Vec<usize> = rows.iter().map(|(row, _)| *row).collect();
        let Answers { classes, named } = answers(self.engine, model, self.output, self.data, &rising)?;
        let mut ordered = vec![None; to - from];
        for ((_, place), class) in rows.into_iter().zip(named) {
            ordered[place] = class;
        }
        Ok(Answers { classes, named: ordered })
    }

    fn is_right(&self, named: &[Option<usize>], from: usize) -> Vec<bool> {
        let label = |row: &usize| self.labels.get(*row).map(|l| *l as usize);
        let rows = self.order[from..].iter();
        rows.zip(named).map(|(row, class)| class.is_some() && *class == label(row)).collect()
    }
}

fn percent(right: &[bool]) -> f64 {
    100.0 * right.iter().filter(|r| **r).count() as f64 / right.len().max(1) as f64
}
