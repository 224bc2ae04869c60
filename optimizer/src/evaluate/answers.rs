//! What one model says of some images of a data set.

use drydock_preprocessing::Placement;

use super::tally::top;
use super::{BATCH, Scores, scores};
use crate::Error;
use crate::dataset::{Batch, Dataset};
use crate::engine::Engine;

/// The class that is named for each image, `None` where all scores are NaN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many the model knows; 0 where it was asked nothing.
    pub classes: usize,
    pub named: Vec<Option<usize>>,
}

/// Runs the model on the images at `rows`, which rise, and on no others.
pub fn answers(engine: &Engine, model: &[u8], output: &str, data: &Dataset, rows: &[usize]) -> Result<Answers, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut session = engine.open(model, threads)?;
    let mut found = Answers::default();
    gather(data, rows, BATCH, |batch| {
        let Scores { values, classes, .. } = scores(&mut session, output, batch.shape, batch.data)?;
        found.classes = classes;
        found.named.extend(values.chunks(classes).take(batch.count).map(top));
        Ok(())
    })?;
    Ok(found)
}

/// Hands the images at `rows`, which rise, to `ask`: in batches of `size`, or of what the data set gives the model. They are numbered as
/// they come.
pub(super) fn gather(
    data: &Dataset,
    rows: &[usize],
    size: usize,
    mut ask: impl FnMut(&Batch<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut held = Held::default();
    let mut wanted = rows.iter().copied().peekable();
    data.batches(rows.last().map_or(0, |row| row + 1), size, |batch| {
        if held.shape.is_empty() {
            held.shape = batch.shape.to_vec();
        }
        let width = held.width();
        while let Some(row) = wanted.next_if(|row| *row < batch.start + batch.count) {
            let at = row - batch.start;
            held.data.extend_from_slice(&batch.data[at * width..(at + 1) * width]);
            held.placements.extend(batch.placements.get(at).copied());
            if held.is_full() {
                held.hand_out(&mut ask)?;
            }
        }
        Ok::<(), Error>(())
    })?;
    held.hand_out(&mut ask)
}

/// Images that wait until they are a batch.
#[derive(Default)]
struct Held {
    shape: Vec<i64>,
    data: Vec<f32>,
    placements: Vec<Placement>,
    handed_out: usize,
}

impl Held {
    /// Values of one image.
    fn width(&self) -> usize {
        self.shape.get(1..).unwrap_or_default().iter().product::<i64>().max(1) as usize
    }

    fn rows(&self) -> usize {
        self.shape.first().map_or(0, |rows| *rows as usize)
    }

    fn is_full(&self) -> bool {
        self.data.len() >= self.rows() * self.width()
    }

    fn hand_out(&mut self, ask: &mut impl FnMut(&Batch<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let width = self.width();
        let count = self.data.len() / width;
        if count == 0 {
            return Ok(());
        }
        // Some models take one batch size only.
        for _ in count..self.rows() {
            self.data.extend_from_within((count - 1) * width..count * width);
        }
        let Self { shape, data, placements, handed_out } = self;
        ask(&Batch { shape, data, start: *handed_out, count, placements })?;
        *handed_out += count;
        data.clear();
        placements.clear();
        Ok(())
    }
}
