use crate::passes::Spread;

/// Mean and variance of each channel, the second dimension.
#[derive(Debug, Default)]
pub(super) struct SpreadCollector {
    sums: Vec<f64>,
    squares: Vec<f64>,
    count: u64,
}

impl SpreadCollector {
    pub(super) fn add(&mut self, shape: &[i64], values: &[f32]) {
        let Some(channels) = shape.get(1).and_then(|d| usize::try_from(*d).ok()).filter(|d| *d > 0) else { return };
        let inner = shape[2..].iter().product::<i64>().max(1) as usize;
        self.sums.resize(channels, 0.0);
        self.squares.resize(channels, 0.0);
        for (i, run) in values.chunks(inner).enumerate() {
            let values = run.iter().map(|v| f64::from(*v));
            self.sums[i % channels] += values.clone().sum::<f64>();
            self.squares[i % channels] += values.map(|v| v * v).sum::<f64>();
        }
        self.count += (values.len() / channels) as u64;
    }

    pub(super) fn finish(&self) -> Spread {
        let count = self.count.max(1) as f64;
        let mean = self.sums.iter().map(|sum| sum / count);
        let variance =
            mean.clone().zip(&self.squares).map(|(mean, square)| (square / count - mean * mean).max(0.0) as f32);
        Spread { variance: variance.collect(), mean: mean.map(|m| m as f32).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_variances() {
        let mut spread = SpreadCollector::default();
        spread.add(&[1, 2, 2], &[1.0, 3.0, 5.0, 5.0]);
        spread.add(&[1, 2, 2], &[1.0, 3.0, 5.0, 5.0]);
        assert_eq!(spread.finish(), Spread { mean: vec![2.0, 5.0], variance: vec![1.0, 0.0] });
    }
}
