//! Convolutions with one filter for each channel: loops over channels, which lie side by side.

use super::window::Sliding;
use crate::train::kernel::vectorized;

/// From (c, taps) to (taps, c), so that a tap's weights lie side by side too.
fn by_tap(w: &[f32], channels: usize) -> Vec<f32> {
    let taps = w.len() / channels;
    (0..w.len()).map(|i| w[i % channels * taps + i / channels]).collect()
}

/// y += x ∗ w
pub(super) fn forward(s: &Sliding, x: &[f32], w: &[f32], y: &mut [f32]) {
    let w = by_tap(w, s.c);
    vectorized(|| {
        let mut rows = y.chunks_exact_mut(s.c);
        for (n, oy) in (0..s.n).flat_map(|n| (0..s.oh).map(move |oy| (n, oy))) {
            for (ox, y) in (0..s.ow).zip(&mut rows) {
                taps(s, n, oy, ox, |pixel, tap| {
                    let (x, w) = (&x[pixel * s.c..][..s.c], &w[tap * s.c..][..s.c]);
                    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                        *y += x * w;
                    }
                });
            }
        }
    });
}

/// dx += dy ∗ w transposed; dw += Σ over pixels of x·dy.
pub(super) fn backward(
    s: &Sliding,
    x: &[f32],
    w: &[f32],
    dy: &[f32],
    mut dx: Option<&mut [f32]>,
    mut dw: Option<&mut [f32]>,
) {
    let w = by_tap(w, s.c);
    // One image's sum at a time: thousands of pixels lose no digits.
    let mut part = vec![0.0; w.len()];
    let mut total = vec![0.0; w.len()];
    vectorized(|| {
        let mut rows = dy.chunks_exact(s.c);
        for n in 0..s.n {
            part.fill(0.0);
            for oy in 0..s.oh {
                for (ox, dy) in (0..s.ow).zip(&mut rows) {
                    taps(s, n, oy, ox, |pixel, tap| {
                        if dw.is_some() {
                            let (x, part) = (&x[pixel * s.c..][..s.c], &mut part[tap * s.c..][..s.c]);
                            for ((p, x), dy) in part.iter_mut().zip(x).zip(dy) {
                                *p += x * dy;
                            }
                        }
                        if let Some(dx) = &mut dx {
                            let (dx, w) = (&mut dx[pixel * s.c..][..s.c], &w[tap * s.c..][..s.c]);
                            for ((dx, w), dy) in dx.iter_mut().zip(w).zip(dy) {
                                *dx += w * dy;
                            }
                        }
                    });
                }
            }
            total.iter_mut().zip(&part).for_each(|(t, p)| *t += p);
        }
    });
    if let Some(dw) = &mut dw {
        let taps = w.len() / s.c;
        for (i, d) in dw.iter_mut().enumerate() {
            *d += total[i % taps * s.c + i / taps];
        }
    }
}

/// Calls `f` with each pixel of the image under the window, and the tap it is under.
#[inline(always)]
fn taps(s: &Sliding, n: usize, oy: usize, ox: usize, mut f: impl FnMut(usize, usize)) {
    let columns = s.columns(ox);
    for ky in s.rows(oy) {
        let row = (n * s.h + s.y(oy, ky)) * s.w;
        for kx in columns.clone() {
            f(row + s.x(ox, kx), ky * s.kernel()[1] + kx);
        }
    }
}
