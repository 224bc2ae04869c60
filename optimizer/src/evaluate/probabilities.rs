use crate::softmax::softmax;

/// Whether the scores of one image are probabilities already: none below 0, and their sum 1.
pub(super) fn are_probabilities(scores: &[f32]) -> bool {
    let sum: f64 = scores.iter().map(|s| f64::from(*s)).sum();
    scores.iter().all(|s| *s >= 0.0) && (sum - 1.0).abs() < 1e-3
}

/// Probabilities of the classes, by softmax where the scores are none; `None` where a score is not finite.
pub(super) fn probabilities(scores: &[f32], are_logits: bool) -> Option<Vec<f64>> {
    if !scores.iter().all(|s| s.is_finite()) {
        return None;
    }
    let mut likely = scores.to_vec();
    if are_logits {
        softmax(scores, 1.0, &mut likely);
    }
    Some(likely.into_iter().map(f64::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_each_kind() {
        for (scores, are) in [
            (&[0.25_f32, 0.75][..], true),
            (&[0.2, 0.7], false),
            (&[1.5, -0.5], false),
            (&[f32::NAN, 1.0], false),
            (&[1.0], true),
        ] {
            assert_eq!(are_probabilities(scores), are, "{scores:?}");
        }
        let found = probabilities(&[1000.0, 1000.0 + 3.0_f32.ln()], true).unwrap();
        assert!((found[0] - 0.25).abs() < 1e-4 && (found[1] - 0.75).abs() < 1e-4, "{found:?}");
        assert_eq!(probabilities(&[0.25, 0.75], false).unwrap(), [0.25, 0.75]);
        assert_eq!(probabilities(&[f32::INFINITY, 0.0], true), None);
    }
}
