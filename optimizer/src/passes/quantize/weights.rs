/// A weight as S8 codes, symmetric: `value = code * scale`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::passes) struct Codes {
    pub codes: Vec<i8>,
    /// One for each channel along the axis, or one.
    pub scales: Vec<f32>,
}

/// Where a weight's output channels lie in its row-major data, and where the inputs of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::passes) struct Layout {
    pub channels: usize,
    /// Inputs of each channel.
    pub inputs: usize,
    /// Elements between two neighbours along the channel axis.
    pub inner: usize,
    /// Places of a convolution's kernel, the last dimensions of its weight.
    places: usize,
}

impl Layout {
    /// Of a weight whose channels are its first dimension, or the second of two. `None` if the dimensions are not positive.
    pub(super) fn new(dims: &[i64], axis: usize) -> Option<Self> {
        let size = |d: &[i64]| d.iter().try_fold(1, |n: usize, d| n.checked_mul(usize::try_from(*d).ok()?));
        let (channels, inner) = (usize::try_from(*dims.get(axis)?).ok()?, size(&dims[axis + 1..])?);
        let (inputs, places) =
            if axis == 0 { (inner, size(dims.get(2..).unwrap_or_default())?) } else { (size(&dims[..axis])?, 1) };
        (channels > 0 && inner > 0 && inputs > 0).then_some(Self { channels, inputs, inner, places })
    }

    /// Of channels one after the other.
    pub(in crate::passes) const fn rows(channels: usize, inputs: usize) -> Self {
        Self { channels, inputs, inner: inputs, places: 1 }
    }

    pub(super) fn channel(self, position: usize) -> usize {
        position / self.inner % self.channels
    }

    /// Where input `i` of a channel lies.
    pub(super) fn at(self, channel: usize, i: usize) -> usize {
        if self.inner == 1 { i * self.channels + channel } else { channel * self.inputs + i }
    }

    /// The input that a kernel multiplies and adds together with input `i`: the kernels of ONNX Runtime read place by place of a
    /// convolution's kernel, and at each place channel by channel, two at a time.
    pub(super) fn partner(self, i: usize) -> Option<usize> {
        let channels = self.inputs / self.places;
        let order = i % self.places * channels + i / self.places;
        let other = order ^ 1;
        (other < self.inputs).then(|| other % channels * self.places + other / channels)
    }

    /// Where the two inputs of each pair of a channel lie.
    fn pairs(self, channel: usize) -> impl Iterator<Item = (usize, usize)> {
        let pair = move |i| Some((i, self.partner(i)?)).filter(|(a, b)| a < b);
        (0..self.inputs).filter_map(pair).map(move |(a, b)| (self.at(channel, a), self.at(channel, b)))
    }
}

/// The codes that a weight may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::passes) struct Limits {
    /// From `-one` to `one`.
    pub one: i8,
    /// Of the sum of two that are added in 16 bits, where they have one sign.
    pub pair: Option<u8>,
}

impl Limits {
    /// Whether a code may stand beside the other of its pair.
    pub(super) fn hold(self, code: i8, other: i8) -> bool {
        let sum = i16::from(code) + i16::from(other);
        let one_sign = (code < 0) == (other < 0);
        let pair = self.pair.is_none_or(|most| !one_sign || sum.unsigned_abs() <= u16::from(most));
        pair && code.unsigned_abs() <= self.one.unsigned_abs()
    }
}

/// The smallest scales that hold every value of a channel, or of the tensor.
pub(in crate::passes) fn scales(values: &[f32], layout: Layout, per_channel: bool, limits: Limits) -> Vec<f32> {
    let least = |channel: usize| {
        let one = (0..layout.inputs).fold(0.0_f32, |m, i| m.max(values[layout.at(channel, i)].abs()));
        let one = one / f32::from(limits.one);
        let Some(most) = limits.pair else { return one };
        let of_one_sign = |(a, b): &(f32, f32)| a.is_sign_negative() == b.is_sign_negative();
        let pairs = layout.pairs(channel).map(|(a, b)| (values[a], values[b])).filter(of_one_sign);
        pairs.fold(one, |m, (a, b)| m.max((a + b).abs() / f32::from(most)))
    };
    let each = (0..layout.channels).map(least);
    let scales: Vec<f32> = if per_channel { each.collect() } else { vec![each.fold(0.0, f32::max)] };
    scales.into_iter().map(|s| if s < f32::MIN_POSITIVE { 1.0 } else { s }).collect()
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

/// The nearest codes. Where two of them are too large together, one goes to the weight's other side.
pub(in crate::passes) fn encode(values: &[f32], layout: Layout, scales: Vec<f32>, limits: Limits) -> Codes {
    let most = f32::from(limits.one);
    let scale = |channel: usize| scales[if scales.len() == 1 { 0 } else { channel }];
    let round = |(i, v): (usize, &f32)| (v / scale(layout.channel(i))).round_ties_even().clamp(-most, most) as i8;
    let mut codes: Vec<i8> = values.iter().enumerate().map(round).collect();
    if limits.pair.is_some() {
        for channel in 0..layout.channels {
            for (a, b) in layout.pairs(channel) {
                while !limits.hold(codes[a], codes[b]) {
                    // By how much a code is beyond its weight: that of the two which is further goes back.
                    let beyond = |i: usize| f32::from(codes[i].unsigned_abs()) - values[i].abs() / scale(channel);
                    let further = if beyond(a) > beyond(b) { a } else { b };
                    codes[further] -= codes[further].signum();
                }
            }
        }
    }
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
    use super::*;

    const ALONE: Limits = Limits { one: 127, pair: None };
    const PAIRS: Limits = Limits { one: 127, pair: Some(128) };

    #[test]
    fn channels_along_any_axis() {
        let values = [1.0, -10.0, 0.5, 5.0, 0.25, 20.0];
        // [3, 2]: rows are channels, then columns are.
        let rows = Layout::new(&[3, 2], 0).unwrap();
        let columns = Layout::new(&[3, 2], 1).unwrap();
        let largest = |s: Vec<f32>| s.iter().map(|s| (s * 127.0 * 100.0).round() / 100.0).collect::<Vec<_>>();
        assert_eq!(largest(scales(&values, rows, true, ALONE)), [10.0, 5.0, 20.0]);
        assert_eq!(largest(scales(&values, columns, true, ALONE)), [1.0, 20.0]);
        assert_eq!(largest(scales(&values, columns, false, ALONE)), [20.0]);
        assert_eq!(encode(&values, rows, scales(&values, rows, true, ALONE), ALONE).codes, [13, -127, 13, 127, 2, 127]);
        for dims in [&[][..], &[0, 2], &[-1, 2], &[2, 0]] {
            assert_eq!(Layout::new(dims, 0), None, "{dims:?}");
        }
    }

    #[test]
    fn a_channel_of_zeros_has_a_scale() {
        let layout = Layout::new(&[2, 1], 0).unwrap();
        assert_eq!(scales(&[0.0, 1e-44], layout, true, PAIRS), [1.0, 1.0]);
    }

    #[test]
    fn pairs_are_neighbours_in_the_order_that_kernels_read() {
        // A convolution of 4 channels and 3 places, one of an odd number of inputs, and the rows and columns of a product.
        for (dims, axis, expected) in [
            (&[1, 4, 3][..], 0, &[(0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11)][..]),
            (&[1, 1, 5], 0, &[(0, 1), (2, 3)]),
            (&[1, 3, 1, 3], 0, &[(0, 3), (1, 6), (2, 5), (4, 7)]),
            (&[1, 4], 0, &[(0, 1), (2, 3)]),
            (&[4, 1], 1, &[(0, 1), (2, 3)]),
        ] {
            let layout = Layout::new(dims, axis).unwrap();
            let mut found: Vec<_> = layout.pairs(0).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{dims:?}");
        }
        let second = Layout::new(&[4, 2], 1).unwrap().pairs(1).collect::<Vec<_>>();
        assert_eq!(second, [(1, 3), (5, 7)]);
    }

    #[test]
    fn no_pair_is_larger_than_its_limit() {
        let layout = Layout::new(&[2, 4], 0).unwrap();
        // The first pair asks for a larger scale, the second has two signs; in the other channel no pair is too large.
        let values = [1.0, 0.6, 1.0, -0.9, 0.5, 0.3, 0.01, 1.0];
        let found = scales(&values, layout, true, PAIRS);
        assert!((found[0] - 1.6 / 128.0).abs() < 1e-6 && (found[1] - 1.01 / 128.0).abs() < 1e-6, "{found:?}");
        assert_eq!(encode(&values, layout, found, PAIRS).codes, [80, 48, 80, -72, 63, 38, 1, 127]);
        assert!((scales(&values, layout, false, PAIRS)[0] - 1.6 / 128.0).abs() < 1e-6);
        // A scale that is too small for both: the one that is further beyond its weight goes back.
        let codes = encode(&[100.6, 28.4, -90.0, -90.0], Layout::new(&[1, 4], 0).unwrap(), vec![1.0], PAIRS).codes;
        assert_eq!(codes, [100, 28, -64, -64]);
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
