//! Top-1 accuracy of a candidate and of the original on the same labelled images.

use drydock_contract::AccuracyMeasurement;

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::{Engine, Session};
use crate::progress::Progress;

const BATCH: usize = 64;

/// Runs both models over the whole set. `candidate: None` measures the original against itself.
///
/// # Errors
/// Labels that do not fit the model; a model that is no classifier; a candidate that does not run.
pub fn evaluate(
    engine: &Engine,
    original: &[u8],
    candidate: Option<&[u8]>,
    output: &str,
    data: &Dataset,
    progress: &mut Progress,
) -> Result<AccuracyMeasurement, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut original = engine.open(original, threads)?;
    let mut candidate = candidate.map(|c| engine.open(c, threads)).transpose().map_err(Error::Candidate)?;
    let mut labels: Option<Vec<u32>> = None;
    let (mut right, mut original_right, mut agree) = (0_u64, 0_u64, 0_u64);
    data.batches(usize::MAX, BATCH, |batch| {
        let expected = classes(&mut original, output, batch.shape, batch.data)?;
        let found = match &mut candidate {
            Some(session) => classes(session, output, batch.shape, batch.data).map_err(as_candidate)?,
            None => expected.clone(),
        };
        let labels = match &mut labels {
            Some(labels) => labels,
            None => labels.insert(data.labels(expected.count)?),
        };
        for row in 0..batch.count {
            let label = labels.get(batch.start + row).map(|l| *l as usize);
            let (original, candidate) = (expected.top[row], found.top[row]);
            original_right += u64::from(original.is_some() && original == label);
            right += u64::from(candidate.is_some() && candidate == label);
            agree += u64::from(candidate.is_some() && candidate == original);
        }
        progress.step("evaluate", batch.start + batch.count, data.len(), "images");
        Ok::<(), Error>(())
    })?;
    let percent = |n: u64| 100.0 * n as f64 / data.len() as f64;
    Ok(AccuracyMeasurement {
        top1: percent(right),
        original_top1: percent(original_right),
        agreement: percent(agree),
        images: data.len() as u64,
        ..AccuracyMeasurement::default()
    })
}

fn as_candidate(e: Error) -> Error {
    match e {
        Error::Engine(e) => Error::Candidate(e),
        other => other,
    }
}

#[derive(Clone)]
struct Classes {
    /// The class with the largest value, by row; none if all are NaN.
    top: Vec<Option<usize>>,
    /// Classes that there are.
    count: usize,
}

fn classes(session: &mut Session, output: &str, shape: &[i64], data: &[f32]) -> Result<Classes, Error> {
    let rows = shape.first().copied().unwrap_or(0);
    let mut result = Err(Error::NotClassifier { output: output.to_owned(), found: Vec::new() });
    session.run(shape, data, [output], |_, found, values| {
        let count = values.len() / (rows.max(1) as usize);
        // (N, classes), or the same with trailing ones.
        let fits = found.len() >= 2 && found[0] == rows && found[1] == count as i64 && count > 0;
        result = if fits {
            Ok(Classes { top: values.chunks(count).map(top).collect(), count })
        } else {
            Err(Error::NotClassifier { output: output.to_owned(), found: found.to_vec() })
        };
    })?;
    result
}

/// Position of the largest value, the first of equals.
fn top(values: &[f32]) -> Option<usize> {
    let best = values.iter().enumerate().filter(|(_, v)| !v.is_nan());
    best.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::top;

    #[test]
    fn the_first_of_the_largest() {
        let nan = f32::NAN;
        for (values, expected) in [
            (&[1.0, 3.0, 2.0][..], Some(1)),
            (&[2.0, 2.0], Some(0)),
            (&[nan, -1.0], Some(1)),
            (&[nan, nan], None),
            (&[f32::NEG_INFINITY], Some(0)),
        ] {
            assert_eq!(top(values), expected, "{values:?}");
        }
    }
}
