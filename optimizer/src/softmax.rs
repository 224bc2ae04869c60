//! Scores of classes as probabilities.

/// The softmax of x / temperature; and log Σ exp(x / temperature), by which x / temperature is the logarithm of the result.
pub(crate) fn softmax(x: &[f32], temperature: f32, y: &mut [f32]) -> f32 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (y, x) in y.iter_mut().zip(x) {
        *y = ((x - max) / temperature).exp();
    }
    let sum: f32 = y.iter().sum();
    for y in &mut *y {
        *y /= sum;
    }
    max / temperature + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn large_scores_and_temperatures() {
        let ln3 = 3.0_f32.ln();
        for (x, temperature, log_sum) in [
            ([0.0, ln3], 1.0, 4.0_f32.ln()),
            ([1000.0, 1000.0 + ln3], 1.0, 1000.0 + 4.0_f32.ln()),
            ([0.0, 2.0 * ln3], 2.0, 4.0_f32.ln()),
        ] {
            let mut y = [0.0; 2];
            let found = softmax(&x, temperature, &mut y);
            assert!((y[0] - 0.25).abs() < 1e-4 && (y[1] - 0.75).abs() < 1e-4, "{x:?}: {y:?}");
            assert!((found - log_sum).abs() < 1e-3, "{x:?}: {found}");
        }
    }
}
