//! What one model says of some images of a data set.

use super::tally::top;
use super::{BATCH, scores};
use crate::Error;
use crate::dataset::Dataset;
use crate::engine::{Engine, Session};

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
    let mut gathering = Gathering {
        session: engine.open(model, threads)?,
        output,
        shape: Vec::new(),
        held: Vec::new(),
        found: Answers::default(),
    };
    let mut wanted = rows.iter().copied().peekable();
    data.batches(rows.last().map_or(0, |row| row + 1), BATCH, |batch| {
        if gathering.shape.is_empty() {
            gathering.shape = batch.shape.to_vec();
        }
        let width = gathering.width();
        while let Some(row) = wanted.next_if(|row| *row < batch.start + batch.count) {
            let at = (row - batch.start) * width;
            gathering.add(&batch.data[at..at + width])?;
        }
        Ok::<(), Error>(())
    })?;
    gathering.run()?;
    Ok(gathering.found)
}

/// Fills batches of the size that the data set gives the model.
struct Gathering<'o> {
    session: Session,
    output: &'o str,
    shape: Vec<i64>,
    held: Vec<f32>,
    found: Answers,
}

impl Gathering<'_> {
    /// Values of one image.
    fn width(&self) -> usize {
        self.shape.get(1..).unwrap_or_default().iter().product::<i64>().max(1) as usize
    }

    fn rows(&self) -> usize {
        self.shape.first().map_or(0, |rows| *rows as usize)
    }

    fn add(&mut self, image: &[f32]) -> Result<(), Error> {
        self.held.extend_from_slice(image);
        if self.held.len() < self.rows() * image.len() { Ok(()) } else { self.run() }
    }

    fn run(&mut self) -> Result<(), Error> {
        let width = self.width();
        let count = self.held.len() / width;
        if count == 0 {
            return Ok(());
        }
        // Some models take one batch size only.
        for _ in count..self.rows() {
            self.held.extend_from_within((count - 1) * width..count * width);
        }
        let scores = scores(&mut self.session, self.output, &self.shape, &self.held)?;
        self.found.classes = scores.classes;
        self.found.named.extend(scores.values.chunks(scores.classes).take(count).map(top));
        self.held.clear();
        Ok(())
    }
}
