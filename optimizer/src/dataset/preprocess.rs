use drydock_contract::Preprocessing;

/// `(value * scale - mean[c]) / std[c]`, computed in f64 and rounded once.
#[derive(Clone, Debug)]
pub(super) struct Normalizer {
    scale: f64,
    /// Mean and standard deviation of each channel, or of all.
    channels: Vec<(f64, f64)>,
}

impl Normalizer {
    /// `Err` says what was found in place of one value or one for each channel.
    pub(super) fn new(preprocessing: &Preprocessing, channels: usize) -> Result<Self, String> {
        let at = |values: &[f64], default: f64, c: usize| match values {
            [] => default,
            [one] => *one,
            many => many[c],
        };
        for (name, values) in [("mean", &preprocessing.mean), ("std", &preprocessing.std)] {
            if values.len() > 1 && values.len() != channels {
                return Err(format!("{} values of preprocessing.{name}", values.len()));
            }
        }
        let one = preprocessing.mean.len() <= 1 && preprocessing.std.len() <= 1;
        let count = if one { 1 } else { channels };
        let pairs = (0..count).map(|c| (at(&preprocessing.mean, 0.0, c), at(&preprocessing.std, 1.0, c))).collect();
        let made = Self { scale: preprocessing.scale, channels: pairs };
        // A zero in `std`, or a number that is none.
        let finite = |c: &(f64, f64)| made.apply(0.0, *c).is_finite() && made.apply(255.0, *c).is_finite();
        if made.channels.iter().all(finite) { Ok(made) } else { Err("preprocessing that gives infinity or NaN".into()) }
    }

    fn apply(&self, value: f64, (mean, std): (f64, f64)) -> f32 {
        ((value * self.scale - mean) / std) as f32
    }

    /// `size` elements in turn belong to each channel.
    pub(super) fn bytes(&self, raw: &[u8], out: &mut [f32], size: usize) {
        // 256 possible values: look them up.
        let tables: Vec<Vec<f32>> =
            self.channels.iter().map(|c| (0..=u8::MAX).map(|v| self.apply(f64::from(v), *c)).collect()).collect();
        for (i, (raw, out)) in raw.chunks(size).zip(out.chunks_mut(size)).enumerate() {
            let table = &tables[i % tables.len()];
            for (v, o) in raw.iter().zip(out) {
                *o = table[usize::from(*v)];
            }
        }
    }

    pub(super) fn floats(&self, raw: &[u8], out: &mut [f32], size: usize) {
        let values = raw.as_chunks::<4>().0;
        for (i, (raw, out)) in values.chunks(size).zip(out.chunks_mut(size)).enumerate() {
            let channel = self.channels[i % self.channels.len()];
            for (v, o) in raw.iter().zip(out) {
                *o = self.apply(f64::from(f32::from_le_bytes(*v)), channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "exact in binary")]
    fn one_value_for_all_or_one_for_each_channel() {
        let each = Preprocessing { scale: 0.5, mean: vec![1.0, 2.0], std: vec![2.0] };
        let mut out = [0.0; 4];
        Normalizer::new(&each, 2).unwrap().bytes(&[2, 4, 6, 8], &mut out, 2);
        assert_eq!(out, [0.0, 0.5, 0.5, 1.0]);
        let raw: Vec<u8> = [2.0_f32, 4.0, 6.0, 8.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        Normalizer::new(&each, 2).unwrap().floats(&raw, &mut out, 2);
        assert_eq!(out, [0.0, 0.5, 0.5, 1.0]);

        let found = Normalizer::new(&each, 3).unwrap_err();
        assert_eq!(found, "2 values of preprocessing.mean");
    }
}
