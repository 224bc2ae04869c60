use std::time::Duration;

use super::{Subject, input, quantile};
use crate::Error;
use crate::engine::Engine;
use crate::interrupt;

/// Short: single layers take microseconds, and there are many of them.
const TURN: Duration = Duration::from_millis(2);
const ROUNDS: u32 = 11;

/// Milliseconds of CPU that one inference of each model takes on one thread: the median of turns that they take by turns. All
/// read one input of this shape.
///
/// # Errors
/// A model that ONNX Runtime does not load or run.
pub(crate) fn cpu_times(engine: &Engine, models: &[Vec<u8>], shape: &[i64]) -> Result<Vec<f64>, Error> {
    let input = input(shape);
    let mut subjects = models
        .iter()
        .map(|model| Ok(Subject::new(engine.open(model, 1)?, shape, &input, None).turns_of(TURN)))
        .collect::<Result<Vec<_>, Error>>()?;
    for subject in &mut subjects {
        subject.warm_up()?;
    }
    for _ in 0..ROUNDS {
        interrupt::check()?;
        for subject in &mut subjects {
            subject.turn()?;
        }
    }
    Ok(subjects.into_iter().map(|mut s| quantile(&mut s.cpu, 0.5)).collect())
}
