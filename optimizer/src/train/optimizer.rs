//! How weights follow their gradients.

use super::kernel::vectorized;

/// The rule of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Loshchilov and Hutter, 2019: β₁ 0.9, β₂ 0.999.
    AdamW { weight_decay: f32 },
    /// With momentum; the decay is added to the gradient.
    Sgd { momentum: f32, weight_decay: f32 },
}

const BETA: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// The state of one weight.
#[derive(Debug)]
pub(super) struct State {
    first: Vec<f32>,
    second: Vec<f32>,
    /// Of those that are 0 in the file and stay so.
    zeros: Option<Vec<bool>>,
}

impl State {
    pub(super) fn new(weight: &[f32], keep_zeros: bool) -> Self {
        let zeros = keep_zeros.then(|| weight.iter().map(|w| *w == 0.0).collect());
        Self { first: vec![0.0; weight.len()], second: vec![0.0; weight.len()], zeros }
    }

    /// `step` counts from 1. Biases and gains are not decayed: `decayed` is false for them.
    pub(super) fn update(
        &mut self,
        rule: Rule,
        rate: f32,
        step: usize,
        decayed: bool,
        weight: &mut [f32],
        grad: &[f32],
    ) {
        let Self { first, second, .. } = self;
        match rule {
            Rule::AdamW { weight_decay } => {
                let keep = if decayed { 1.0 - rate * weight_decay } else { 1.0 };
                let [c1, c2] = BETA.map(|b| 1.0 - f64::from(b).powi(step as i32));
                let (size, root) = (rate / c1 as f32, 1.0 / (c2 as f32).sqrt());
                vectorized(|| {
                    for (((w, g), m), v) in weight.iter_mut().zip(grad).zip(first).zip(second) {
                        *m = BETA[0] * *m + (1.0 - BETA[0]) * g;
                        *v = BETA[1] * *v + (1.0 - BETA[1]) * g * g;
                        *w = *w * keep - size * *m / (v.sqrt() * root + EPSILON);
                    }
                });
            }
            Rule::Sgd { momentum, weight_decay } => {
                let decay = if decayed { weight_decay } else { 0.0 };
                vectorized(|| {
                    for ((w, g), m) in weight.iter_mut().zip(grad).zip(first) {
                        *m = momentum * *m + g + decay * *w;
                        *w -= rate * *m;
                    }
                });
            }
        }
        if let Some(zeros) = &self.zeros {
            weight.iter_mut().zip(zeros).filter(|(_, zero)| **zero).for_each(|(w, _)| *w = 0.0);
        }
    }
}

/// The learning rate of a step: a linear rise, then half a cosine down to 0.
pub(super) fn scheduled(rate: f32, warm_up: f32, step: usize, steps: usize) -> f32 {
    let progress = step as f32 / steps.max(1) as f32;
    if progress < warm_up {
        // Not 0 in the first step.
        return rate * (progress + 1.0 / steps.max(1) as f32).min(warm_up) / warm_up;
    }
    let rest = (progress - warm_up) / (1.0 - warm_up).max(f32::EPSILON);
    rate * 0.5 * (1.0 + (std::f32::consts::PI * rest).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_published() {
        // One step of AdamW is the rate against the gradient's sign, after the decay.
        let mut weight = [1.0, 0.0, -2.0];
        let mut state = State::new(&weight, true);
        state.update(Rule::AdamW { weight_decay: 0.5 }, 0.1, 1, true, &mut weight, &[3.0, 1.0, -0.2]);
        for (found, expected) in weight.iter().zip([0.85, 0.0, -1.8]) {
            assert!((found - expected).abs() < 1e-6, "{weight:?}");
        }
        let mut weight = [1.0];
        let mut state = State::new(&weight, false);
        let rule = Rule::Sgd { momentum: 0.9, weight_decay: 0.1 };
        state.update(rule, 0.1, 1, false, &mut weight, &[1.0]);
        state.update(rule, 0.1, 2, true, &mut weight, &[1.0]);
        // 1 - 0.1·1, then momentum 0.9·1 + 1 + 0.1·0.9.
        assert!((weight[0] - (0.9 - 0.1 * 1.99)).abs() < 1e-6, "{weight:?}");
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let at = |step| scheduled(2.0, 0.1, step, 100);
        assert!(at(0) > 0.0 && at(0) < at(5) && at(5) < at(10));
        assert!((at(10) - 2.0).abs() < 1e-6 && (at(55) - 1.0).abs() < 1e-6 && at(99) < 0.01);
        assert!((scheduled(2.0, 0.0, 0, 100) - 2.0).abs() < 1e-6);
    }
}
