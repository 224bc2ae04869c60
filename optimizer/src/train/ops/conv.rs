use std::ops::Range;

use super::depthwise;
use super::window::{Sliding, Window};
use super::{Gradients, Operator};
use crate::train::kernel::{Matrix, column_sums, multiply, vectorized};
use crate::train::tensor::{Buffers, Tensor};

/// Floats of patches at a time: they stay in the second-level cache.
const PATCHES: usize = 1 << 18;

/// A convolution as matrix products: patches of the image (im2col), a few images at a time, times the weights.
/// Depthwise convolutions have loops of their own.
#[derive(Debug)]
pub(in super::super) struct Conv {
    pub(in super::super) window: Window,
    pub(in super::super) groups: usize,
}

impl Conv {
    fn slide(&self, x: &Tensor, w: &Tensor) -> Result<Sliding, String> {
        let (image, [co, per_group, kh, kw]) = (x.image()?, w.image()?);
        if self.groups == 0
            || per_group * self.groups != image[1]
            || co % self.groups != 0
            || [kh, kw] != self.window.kernel
        {
            return Err(format!(
                "input {:?}, weight {:?}, {} groups; expected channels that fit",
                x.shape, w.shape, self.groups
            ));
        }
        self.window.over(image)
    }

    fn is_depthwise(&self, s: &Sliding, co: usize) -> bool {
        self.groups > 1 && self.groups == s.c && co == s.c
    }

    /// Calls `f` with patches, (rows, kh·kw·channels), of one group and a few images, and the rows they are.
    fn patches(
        &self,
        s: &Sliding,
        x: &[f32],
        buffers: &mut Buffers,
        mut f: impl FnMut(usize, Range<usize>, Matrix<'_>, &mut Buffers),
    ) {
        let per_group = s.c / self.groups;
        for group in 0..self.groups {
            let channels = group * per_group..(group + 1) * per_group;
            if self.window.is_identity() {
                let rows = s.pixels();
                let part = Matrix::strided(x.get(channels.start..).unwrap_or_default(), rows, per_group, s.c);
                f(group, 0..rows, part, buffers);
                continue;
            }
            let (width, each) = (kernel_size(s) * per_group, s.oh * s.ow);
            for images in few(s.n, width * each) {
                let rows = images.start * each..images.end * each;
                let mut patches = buffers.take(rows.len() * width);
                gather(s, x, images, channels.clone(), &mut patches);
                f(group, rows.clone(), Matrix::new(&patches, rows.len(), width), buffers);
                buffers.give(patches);
            }
        }
    }
}

fn kernel_size(s: &Sliding) -> usize {
    s.kernel()[0] * s.kernel()[1]
}

/// Ranges of images with about [`PATCHES`] floats of patches.
fn few(images: usize, each: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (PATCHES / each.max(1)).max(1);
    (0..images).step_by(step).map(move |from| from..(from + step).min(images))
}

/// im2col: one row for each pixel of the result, its patch in the order (ky, kx, channel).
fn gather(s: &Sliding, x: &[f32], images: Range<usize>, channels: Range<usize>, patches: &mut [f32]) {
    let ([kh, kw], c) = (s.kernel(), channels.len());
    let mut rows = patches.chunks_exact_mut(kh * kw * c);
    for (n, oy) in images.flat_map(|n| (0..s.oh).map(move |oy| (n, oy))) {
        let inside_y = s.rows(oy);
        for (ox, patch) in (0..s.ow).zip(&mut rows) {
            let inside_x = s.columns(ox);
            for (ky, line) in patch.chunks_exact_mut(kw * c).enumerate() {
                if !inside_y.contains(&ky) || inside_x.is_empty() {
                    line.fill(0.0);
                    continue;
                }
                let row = (n * s.h + s.y(oy, ky)) * s.w;
                line[..inside_x.start * c].fill(0.0);
                line[inside_x.end * c..].fill(0.0);
                if s.is_dense() && c == s.c {
                    let from = (row + s.x(ox, inside_x.start)) * c;
                    let len = inside_x.len() * c;
                    line[inside_x.start * c..inside_x.end * c].copy_from_slice(&x[from..from + len]);
                } else {
                    for kx in inside_x.clone() {
                        let from = (row + s.x(ox, kx)) * s.c + channels.start;
                        line[kx * c..(kx + 1) * c].copy_from_slice(&x[from..from + c]);
                    }
                }
            }
        }
    }
}

/// The transpose of [`gather`]: adds each patch to where it came from.
#[inline(always)]
fn scatter(s: &Sliding, patches: &[f32], images: Range<usize>, channels: Range<usize>, x: &mut [f32]) {
    let ([kh, kw], c) = (s.kernel(), channels.len());
    let mut rows = patches.chunks_exact(kh * kw * c);
    for (n, oy) in images.flat_map(|n| (0..s.oh).map(move |oy| (n, oy))) {
        let inside_y = s.rows(oy);
        for (ox, patch) in (0..s.ow).zip(&mut rows) {
            let inside_x = s.columns(ox);
            if inside_x.is_empty() {
                continue;
            }
            for ky in inside_y.clone() {
                let line = &patch[ky * kw * c..(ky + 1) * kw * c];
                let row = (n * s.h + s.y(oy, ky)) * s.w;
                if s.is_dense() && c == s.c {
                    let to = (row + s.x(ox, inside_x.start)) * c;
                    let len = inside_x.len() * c;
                    add_inline(&mut x[to..to + len], &line[inside_x.start * c..inside_x.end * c]);
                } else {
                    for kx in inside_x.clone() {
                        let to = (row + s.x(ox, kx)) * s.c + channels.start;
                        add_inline(&mut x[to..to + c], &line[kx * c..(kx + 1) * c]);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add_inline(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
}

impl Operator for Conv {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let (x, w) = (inputs[0], inputs[1]);
        let s = self.slide(x, w)?;
        let co = w.shape[0];
        let mut y = buffers.take(s.pixels() * co);
        match inputs.get(2) {
            Some(bias) if bias.data.len() != co => return Err(format!("{} biases for {co} channels", bias.data.len())),
            Some(bias) if co > 0 => y.chunks_exact_mut(co).for_each(|row| row.copy_from_slice(&bias.data)),
            _ => y.fill(0.0),
        }
        if self.is_depthwise(&s, co) {
            depthwise::forward(&s, &x.data, &w.data, &mut y);
        } else {
            let out = co / self.groups;
            let width = w.data.len() / co.max(1);
            self.patches(&s, &x.data, buffers, |group, rows, patches, _| {
                let weight = Matrix::new(&w.data[group * out * width..][..out * width], out, width);
                multiply(&mut y[rows.start * co + group * out..], co, patches, weight.t(), true);
            });
        }
        Ok(Tensor::new(&[s.n, co, s.oh, s.ow], y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        grad: Vec<f32>,
        wanted: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let (x, w) = (inputs[0], inputs[1]);
        let mut out: Gradients = vec![None; inputs.len()];
        // `forward` has accepted these shapes.
        let Ok(s) = self.slide(x, w) else { return out };
        let co = w.shape[0];
        if wanted.get(2) == Some(&true) {
            let mut sums = buffers.zeros(co);
            column_sums(&grad, co, &mut sums);
            out[2] = Some(sums);
        }
        let mut dx = wanted[0].then(|| buffers.zeros(x.data.len()));
        let mut dw = wanted[1].then(|| buffers.zeros(w.data.len()));
        if self.is_depthwise(&s, co) {
            depthwise::backward(&s, &x.data, &w.data, &grad, dx.as_deref_mut(), dw.as_deref_mut());
        } else {
            let each = co / self.groups;
            let width = w.data.len() / co.max(1);
            if let Some(dw) = &mut dw {
                self.patches(&s, &x.data, buffers, |group, rows, patches, _| {
                    let dy = Matrix::strided(&grad[rows.start * co + group * each..], rows.len(), each, co);
                    multiply(&mut dw[group * each * width..], width, dy.t(), patches, true);
                });
            }
            if let Some(dx) = &mut dx {
                self.input_gradient(&s, &w.data, &grad, co, dx, buffers);
            }
        }
        buffers.give(grad);
        out[0] = dx;
        out[1] = dw;
        out
    }
}

impl Conv {
    fn input_gradient(&self, s: &Sliding, w: &[f32], grad: &[f32], co: usize, dx: &mut [f32], buffers: &mut Buffers) {
        let (each, per_group) = (co / self.groups, s.c / self.groups);
        let width = w.len() / co.max(1);
        for group in 0..self.groups {
            let weight = Matrix::new(&w[group * each * width..][..each * width], each, width);
            let channels = group * per_group..(group + 1) * per_group;
            let pixels = s.oh * s.ow;
            if self.window.is_identity() {
                let dy = Matrix::strided(&grad[group * each..], s.pixels(), each, co);
                multiply(&mut dx[channels.start..], s.c, dy, weight, true);
                continue;
            }
            for images in few(s.n, width * pixels) {
                let rows = images.start * pixels..images.end * pixels;
                let mut patches = buffers.take(rows.len() * width);
                let dy = Matrix::strided(&grad[rows.start * co + group * each..], rows.len(), each, co);
                multiply(&mut patches, width, dy, weight, false);
                vectorized(|| scatter(s, &patches, images, channels.clone(), dx));
                buffers.give(patches);
            }
        }
    }
}
