use super::{Gradients, Operator};
use crate::softmax::softmax;
use crate::train::tensor::{Buffers, Tensor};

/// Over the last dimension.
#[derive(Debug)]
pub(in super::super) struct Softmax {
    pub(in super::super) axis: i64,
}

impl Operator for Softmax {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        let rank = x.shape.len();
        if rank == 4 || rank == 0 || (self.axis != -1 && self.axis != rank as i64 - 1) {
            return Err(format!("axis {} of shape {:?}; expected the last of at most 3", self.axis, x.shape));
        }
        let classes = x.shape[rank - 1].max(1);
        let mut y = buffers.take(x.data.len());
        for (x, y) in x.data.chunks(classes).zip(y.chunks_mut(classes)) {
            softmax(x, 1.0, y);
        }
        Ok(Tensor::new(&x.shape, y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        output: &Tensor,
        mut grad: Vec<f32>,
        _: &[bool],
        _: &mut Buffers,
    ) -> Gradients {
        let classes = inputs[0].shape.last().copied().unwrap_or(1).max(1);
        for (y, g) in output.data.chunks(classes).zip(grad.chunks_mut(classes)) {
            let mean: f32 = y.iter().zip(&*g).map(|(y, g)| y * g).sum();
            g.iter_mut().zip(y).for_each(|(g, y)| *g = y * (*g - mean));
        }
        vec![Some(grad)]
    }
}
