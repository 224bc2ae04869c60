use std::collections::BTreeMap;

/// The smallest and the largest value of each channel of an activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    /// Of the activation, with its batch dimension.
    pub rank: usize,
    /// Along the second dimension; one for the whole where there is none or its size varies.
    pub channels: Vec<(f32, f32)>,
}

impl Extent {
    /// Over all channels; NaN if one value was not finite.
    pub fn range(&self) -> (f32, f32) {
        let finite = self.channels.iter().all(|(min, max)| min.is_finite() && max.is_finite());
        if !finite || self.channels.is_empty() {
            return (f32::NAN, f32::NAN);
        }
        let grow = |(low, high): (f32, f32), &(min, max): &(f32, f32)| (low.min(min), high.max(max));
        self.channels.iter().fold((f32::INFINITY, f32::NEG_INFINITY), grow)
    }

    /// The largest magnitude of each channel.
    pub fn largest(&self) -> impl Iterator<Item = f32> {
        self.channels.iter().map(|(min, max)| min.abs().max(max.abs()))
    }
}

/// Extents by activation.
pub type Extents = BTreeMap<String, Extent>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (channels, expected) in [(vec![(0.0, 1.0), (-2.0, 0.5)], (-2.0, 1.0)), (vec![(3.0, 3.0)], (3.0, 3.0))] {
            assert_eq!(Extent { rank: 4, channels }.range(), expected);
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let extent = Extent { rank: 4, channels: vec![(0.0, 1.0), (bad, bad), (0.0, 2.0)] };
            assert!(extent.range().0.is_nan() && extent.range().1.is_nan());
        }
    }
}
