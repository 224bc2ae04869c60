/// U8 quantization of an activation: `value = (code - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    pub scale: f32,
    pub zero_point: u8,
}

impl Affine {
    /// The codes 0 to 255 over the range, which is widened to hold 0: padding and ReLU need an exact zero.
    pub fn over(min: f32, max: f32) -> Self {
        let (min, max) = (f64::from(min).min(0.0), f64::from(max).max(0.0));
        let scale = (max - min) / 255.0;
        // Below the smallest normal number a scale is as good as 0, and 0 would divide.
        if scale < f64::from(f32::MIN_POSITIVE) {
            return Self { scale: 1.0, zero_point: 0 };
        }
        Self { scale: scale as f32, zero_point: (-min / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }

    pub fn quantize(self, value: f32) -> u8 {
        ((value / self.scale).round_ties_even() + f32::from(self.zero_point)).clamp(0.0, 255.0) as u8
    }

    /// The smallest and the largest value that a code stands for.
    pub fn reach(self) -> (f32, f32) {
        let zero = f32::from(self.zero_point);
        (-zero * self.scale, (255.0 - zero) * self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_their_codes() {
        for (min, max, scale, zero_point) in [
            (0.0, 255.0, 1.0, 0),
            (-255.0, 0.0, 1.0, 255),
            (-1.0, 1.0, 2.0 / 255.0, 128),
            (2.0, 5.1, 0.02, 0),
            (-5.1, -2.0, 0.02, 255),
            (0.0, 6.0, 6.0 / 255.0, 0),
            (0.0, 0.0, 1.0, 0),
            (0.0, 1e-44, 1.0, 0),
        ] {
            let affine = Affine::over(min, max);
            assert!((affine.scale - scale).abs() <= scale * 1e-6, "[{min}, {max}]: {affine:?}");
            assert_eq!(affine.zero_point, zero_point, "[{min}, {max}]");
            let (low, high) = affine.reach();
            assert!(low <= min.max(0.0) + scale / 2.0 && high >= max.min(0.0) - scale / 2.0, "{affine:?}");
            assert_eq!(affine.quantize(0.0), zero_point, "zero is exact in [{min}, {max}]");
        }
    }

    #[test]
    fn values_outside_saturate() {
        let affine = Affine::over(-1.0, 1.0);
        assert_eq!((affine.quantize(-9.0), affine.quantize(9.0)), (0, 255));
        assert_eq!(affine.quantize(f32::MAX), 255);
    }
}
