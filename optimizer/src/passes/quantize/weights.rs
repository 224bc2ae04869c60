use super::Scheme;

/// A weight as S8 codes, symmetric: `value = code * scale`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Codes {
    pub codes: Vec<i8>,
    /// One for each channel along the axis, or one.
    pub scales: Vec<f32>,
}

/// Where a weight's output channels lie in its row-major data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Layout {
    pub channels: usize,
    /// Elements between two neighbours along the channel axis.
    pub inner: usize,
}

impl Layout {
    /// `None` if the dimensions are not positive.
    pub(super) fn new(dims: &[i64], axis: usize) -> Option<Self> {
        let size = |d: &[i64]| d.iter().try_fold(1, |n: usize, d| n.checked_mul(usize::try_from(*d).ok()?));
        let layout = Self { channels: usize::try_from(*dims.get(axis)?).ok()?, inner: size(&dims[axis + 1..])? };
        (layout.channels > 0 && layout.inner > 0).then_some(layout)
    }

    pub(super) fn channel(self, position: usize) -> usize {
        position / self.inner % self.channels
    }
}

/// The smallest scales that hold every value of a channel, or of the tensor.
pub(super) fn scales(values: &[f32], layout: Layout, scheme: Scheme) -> Vec<f32> {
    let Scheme { per_channel, rules } = scheme;
    let limit = f32::from(rules.weight_limit);
    let mut largest = vec![0.0_f32; if per_channel { layout.channels } else { 1 }];
    for (i, value) in values.iter().enumerate() {
        let slot = &mut largest[if per_channel { layout.channel(i) } else { 0 }];
        *slot = slot.max(value.abs());
    }
    largest.iter().map(|m| if *m / limit < f32::MIN_POSITIVE { 1.0 } else { *m / limit }).collect()
}

/// Widens the scales where a bias would not fit S32 at scale `input_scale * scale`.
pub(super) fn fit_bias(scales: &mut [f32], bias: &[f32], input_scale: f32) {
    // Half of the S32 range leaves room for the sum that the bias is added to.
    const LIMIT: f64 = (1_u32 << 30) as f64;
    for (channel, b) in bias.iter().enumerate() {
        let slot = if scales.len() == 1 { 0 } else { channel };
        let least = f64::from(b.abs()) / f64::from(input_scale) / LIMIT;
        if f64::from(scales[slot]) < least {
            scales[slot] = least as f32;
        }
    }
}

pub(super) fn encode(values: &[f32], layout: Layout, scales: Vec<f32>, limit: i8) -> Codes {
    let one = scales.len() == 1;
    let codes = values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let scale = scales[if one { 0 } else { layout.channel(i) }];
            (v / scale).round_ties_even().clamp(-f32::from(limit), f32::from(limit)) as i8
        })
        .collect();
    Codes { codes, scales }
}

/// S32 codes of a bias at scale `input_scale * scale`, and those scales.
pub(super) fn encode_bias(bias: &[f32], input_scale: f32, scales: &[f32]) -> (Vec<i32>, Vec<f32>) {
    let bias_scales: Vec<f32> = scales.iter().map(|s| s * input_scale).collect();
    let one = bias_scales.len() == 1;
    let codes = bias
        .iter()
        .enumerate()
        .map(|(c, b)| (f64::from(*b) / f64::from(bias_scales[if one { 0 } else { c }])).round_ties_even() as i32)
        .collect();
    (codes, bias_scales)
}

#[cfg(test)]
mod tests {
    use drydock_contract::Target;

    use super::*;

    const CHANNELS: Scheme = Scheme { per_channel: true, rules: Target::CpuVnni.rules().int8 };

    #[test]
    fn channels_along_any_axis() {
        let values = [1.0, -10.0, 0.5, 5.0, 0.25, 20.0];
        // [3, 2]: rows are channels, then columns are.
        let rows = Layout::new(&[3, 2], 0).unwrap();
        let columns = Layout::new(&[3, 2], 1).unwrap();
        let largest = |s: Vec<f32>| s.iter().map(|s| (s * 127.0 * 100.0).round() / 100.0).collect::<Vec<_>>();
        assert_eq!(largest(scales(&values, rows, CHANNELS)), [10.0, 5.0, 20.0]);
        assert_eq!(largest(scales(&values, columns, CHANNELS)), [1.0, 20.0]);
        assert_eq!(largest(scales(&values, columns, Scheme { per_channel: false, ..CHANNELS })), [20.0]);
        assert_eq!(encode(&values, rows, scales(&values, rows, CHANNELS), 127).codes, [13, -127, 13, 127, 2, 127]);
        for dims in [&[][..], &[0, 2], &[-1, 2], &[2, 0]] {
            assert_eq!(Layout::new(dims, 0), None, "{dims:?}");
        }
    }

    #[test]
    fn a_channel_of_zeros_has_a_scale() {
        let layout = Layout::new(&[2, 1], 0).unwrap();
        assert_eq!(scales(&[0.0, 1e-44], layout, CHANNELS), [1.0, 1.0]);
    }

    #[test]
    fn a_bias_that_would_overflow_widens_its_channel() {
        let mut widened = vec![1e-9, 1e-3];
        fit_bias(&mut widened, &[1000.0, 1.0], 1e-3);
        assert!(widened[0] > 9e-4 && (widened[1] - 1e-3).abs() < 1e-9, "{widened:?}");
        let (codes, _) = encode_bias(&[1000.0, 1.0], 1e-3, &widened);
        assert!((codes[0] - (1 << 30)).abs() < 128 && codes[1] == 1_000_000, "{codes:?}");
    }
}
