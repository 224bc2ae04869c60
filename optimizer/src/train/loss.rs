//! Losses, each with its gradient.

use super::ops::softmax;

/// T²·KL(softmax(teacher / T) ‖ softmax(student / T)), the mean over rows (Hinton et al., 2015). Adds `weight` times the
/// gradient to `grad`, and returns the loss without the weight.
pub(super) fn divergence(
    student: &[f32],
    teacher: &[f32],
    classes: usize,
    temperature: f32,
    weight: f32,
    grad: &mut [f32],
) -> f32 {
    let rows = (student.len() / classes.max(1)).max(1) as f32;
    let (mut p, mut q) = (vec![0.0; classes], vec![0.0; classes]);
    let mut loss = 0.0_f64;
    for ((s, t), g) in student.chunks(classes).zip(teacher.chunks(classes)).zip(grad.chunks_mut(classes)) {
        softmax(t, temperature, &mut p);
        softmax(s, temperature, &mut q);
        // Through log-softmax: q may be 0.
        let (ls, lt) = (log_sum(s, temperature), log_sum(t, temperature));
        for c in 0..classes {
            let log_ratio = (t[c] / temperature - lt) - (s[c] / temperature - ls);
            loss += f64::from(if p[c] > 0.0 { p[c] * log_ratio } else { 0.0 });
            g[c] += weight * temperature * (q[c] - p[c]) / rows;
        }
    }
    loss as f32 * temperature * temperature / rows
}

/// The mean of -log softmax(logits)[label] over rows.
pub(super) fn cross_entropy(logits: &[f32], labels: &[u32], classes: usize, weight: f32, grad: &mut [f32]) -> f32 {
    let rows = labels.len().max(1) as f32;
    let mut q = vec![0.0; classes];
    let mut loss = 0.0_f64;
    for ((z, label), g) in logits.chunks(classes).zip(labels).zip(grad.chunks_mut(classes)) {
        softmax(z, 1.0, &mut q);
        let label = *label as usize;
        loss += f64::from(log_sum(z, 1.0) - z[label]);
        for c in 0..classes {
            let target = if c == label { 1.0 } else { 0.0 };
            g[c] += weight * (q[c] - target) / rows;
        }
    }
    loss as f32 / rows
}

/// The mean square error over the teacher's mean square, so that values of any size weigh the same.
pub(super) fn feature_error(student: &[f32], teacher: &[f32], weight: f32, grad: &mut [f32]) -> f32 {
    let square = teacher.iter().map(|t| f64::from(*t).powi(2)).sum::<f64>().max(f64::MIN_POSITIVE);
    let factor = (2.0 * f64::from(weight) / square) as f32;
    let mut loss = 0.0_f64;
    for ((s, t), g) in student.iter().zip(teacher).zip(grad) {
        loss += f64::from(s - t).powi(2);
        *g += factor * (s - t);
    }
    (loss / square) as f32
}

/// log Σ exp(x / temperature)
fn log_sum(x: &[f32], temperature: f32) -> f32 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    max / temperature + x.iter().map(|x| ((x - max) / temperature).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every gradient beside the quotient of differences.
    fn check(mut loss: impl FnMut(&[f32], f32, &mut [f32]) -> f32) {
        let at = [0.3, -1.2, 2.0, 0.1, 0.5, -0.7];
        let mut grad = [0.0; 6];
        loss(&at, 0.5, &mut grad);
        for i in 0..at.len() {
            let mut moved = |by: f32| {
                let mut x = at;
                x[i] += by;
                loss(&x, 0.0, &mut [0.0; 6])
            };
            let quotient = 0.5 * (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((quotient - grad[i]).abs() < 1e-3, "{i}: {quotient} and {}", grad[i]);
        }
    }

    #[test]
    fn gradients_are_quotients_of_differences() {
        let teacher = [1.0, 0.0, -1.0, 0.2, 0.4, 2.0];
        check(|x, weight, grad| divergence(x, &teacher, 3, 2.0, weight, grad));
        check(|x, weight, grad| cross_entropy(x, &[2, 0], 3, weight, grad));
        check(|x, weight, grad| feature_error(x, &teacher, weight, grad));
    }

    #[test]
    fn equal_answers_lose_nothing_and_far_ones_stay_finite() {
        let x = [1.0, -2.0, 0.5];
        assert!(divergence(&x, &x, 3, 4.0, 1.0, &mut [0.0; 3]).abs() < 1e-6);
        let far = divergence(&[400.0, -400.0, 0.0], &[-400.0, 400.0, 0.0], 3, 1.0, 1.0, &mut [0.0; 3]);
        assert!((far - 800.0).abs() < 1.0, "{far}");
    }
}
