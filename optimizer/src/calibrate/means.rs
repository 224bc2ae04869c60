use crate::passes::Mean;

/// The mean of each output channel of a layer's result, and how much of it moves with the layer's bias.
#[derive(Debug)]
pub(super) struct MeanCollector {
    /// Values at or beyond these do not move: a `Relu` or a `Clip` holds them.
    limits: (f32, f32),
    channels: usize,
    last: bool,
    sums: Vec<f64>,
    free: Vec<u64>,
    count: u64,
}

impl MeanCollector {
    /// `last`: the channels are the last dimension, not the second.
    pub(super) fn new(limits: (f32, f32), last: bool) -> Self {
        Self { limits, channels: 0, last, sums: Vec::new(), free: Vec::new(), count: 0 }
    }

    pub(super) fn add(&mut self, shape: &[i64], values: &[f32]) {
        let axis = if self.last { shape.len().saturating_sub(1) } else { 1 };
        let Some(channels) = shape.get(axis).and_then(|d| usize::try_from(*d).ok()).filter(|d| *d > 0) else { return };
        let inner = shape[axis + 1..].iter().product::<i64>().max(1) as usize;
        self.channels = channels;
        self.sums.resize(channels, 0.0);
        self.free.resize(channels, 0);
        let (low, high) = self.limits;
        for (i, run) in values.chunks(inner).enumerate() {
            // Of one image's channel: few enough for float32.
            let sum: f32 = run.iter().sum();
            let free: u32 = run.iter().map(|v| u32::from(*v > low && *v < high)).sum();
            self.sums[i % channels] += f64::from(sum);
            self.free[i % channels] += u64::from(free);
        }
        self.count += (values.len() / channels) as u64;
    }

    pub(super) fn means(&self) -> Vec<Mean> {
        let count = self.count.max(1) as f64;
        let both = self.sums.iter().zip(&self.free);
        both.map(|(sum, free)| Mean { value: sum / count, free: *free as f64 / count }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_along_both_axes() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        for (last, shape, expected) in [
            (false, &[2, 2, 2][..], vec![(3.5, 0.75), (5.5, 0.75)]),
            (true, &[4, 2], vec![(4.0, 0.75), (5.0, 0.75)]),
            (true, &[2, 2, 2], vec![(4.0, 0.75), (5.0, 0.75)]),
            (false, &[0, 2], vec![(0.0, 0.0); 2]),
        ] {
            let mut means = MeanCollector::new((1.0, 8.0), last);
            means.add(shape, if shape[0] == 0 { &[] } else { &values });
            let found: Vec<(f64, f64)> = means.means().iter().map(|m| (m.value, m.free)).collect();
            assert_eq!(found, expected, "{shape:?}");
        }
    }
}
