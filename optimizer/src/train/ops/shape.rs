use super::{Gradients, Operator};
use crate::train::tensor::{Buffers, Tensor, from_storage, permute, to_storage};

/// What the shape becomes.
#[derive(Clone, Debug)]
pub(in super::super) enum Shaping {
    /// `Flatten`: two dimensions, parted before this axis.
    Flatten(i64),
    /// `Reshape`: 0 keeps a dimension (unless `allow_zero`), -1 takes what is left.
    To {
        dims: Vec<i64>,
        allow_zero: bool,
    },
    /// `Squeeze` of these axes, or of all that are 1.
    Squeeze(Option<Vec<i64>>),
    Unsqueeze(Vec<i64>),
}

impl Shaping {
    fn of(&self, shape: &[usize]) -> Option<Vec<usize>> {
        let axis = |a: i64, rank: usize| usize::try_from(if a < 0 { a + rank as i64 } else { a }).ok();
        match self {
            Self::Flatten(at) => {
                let at = axis(*at, shape.len()).filter(|a| *a <= shape.len())?;
                Some(vec![shape[..at].iter().product(), shape[at..].iter().product()])
            }
            Self::To { dims, allow_zero } => {
                let keep = |i: usize, d: i64| match d {
                    0 if !allow_zero => shape.get(i).copied(),
                    d => usize::try_from(d).ok(),
                };
                let known: Option<Vec<usize>> =
                    dims.iter().enumerate().map(|(i, d)| if *d == -1 { Some(1) } else { keep(i, *d) }).collect();
                let mut known = known?;
                let product: usize = known.iter().product();
                if let Some(rest) = dims.iter().position(|d| *d == -1) {
                    known[rest] = shape.iter().product::<usize>().checked_div(product)?;
                }
                Some(known)
            }
            Self::Squeeze(axes) => {
                let rank = shape.len();
                let drop: Vec<usize> = match axes {
                    Some(axes) => axes.iter().map(|a| axis(*a, rank)).collect::<Option<_>>()?,
                    None => (0..rank).filter(|i| shape[*i] == 1).collect(),
                };
                Some((0..rank).filter(|i| !drop.contains(i)).map(|i| shape[i]).collect())
            }
            Self::Unsqueeze(axes) => {
                let rank = shape.len() + axes.len();
                let added: Vec<usize> = axes.iter().map(|a| axis(*a, rank)).collect::<Option<_>>()?;
                let mut rest = shape.iter();
                (0..rank).map(|i| if added.contains(&i) { Some(1) } else { rest.next().copied() }).collect()
            }
        }
    }
}

#[derive(Debug)]
pub(in super::super) struct Reshape(pub(in super::super) Shaping);

impl Operator for Reshape {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        let shape = self
            .0
            .of(&x.shape)
            .filter(|s| s.iter().product::<usize>() == x.data.len())
            .ok_or_else(|| format!("shape {:?} cannot become that of {:?}", x.shape, self.0))?;
        let mut y = buffers.take(x.data.len());
        carry(&x.shape, &x.data, &shape, &mut y, buffers);
        Ok(Tensor::new(&shape, y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: Vec<f32>,
        _: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let mut dx = buffers.take(grad.len());
        carry(&output.shape, &grad, &inputs[0].shape, &mut dx, buffers);
        buffers.give(grad);
        let mut out: Gradients = vec![None; inputs.len()];
        out[0] = Some(dx);
        out
    }
}

/// From one shape to another: the same values in ONNX's order.
fn carry(from_shape: &[usize], from: &[f32], to_shape: &[usize], to: &mut [f32], buffers: &mut Buffers) {
    let mut plain = buffers.take(from.len());
    from_storage(from_shape, from, &mut plain);
    to_storage(to_shape, &plain, to);
    buffers.give(plain);
}

#[derive(Debug)]
pub(in super::super) struct Transpose(pub(in super::super) Option<Vec<usize>>);

impl Transpose {
    fn order(&self, rank: usize) -> Vec<usize> {
        self.0.clone().unwrap_or_else(|| (0..rank).rev().collect())
    }
}

impl Operator for Transpose {
    fn forward(&mut self, inputs: &[&Tensor], _: &mut Buffers) -> Result<Tensor, String> {
        let x = inputs[0];
        let order = self.order(x.shape.len());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted != (0..x.shape.len()).collect::<Vec<_>>() {
            return Err(format!("perm {order:?} of an input of shape {:?}", x.shape));
        }
        let shape: Vec<usize> = order.iter().map(|o| x.shape[*o]).collect();
        let mut plain = vec![0.0; x.data.len()];
        permute(&x.shape, &order, &x.to_row_major(), &mut plain);
        Ok(Tensor::from_row_major(&shape, &plain))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: Vec<f32>,
        _: &[bool],
        _: &mut Buffers,
    ) -> Gradients {
        let order = self.order(inputs[0].shape.len());
        let inverse: Vec<usize> = (0..order.len()).filter_map(|i| order.iter().position(|o| *o == i)).collect();
        let mut plain = vec![0.0; grad.len()];
        permute(&output.shape, &inverse, &Tensor::new(&output.shape, grad).to_row_major(), &mut plain);
        vec![Some(Tensor::from_row_major(&inputs[0].shape, &plain).data)]
    }
}

/// Along one axis, in ONNX's order of dimensions.
#[derive(Debug)]
pub(in super::super) struct Concat(pub(in super::super) i64);

impl Concat {
    /// The axis in the order of storage, and how many runs there are before it.
    fn place(&self, x: &Tensor) -> Option<(usize, usize, usize)> {
        let rank = x.shape.len();
        let axis =
            usize::try_from(if self.0 < 0 { self.0 + rank as i64 } else { self.0 }).ok().filter(|a| *a < rank)?;
        let at = if rank == 4 { [0, 3, 1, 2][axis] } else { axis };
        Some((axis, at, x.stored()[..at].iter().product()))
    }
}

impl Operator for Concat {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let fail = || {
            let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
            format!("shapes {shapes:?} along axis {}", self.0)
        };
        let (axis, _, outer) = inputs.first().and_then(|x| self.place(x)).ok_or_else(fail)?;
        let mut shape = inputs[0].shape.clone();
        shape[axis] = 0;
        for x in inputs {
            let same = x.shape.len() == shape.len() && (0..shape.len()).all(|i| i == axis || x.shape[i] == shape[i]);
            if !same {
                return Err(fail());
            }
            shape[axis] += x.shape[axis];
        }
        let mut y = buffers.take(shape.iter().product());
        let run = y.len() / outer.max(1);
        let mut at = 0;
        for x in inputs {
            let part = x.data.len() / outer.max(1);
            for (from, to) in x.data.chunks(part.max(1)).zip(y.chunks_mut(run.max(1))) {
                to[at..at + part].copy_from_slice(from);
            }
            at += part;
        }
        Ok(Tensor::new(&shape, y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        grad: Vec<f32>,
        wanted: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let outer = inputs.first().and_then(|x| self.place(x)).map_or(1, |(_, _, outer)| outer.max(1));
        let run = grad.len() / outer;
        let mut at = 0;
        let mut out = Vec::with_capacity(inputs.len());
        for (x, wanted) in inputs.iter().zip(wanted) {
            let part = x.data.len() / outer;
            out.push(wanted.then(|| {
                let mut dx = buffers.take(x.data.len());
                for (to, from) in dx.chunks_mut(part.max(1)).zip(grad.chunks(run.max(1))) {
                    to.copy_from_slice(&from[at..at + part]);
                }
                dx
            }));
            at += part;
        }
        buffers.give(grad);
        out
    }
}
