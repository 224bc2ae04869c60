/// Maps values to places in a drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Over all of the values, with a tenth of room on both sides; `from` and `to` are where its ends lie. `None` where no
    /// value is a number.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        // One value alone needs some room too.
        let room = if high > low { (high - low) / 10.0 } else { low.abs().max(1.0) * 0.005 };
        (low <= high).then_some(Self { low: low - room, high: high + room, from, to })
    }

    pub(super) fn at(self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers, some five of them, and the decimals that tell them apart.
    pub(super) fn ticks(self) -> (Vec<f64>, usize) {
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        ((first..=last).take(20).map(|i| i as f64 * step).collect(), decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_within_the_range() {
        for (values, expected, decimals) in [
            (&[0.0, 10.0][..], &[0.0, 5.0, 10.0][..], 0),
            (&[91.4, 91.9], &[91.4, 91.6, 91.8], 1),
            (&[1.0, 3.9], &[1.0, 2.0, 3.0, 4.0], 0),
            (&[f64::NAN, 100.0], &[99.6, 99.8, 100.0, 100.2, 100.4], 1),
        ] {
            let axis = Axis::over(values.iter().copied(), 0.0, 1.0).unwrap();
            let (ticks, found) = axis.ticks();
            let near = ticks.iter().zip(expected).all(|(t, e)| (t - e).abs() < 1e-9);
            assert!(ticks.len() == expected.len() && near && found == decimals, "{values:?}: {ticks:?} {found}");
            assert!(ticks.iter().all(|t| (0.0..=1.0).contains(&axis.at(*t))), "{values:?}");
        }
        assert!(Axis::over([f64::NAN], 0.0, 1.0).is_none());
    }
}
