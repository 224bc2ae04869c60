use crate::passes::Extent;

/// The extent of each channel, as data comes.
#[derive(Debug, Default)]
pub(super) struct ExtentCollector(Option<Extent>);

impl ExtentCollector {
    pub(super) fn add(&mut self, shape: &[i64], values: &[f32]) {
        if values.is_empty() {
            return;
        }
        let second = shape.get(1).map_or(1, |d| *d as usize);
        let channels = if shape.len() >= 2 && second > 0 { second } else { 1 };
        let batch = shape.first().map_or(1, |d| *d as usize).max(1);
        let inner = (values.len() / (channels * batch)).max(1);
        let fresh = || Extent { rank: shape.len(), channels: vec![(f32::INFINITY, f32::NEG_INFINITY); channels] };
        let extent = self.0.get_or_insert_with(fresh);
        if extent.channels.len() != channels {
            // Sizes that vary are no channels.
            let (low, high) = extent.range();
            extent.channels = vec![(low, high)];
        }
        let count = extent.channels.len();
        for (i, run) in values.chunks(inner).enumerate() {
            let (low, high) = &mut extent.channels[if count == 1 { 0 } else { i % count }];
            let (min, max) = of(run);
            // Not min and max: they would lose a NaN.
            *low = if min < *low || min.is_nan() { min } else { *low };
            *high = if max > *high || max.is_nan() { max } else { *high };
        }
    }

    pub(super) fn finish(self) -> Option<Extent> {
        self.0
    }
}

/// Smallest and largest value; NaN if there is one among them.
pub(super) fn of(values: &[f32]) -> (f32, f32) {
    // Eight lanes that the compiler turns into vector instructions. A NaN is lost by min and max, but not by the sum.
    let (chunks, rest) = values.as_chunks::<8>();
    let mut low = [f32::INFINITY; 8];
    let mut high = [f32::NEG_INFINITY; 8];
    let mut zero = [0.0_f32; 8];
    for chunk in chunks {
        for lane in 0..8 {
            low[lane] = if chunk[lane] < low[lane] { chunk[lane] } else { low[lane] };
            high[lane] = if chunk[lane] > high[lane] { chunk[lane] } else { high[lane] };
            zero[lane] += chunk[lane] * 0.0;
        }
    }
    let all = low.iter().chain(rest).fold(f32::INFINITY, |a, b| a.min(*b));
    let most = high.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let poison: f32 = zero.iter().sum::<f32>() + rest.iter().map(|v| v * 0.0).sum::<f32>();
    if poison.is_nan() { (f32::NAN, f32::NAN) } else { (all, most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents() {
        let many: Vec<f32> = (-5..20_i16).map(f32::from).collect();
        assert_eq!(of(&many), (-5.0, 19.0));
        assert_eq!(of(&[2.0]), (2.0, 2.0));
        for at in [0, 7, 24] {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut values = many.clone();
                values[at] = bad;
                assert!(of(&values).0.is_nan(), "{bad} at {at}");
            }
        }
    }

    #[test]
    fn extents_by_channel() {
        let mut collector = ExtentCollector::default();
        collector.add(&[2, 2, 2], &[1.0, 2.0, -3.0, 4.0, 0.5, 9.0, -4.0, 1.0]);
        let extent = collector.0.clone().unwrap();
        assert_eq!((extent.rank, extent.channels.as_slice()), (3, &[(0.5, 9.0), (-4.0, 4.0)][..]));
        // A sequence of another length: no channels any more.
        collector.add(&[1, 4], &[1.0, -7.0, 3.0, 11.0]);
        assert_eq!(collector.0.clone().unwrap().channels, [(-7.0, 11.0)]);
        collector.add(&[1, 4], &[1.0, f32::NAN, 3.0, 2.0]);
        collector.add(&[1, 4], &[1.0; 4]);
        assert!(collector.0.unwrap().range().0.is_nan());
    }
}
