//! Losses, each with its gradient.

use crate::softmax::softmax;

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
        // Through their logarithms: q may be 0.
        let (lt, ls) = (softmax(t, temperature, &mut p), softmax(s, temperature, &mut q));
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
        let label = *label as usize;
        loss += f64::from(softmax(z, 1.0, &mut q) - z[label]);
        for c in 0..classes {
            let target = if c == label { 1.0 } else { 0.0 };
            g[c] += weight * (q[c] - target) / rows;
        }
    }
    loss as f32 / rows
}

/// Values below a millionth are none: what is relative to their size would be no number.
const LEAST_MEAN_SQUARE: f64 = 1e-12;

/// `None` where the values are as good as zero.
pub(super) fn mean_square(values: &[f32]) -> Option<f64> {
    let sum: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
    Some(sum / values.len().max(1) as f64).filter(|found| *found >= LEAST_MEAN_SQUARE)
}

/// The mean square error over the teacher's mean square, so that values of any size weigh the same; that itself where the
/// teacher's are zero.
pub(super) fn feature_error(student: &[f32], teacher: &[f32], weight: f32, grad: &mut [f32]) -> f32 {
    let square = mean_square(teacher).unwrap_or(1.0) * teacher.len().max(1) as f64;
    let factor = (2.0 * f64::from(weight) / square) as f32;
    let mut loss = 0.0_f64;
    for ((s, t), g) in student.iter().zip(teacher).zip(grad) {
        loss += f64::from(s - t).powi(2);
        *g += factor * (s - t);
    }
    (loss / square) as f32
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
        check(|x, weight, grad| feature_error(x, &[0.0; 6], weight, grad));
    }

    #[test]
    fn a_teacher_that_answers_zero_has_an_error_of_its_own_size() {
        for tiny in [0.0, f32::MIN_POSITIVE, 1e-7] {
            let mut grad = [0.0; 2];
            let loss = feature_error(&[1.0, 3.0], &[tiny; 2], 0.5, &mut grad);
            assert!((loss - 5.0).abs() < 1e-5, "{tiny}: {loss}");
            assert!((grad[0] - 0.5).abs() < 1e-5 && (grad[1] - 1.5).abs() < 1e-5, "{tiny}: {grad:?}");
            assert_eq!(mean_square(&[tiny; 2]), None);
        }
        let mut grad = [0.0; 1];
        assert!(feature_error(&[4e-6], &[2e-6], 1.0, &mut grad) > 0.9 && grad[0].is_finite());
    }

    #[test]
    fn equal_answers_lose_nothing_and_far_ones_stay_finite() {
        let x = [1.0, -2.0, 0.5];
        assert!(divergence(&x, &x, 3, 4.0, 1.0, &mut [0.0; 3]).abs() < 1e-6);
        let far = divergence(&[400.0, -400.0, 0.0], &[-400.0, 400.0, 0.0], 3, 1.0, 1.0, &mut [0.0; 3]);
        assert!((far - 800.0).abs() < 1.0, "{far}");
    }
}
