use super::{Gradients, Operator};
use crate::train::kernel::vectorized;
use crate::train::tensor::{Buffers, Tensor};

/// The mean over all pixels of an image: `GlobalAveragePool`, and `ReduceMean` over the last two of four dimensions.
#[derive(Debug)]
pub(in super::super) struct Mean {
    pub(in super::super) keep_dims: bool,
}

impl Operator for Mean {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        let [n, c, h, w] = x.image()?;
        let share = 1.0 / (h * w).max(1) as f32;
        let mut y = buffers.zeros(n * c);
        vectorized(|| {
            for (pixels, y) in x.data.chunks((h * w * c).max(1)).zip(y.chunks_mut(c.max(1))) {
                for pixel in pixels.chunks(c) {
                    y.iter_mut().zip(pixel).for_each(|(y, x)| *y += x);
                }
                for y in &mut *y {
                    *y *= share;
                }
            }
        });
        Ok(if self.keep_dims { Tensor::new(&[n, c, 1, 1], y) } else { Tensor::new(&[n, c], y) })
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
        let mut dx = buffers.take(x.data.len());
        if let Ok([_, c, h, w]) = x.image() {
            let share = 1.0 / (h * w).max(1) as f32;
            for (pixels, grad) in dx.chunks_mut((h * w * c).max(1)).zip(grad.chunks(c.max(1))) {
                for pixel in pixels.chunks_mut(c) {
                    pixel.iter_mut().zip(grad).for_each(|(d, g)| *d = g * share);
                }
            }
        }
        buffers.give(grad);
        vec![Some(dx)]
    }
}
