use drydock_contract::Activations;

/// 8-bit quantization of an activation: `value = (code - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    pub scale: f32,
    pub zero_point: i16,
    pub codes: Activations,
}

impl Affine {
    /// All codes over the range, which is widened to hold 0: padding and ReLU need an exact zero.
    pub fn over(min: f32, max: f32, codes: Activations) -> Self {
        let (min, max) = (f64::from(min).min(0.0), f64::from(max).max(0.0));
        let scale = match codes {
            Activations::Unsigned => (max - min) / 255.0,
            Activations::Symmetric => max.max(-min) / 127.0,
        };
        // Below the smallest normal number a scale is as good as 0, and 0 would divide.
        if scale < f64::from(f32::MIN_POSITIVE) {
            return Self { scale: 1.0, zero_point: 0, codes };
        }
        let zero_point = match codes {
            Activations::Unsigned => (-min / scale).round_ties_even().clamp(0.0, 255.0) as i16,
            Activations::Symmetric => 0,
        };
        Self { scale: scale as f32, zero_point, codes }
    }

    /// The smallest and the largest code.
    fn ends(self) -> (i16, i16) {
        match self.codes {
            Activations::Unsigned => (0, 255),
            Activations::Symmetric => (-128, 127),
        }
    }

    /// The bits of the code.
    pub fn quantize(self, value: f32) -> u8 {
        let (low, high) = self.ends();
        let code = (value / self.scale).round_ties_even() + f32::from(self.zero_point);
        code.clamp(f32::from(low), f32::from(high)) as i16 as u8
    }

    /// The smallest and the largest value that a code stands for.
    pub fn reach(self) -> (f32, f32) {
        let (low, high) = self.ends();
        (f32::from(low - self.zero_point) * self.scale, f32::from(high - self.zero_point) * self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U8: Activations = Activations::Unsigned;
    const S8: Activations = Activations::Symmetric;

    #[test]
    fn ranges_and_their_codes() {
        for (min, max, scale, zero_point, codes) in [
            (0.0, 255.0, 1.0, 0, U8),
            (-255.0, 0.0, 1.0, 255, U8),
            (-1.0, 1.0, 2.0 / 255.0, 128, U8),
            (2.0, 5.1, 0.02, 0, U8),
            (-5.1, -2.0, 0.02, 255, U8),
            (0.0, 6.0, 6.0 / 255.0, 0, U8),
            (0.0, 0.0, 1.0, 0, U8),
            (0.0, 1e-44, 1.0, 0, U8),
            (-127.0, 3.0, 1.0, 0, S8),
            (0.0, 12.7, 0.1, 0, S8),
            (0.0, 0.0, 1.0, 0, S8),
        ] {
            let affine = Affine::over(min, max, codes);
            assert!((affine.scale - scale).abs() <= scale * 1e-6, "[{min}, {max}]: {affine:?}");
            assert_eq!(affine.zero_point, zero_point, "[{min}, {max}]");
            let (low, high) = affine.reach();
            assert!(low <= min.max(0.0) + scale / 2.0 && high >= max.min(0.0) - scale / 2.0, "{affine:?}");
            assert_eq!(i16::from(affine.quantize(0.0)), zero_point, "zero is exact in [{min}, {max}]");
        }
    }

    #[test]
    fn values_outside_saturate() {
        let affine = Affine::over(-1.0, 1.0, U8);
        assert_eq!((affine.quantize(-9.0), affine.quantize(9.0)), (0, 255));
        assert_eq!(affine.quantize(f32::MAX), 255);
        let affine = Affine::over(-1.0, 1.0, S8);
        let signed = |v: f32| affine.quantize(v).cast_signed();
        assert_eq!((signed(-9.0), signed(-1.0), signed(0.0), signed(9.0)), (-128, -127, 0, 127));
    }
}
