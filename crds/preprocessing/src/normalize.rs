use drydock_contract::Preprocessing;

use crate::error::PreprocessingError;
use crate::layout;

/// `(value * scale - mean[c]) / std[c]`, computed in f64 and rounded once.
#[derive(Clone, Debug)]
pub struct Normalizer {
    scale: f64,
    /// Mean and standard deviation of each channel, or of all.
    channels: Vec<(f64, f64)>,
    /// Values in turn that belong to one channel.
    size: usize,
    /// What each byte becomes, for each of `channels`.
    tables: Vec<Vec<f32>>,
}

impl Normalizer {
    /// `item` is the shape of one input, without the batch.
    ///
    /// # Errors
    /// Neither one value nor one for each channel; a division by zero.
    pub fn new(preprocessing: &Preprocessing, item: &[i64]) -> Result<Self, PreprocessingError> {
        let (channels, size) = layout::channels(item);
        let Preprocessing { scale, mean, std, .. } = preprocessing;
        for (field, values) in [("mean", mean), ("std", std)] {
            if values.len() > 1 && values.len() != channels {
                return Err(PreprocessingError::Values { field, found: values.len(), channels });
            }
        }
        let at = |values: &[f64], default: f64, c: usize| values.get(c).or(values.first()).copied().unwrap_or(default);
        let count = if mean.len() <= 1 && std.len() <= 1 { 1 } else { channels };
        let channels: Vec<(f64, f64)> = (0..count).map(|c| (at(mean, 0.0, c), at(std, 1.0, c))).collect();
        let tables: Vec<Vec<f32>> =
            channels.iter().map(|c| (0..=u8::MAX).map(|v| apply(*scale, f64::from(v), *c)).collect()).collect();
        let finite = tables.iter().all(|t| t.iter().all(|v| v.is_finite()));
        if finite { Ok(Self { scale: *scale, channels, size, tables }) } else { Err(PreprocessingError::NotFinite) }
    }

    /// One input, or several one after another, of bytes.
    pub fn bytes(&self, raw: &[u8], out: &mut [f32]) {
        for (i, (raw, out)) in raw.chunks(self.size).zip(out.chunks_mut(self.size)).enumerate() {
            let table = &self.tables[i % self.tables.len()];
            for (v, o) in raw.iter().zip(out) {
                *o = table[usize::from(*v)];
            }
        }
    }

    /// The same of little-endian float32.
    pub fn floats(&self, raw: &[u8], out: &mut [f32]) {
        let values = raw.as_chunks::<4>().0;
        for (i, (raw, out)) in values.chunks(self.size).zip(out.chunks_mut(self.size)).enumerate() {
            let channel = self.channels[i % self.channels.len()];
            for (v, o) in raw.iter().zip(out) {
                *o = apply(self.scale, f64::from(f32::from_le_bytes(*v)), channel);
            }
        }
    }

    pub(crate) fn table(&self, channel: usize) -> &[f32] {
        &self.tables[channel % self.tables.len()]
    }
}

fn apply(scale: f64, value: f64, (mean, std): (f64, f64)) -> f32 {
    ((value * scale - mean) / std) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "exact in binary")]
    fn one_value_for_all_or_one_for_each_channel() {
        let each = Preprocessing { scale: 0.5, mean: vec![1.0, 2.0], std: vec![2.0], ..Preprocessing::default() };
        let made = Normalizer::new(&each, &[2, 2]).unwrap();
        let mut out = [0.0; 4];
        made.bytes(&[2, 4, 6, 8], &mut out);
        assert_eq!(out, [0.0, 0.5, 0.5, 1.0]);
        let raw: Vec<u8> = [2.0_f32, 4.0, 6.0, 8.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        made.floats(&raw, &mut out);
        assert_eq!(out, [0.0, 0.5, 0.5, 1.0]);

        let found = Normalizer::new(&each, &[3, 2]).unwrap_err();
        assert_eq!(found, PreprocessingError::Values { field: "mean", found: 2, channels: 3 });
        let zero = Preprocessing { scale: 1.0, std: vec![0.0], ..Preprocessing::default() };
        assert_eq!(Normalizer::new(&zero, &[2]).unwrap_err(), PreprocessingError::NotFinite);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "exact in binary")]
    fn channels_may_be_last() {
        let each = Preprocessing { scale: 1.0, mean: vec![1.0, 2.0, 3.0], ..Preprocessing::default() };
        let mut out = [0.0; 6];
        Normalizer::new(&each, &[2, 1, 3]).unwrap().bytes(&[1, 2, 3, 2, 3, 4], &mut out);
        assert_eq!(out, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }
}
