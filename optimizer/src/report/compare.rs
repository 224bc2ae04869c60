use std::collections::BTreeMap;

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::{Graph, Shapes};
use crate::passes::cut;
use crate::progress::Progress;
use crate::proto::tensor_proto::DataType;

/// Images in a run: their activations are in memory together.
const BATCH: usize = 4;
/// Bytes of activations, of both graphs, that one run may give.
const CHUNK: u64 = 64 << 20;
/// A value that is off by less is as good as equal, and infinity is no number in JSON.
const MOST_DECIBELS: f64 = 140.0;

/// A value that both graphs have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    pub name: &'v str,
    pub channels_last: bool,
    /// Channels may have a scale of their own: equalization gives them one, and takes it back in the layers that read them.
    pub is_scaled: bool,
}

/// Signal-to-noise ratio of each value, candidate against original; `None` where there is nothing to compare. Of the values
/// whose size can be told, as many at a time as memory allows.
pub(super) fn sqnr(
    engine: &Engine,
    original: &Graph,
    candidate: &Graph,
    values: &[Value<'_>],
    data: &Dataset,
    images: usize,
    progress: &mut Progress,
) -> Result<Vec<Option<f64>>, Error> {
    let shapes = Shapes::infer_batch(original, BATCH as i64)?;
    let bytes = |v: &Value<'_>| -> Option<u64> {
        let sizes = shapes.sizes(v.name).filter(|_| shapes.element(v.name) == Some(DataType::Float))?;
        // Those of a model that takes one batch size are what its batch has.
        Some(sizes.iter().try_fold(8_u64, |n, d| n.checked_mul(u64::try_from(*d).ok()?))?.max(1))
    };
    let known: Vec<(usize, u64)> = values.iter().enumerate().filter_map(|(i, v)| Some((i, bytes(v)?))).collect();
    let mut found = vec![None; values.len()];
    let mut done = 0;
    while done < known.len() {
        let mut total = 0_u64;
        let fits = known[done..].iter().take_while(|(_, bytes)| {
            let first = total == 0;
            total = total.saturating_add(*bytes);
            first || total <= CHUNK
        });
        let count = fits.count();
        let chunk: Vec<usize> = known[done..done + count].iter().map(|(i, _)| *i).collect();
        let mut noises: Vec<Noise> = chunk.iter().map(|_| Noise::default()).collect();
        let names: Vec<&str> = chunk.iter().map(|i| values[*i].name).collect();
        let mut first = engine.open(&cut(original, &names).encode(), 1)?;
        let mut second = engine.open(&cut(candidate, &names).encode(), 1)?;
        data.batches(images, BATCH, |batch| {
            let mut expected: BTreeMap<&str, (Vec<i64>, Vec<f32>)> = BTreeMap::new();
            first.run(batch.shape, batch.data, names.iter().copied(), |name, shape, values| {
                expected.insert(name, (shape.to_vec(), values.to_vec()));
            })?;
            let mut at = 0;
            second.run(batch.shape, batch.data, names.iter().copied(), |name, shape, values_found| {
                if let Some((expected_shape, expected)) = expected.get(name) {
                    let pair = (expected_shape.as_slice() == shape).then_some((expected.as_slice(), values_found));
                    noises[at].add(shape, values[chunk[at]].channels_last, batch.count, pair);
                }
                at += 1;
            })?;
            Ok::<(), Error>(())
        })?;
        for (i, noise) in chunk.iter().zip(noises) {
            found[*i] = noise.decibels(values[*i].is_scaled);
        }
        done += count;
        progress.step("compare layers", done, known.len(), "layers");
    }
    Ok(found)
}

/// Sums of one value, channel by channel.
#[derive(Clone, Debug, Default)]
struct Noise {
    channels: Vec<Sums>,
    is_other: bool,
}

/// Of products of original (o) and candidate (c).
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    oo: f64,
    oc: f64,
    cc: f64,
}

impl Noise {
    /// `pair: None`: the shapes differ.
    fn add(&mut self, shape: &[i64], channels_last: bool, items: usize, pair: Option<(&[f32], &[f32])>) {
        let Some((original, candidate)) = pair else {
            self.is_other = true;
            return;
        };
        let sizes: Vec<usize> = shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
        let axis = if channels_last { sizes.len().saturating_sub(1) } else { 1 };
        let channels = sizes.get(axis).copied().filter(|_| axis > 0).unwrap_or(1).max(1);
        let inner = sizes.get(axis + 1..).unwrap_or_default().iter().product::<usize>().max(1);
        // The last items of a model with one batch size only are copies.
        let counted = original.len() / sizes.first().copied().unwrap_or(1).max(1) * items;
        self.channels.resize(channels, Sums::default());
        let runs = original.chunks(inner).zip(candidate.chunks(inner)).take(counted.div_ceil(inner));
        for (run, (original, candidate)) in runs.enumerate() {
            let sums = &mut self.channels[run % channels];
            for (o, c) in original.iter().zip(candidate) {
                let (o, c) = (f64::from(*o), f64::from(*c));
                sums.oo += o * o;
                sums.oc += o * c;
                sums.cc += c * c;
            }
        }
    }

    fn decibels(&self, is_scaled: bool) -> Option<f64> {
        if self.is_other {
            return None;
        }
        let noise = |s: &Sums| {
            if !is_scaled {
                return s.oo - 2.0 * s.oc + s.cc;
            }
            // What is left of the original once the candidate is scaled to be nearest to it.
            if s.cc > 0.0 { s.oo - s.oc * s.oc / s.cc } else { s.oo }
        };
        let signal: f64 = self.channels.iter().map(|s| s.oo).sum();
        let noise: f64 = self.channels.iter().map(noise).sum();
        let least = signal * 10_f64.powf(-MOST_DECIBELS / 10.0);
        Some(10.0 * (signal / noise.max(least)).log10()).filter(|d| d.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(shape: &[i64], channels_last: bool, items: usize, pair: (&[f32], &[f32])) -> Noise {
        let mut noise = Noise::default();
        noise.add(shape, channels_last, items, Some(pair));
        noise
    }

    #[test]
    fn channels_with_a_scale_of_their_own() {
        // Two items of two channels of two: the second channel is twice as large, the last value is off by 1.
        let original = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let candidate = [1.0, 2.0, 6.0, 8.0, 5.0, 6.0, 14.0, 17.0];
        let found = noise(&[2, 2, 2], false, 2, (&original, &candidate));
        assert_eq!(found.channels.len(), 2);
        let second = (9 + 16 + 49 + 64, 18 + 32 + 98 + 136, 36 + 64 + 196 + 289);
        let left = f64::from(second.0) - f64::from(second.1).powi(2) / f64::from(second.2);
        let expected = 10.0 * (204.0 / left).log10();
        assert!((found.decibels(true).unwrap() - expected).abs() < 1e-6, "{found:?}");
        let plain = 10.0 * (204.0_f64 / (9.0 + 16.0 + 49.0 + 81.0)).log10();
        assert!((found.decibels(false).unwrap() - plain).abs() < 1e-9, "{found:?}");

        let last = noise(&[4, 2], true, 4, (&original, &original));
        assert_eq!((last.channels.len(), last.decibels(true)), (2, Some(MOST_DECIBELS)));
    }

    #[test]
    fn copies_at_the_end_other_shapes_and_silence_say_nothing() {
        let found = noise(&[2, 2], true, 1, (&[1.0, 1.0, 1.0, 1.0], &[1.0, 1.0, 9.0, 9.0]));
        assert_eq!(found.decibels(false), Some(MOST_DECIBELS));
        assert_eq!(noise(&[1, 2], true, 1, (&[0.0, 0.0], &[0.0, 0.0])).decibels(true), None);
        assert_eq!(noise(&[1, 2], true, 1, (&[f32::NAN, 0.0], &[0.0, 0.0])).decibels(true), None);
        let mut other = Noise::default();
        other.add(&[1, 2], true, 1, None);
        assert_eq!(other.decibels(true), None);
    }
}
