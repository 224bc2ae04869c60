//! Loops over rows of channels with a coefficient for each channel.

use crate::train::kernel::{repeat, repeats, vectorized};

/// y = a·x + b for each channel.
pub(super) fn scale_shift(x: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
    let times = repeats(a.len(), x.len() / a.len().max(1));
    let (a, b) = (repeat(a, times), repeat(b, times));
    vectorized(|| {
        for (x, y) in x.chunks(a.len().max(1)).zip(y.chunks_mut(a.len().max(1))) {
            for (((y, x), a), b) in y.iter_mut().zip(x).zip(&a).zip(&b) {
                *y = x * a + b;
            }
        }
    });
}

/// dy = a·dy + b·x + c for each channel.
pub(super) fn combine(dy: &mut [f32], x: &[f32], a: &[f32], b: &[f32], c: &[f32]) {
    let times = repeats(a.len(), x.len() / a.len().max(1));
    let (a, b, c) = (repeat(a, times), repeat(b, times), repeat(c, times));
    vectorized(|| {
        for (dy, x) in dy.chunks_mut(a.len().max(1)).zip(x.chunks(a.len().max(1))) {
            for ((((d, x), a), b), c) in dy.iter_mut().zip(x).zip(&a).zip(&b).zip(&c) {
                *d = *d * a + x * b + c;
            }
        }
    });
}

/// For each channel, over all rows: Σ p and Σ p·(x - shift), in float64.
pub(super) fn sums(p: &[f32], x: &[f32], shift: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let channels = shift.len();
    let times = repeats(channels, x.len() / channels.max(1));
    let shift = repeat(shift, times);
    let wide = shift.len().max(1);
    let (mut first, mut second) = (vec![0.0_f64; wide], vec![0.0_f64; wide]);
    let (mut a, mut b) = (vec![0.0_f32; wide], vec![0.0_f32; wide]);
    vectorized(|| {
        for (p, x) in p.chunks(wide * 32).zip(x.chunks(wide * 32)) {
            a.fill(0.0);
            b.fill(0.0);
            for (p, x) in p.chunks(wide).zip(x.chunks(wide)) {
                for ((((a, b), p), x), shift) in a.iter_mut().zip(&mut b).zip(p).zip(x).zip(&shift) {
                    *a += p;
                    *b += p * (x - shift);
                }
            }
            first.iter_mut().zip(&a).for_each(|(t, a)| *t += f64::from(*a));
            second.iter_mut().zip(&b).for_each(|(t, b)| *t += f64::from(*b));
        }
    });
    let fold = |wide: &[f64]| (0..channels).map(|c| wide.iter().skip(c).step_by(channels).sum()).collect();
    (fold(&first), fold(&second))
}

/// For each channel: Σ (x - shift) and Σ (x - shift)², in float64.
pub(super) fn moments(x: &[f32], shift: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let channels = shift.len();
    let times = repeats(channels, x.len() / channels.max(1));
    let shift = repeat(shift, times);
    let wide = shift.len().max(1);
    let (mut first, mut second) = (vec![0.0_f64; wide], vec![0.0_f64; wide]);
    let (mut a, mut b) = (vec![0.0_f32; wide], vec![0.0_f32; wide]);
    vectorized(|| {
        for x in x.chunks(wide * 32) {
            a.fill(0.0);
            b.fill(0.0);
            for x in x.chunks(wide) {
                for (((a, b), x), shift) in a.iter_mut().zip(&mut b).zip(x).zip(&shift) {
                    let d = x - shift;
                    *a += d;
                    *b += d * d;
                }
            }
            first.iter_mut().zip(&a).for_each(|(t, a)| *t += f64::from(*a));
            second.iter_mut().zip(&b).for_each(|(t, b)| *t += f64::from(*b));
        }
    });
    let fold = |wide: &[f64]| (0..channels).map(|c| wide.iter().skip(c).step_by(channels).sum()).collect();
    (fold(&first), fold(&second))
}
