use super::window::{Sliding, Window};
use super::{Gradients, Operator};
use crate::train::kernel::vectorized;
use crate::train::tensor::{Buffers, Tensor};

/// `MaxPool`: the gradient goes to the first largest value under the window.
#[derive(Debug)]
pub(in super::super) struct MaxPool {
    pub(in super::super) window: Window,
    /// For each value of the result, the tap that it came from.
    from: Vec<u32>,
}

impl MaxPool {
    pub(in super::super) fn new(window: Window) -> Self {
        Self { window, from: Vec::new() }
    }
}

/// Calls `f` with each pixel of the result, and each pixel of the image under its window.
#[inline(always)]
fn each_tap(s: &Sliding, mut f: impl FnMut(usize, usize)) {
    for n in 0..s.n {
        for oy in 0..s.oh {
            for ox in 0..s.ow {
                let to = (n * s.oh + oy) * s.ow + ox;
                for ky in s.rows(oy) {
                    for kx in s.columns(ox) {
                        f(to, (n * s.h + s.y(oy, ky)) * s.w + s.x(ox, kx));
                    }
                }
            }
        }
    }
}

impl Operator for MaxPool {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        let s = self.window.over(x.image()?)?;
        let c = s.c;
        let mut y = buffers.take(s.pixels() * c);
        y.fill(f32::NEG_INFINITY);
        self.from.clear();
        self.from.resize(y.len(), 0);
        let from = &mut self.from;
        vectorized(|| {
            each_tap(&s, |to, pixel| {
                let (y, from) = (&mut y[to * c..][..c], &mut from[to * c..][..c]);
                for ((y, from), x) in y.iter_mut().zip(from).zip(&x.data[pixel * c..][..c]) {
                    let larger = *x > *y;
                    *y = if larger { *x } else { *y };
                    *from = if larger { pixel as u32 } else { *from };
                }
            });
        });
        Ok(Tensor::new(&[s.n, c, s.oh, s.ow], y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        grad: Vec<f32>,
        _: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let c = inputs[0].shape[1];
        let mut dx = buffers.zeros(inputs[0].data.len());
        for (i, (g, from)) in grad.iter().zip(&self.from).enumerate() {
            dx[*from as usize * c + i % c] += g;
        }
        buffers.give(grad);
        vec![Some(dx)]
    }
}

/// `AveragePool`.
#[derive(Debug)]
pub(in super::super) struct AveragePool {
    pub(in super::super) window: Window,
    /// Padding counts as zeros.
    pub(in super::super) include_padding: bool,
}

impl AveragePool {
    fn share(&self, s: &Sliding, oy: usize, ox: usize) -> f32 {
        let [kh, kw] = s.kernel();
        let count = if self.include_padding { kh * kw } else { s.rows(oy).len() * s.columns(ox).len() };
        1.0 / count.max(1) as f32
    }
}

impl Operator for AveragePool {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        let s = self.window.over(x.image()?)?;
        let c = s.c;
        let mut y = buffers.zeros(s.pixels() * c);
        vectorized(|| {
            each_tap(&s, |to, pixel| {
                let share = self.share(&s, to / s.ow % s.oh, to % s.ow);
                y[to * c..][..c].iter_mut().zip(&x.data[pixel * c..][..c]).for_each(|(y, x)| *y += share * x);
            });
        });
        Ok(Tensor::new(&[s.n, c, s.oh, s.ow], y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        grad: Vec<f32>,
        _: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let x = inputs[0];
        let Ok(s) = x.image().and_then(|image| self.window.over(image)) else { return vec![None] };
        let c = s.c;
        let mut dx = buffers.zeros(x.data.len());
        vectorized(|| {
            each_tap(&s, |to, pixel| {
                let share = self.share(&s, to / s.ow % s.oh, to % s.ow);
                dx[pixel * c..][..c].iter_mut().zip(&grad[to * c..][..c]).for_each(|(d, g)| *d += share * g);
            });
        });
        buffers.give(grad);
        vec![Some(dx)]
    }
}
