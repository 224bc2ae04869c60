use super::{Gradients, Operator};
use crate::train::kernel::{Matrix, column_sums, multiply};
use crate::train::tensor::{Buffers, Tensor};

/// y = α·a·b + β·c; a is (M, K), b is (K, N), either may come transposed; c is (N), (1, N), scalar, or absent.
#[derive(Debug)]
pub(in super::super) struct Gemm {
    pub(in super::super) alpha: f32,
    pub(in super::super) beta: f32,
    pub(in super::super) transposed: [bool; 2],
}

impl Gemm {
    /// M, K, N.
    fn sizes(&self, a: &Tensor, b: &Tensor) -> Result<[usize; 3], String> {
        let pair = |t: &Tensor, transposed: bool| match (t.shape.as_slice(), transposed) {
            ([r, c], false) | ([c, r], true) => Some((*r, *c)),
            _ => None,
        };
        match (pair(a, self.transposed[0]), pair(b, self.transposed[1])) {
            (Some((m, k)), Some((other, n))) if k == other => Ok([m, k, n]),
            _ => Err(format!("shapes {:?} and {:?}; expected matrices that fit", a.shape, b.shape)),
        }
    }
}

fn matrix(t: &Tensor) -> Matrix<'_> {
    Matrix::new(&t.data, t.shape[0], t.shape[1])
}

impl Operator for Gemm {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let (a, b) = (inputs[0], inputs[1]);
        let [m, _, n] = self.sizes(a, b)?;
        let mut y = buffers.take(m * n);
        let (ma, mb) = (matrix(a), matrix(b));
        let (ma, mb) = (if self.transposed[0] { ma.t() } else { ma }, if self.transposed[1] { mb.t() } else { mb });
        multiply(&mut y, n, ma, mb, false);
        if self.alpha.to_bits() != 1.0_f32.to_bits() {
            for y in &mut y {
                *y *= self.alpha;
            }
        }
        if let Some(c) = inputs.get(2) {
            match c.data.len() {
                len if len == n => {
                    y.chunks_mut(n.max(1))
                        .for_each(|row| row.iter_mut().zip(&c.data).for_each(|(y, c)| *y += self.beta * c));
                }
                1 => y.iter_mut().for_each(|y| *y += self.beta * c.data[0]),
                _ => return Err(format!("a bias of shape {:?}; expected ({n})", c.shape)),
            }
        }
        Ok(Tensor::new(&[m, n], y))
    }

    fn backward(
        &mut self,
        inputs: &[&Tensor],
        _: &Tensor,
        mut grad: Vec<f32>,
        wanted: &[bool],
        buffers: &mut Buffers,
    ) -> Gradients {
        let (a, b) = (inputs[0], inputs[1]);
        let mut out: Gradients = vec![None; inputs.len()];
        let Ok([m, k, n]) = self.sizes(a, b) else { return out };
        if wanted.get(2) == Some(&true) {
            let mut sums = vec![0.0; n];
            column_sums(&grad, n, &mut sums);
            if inputs[2].data.len() == 1 {
                sums = vec![sums.iter().sum()];
            }
            for s in &mut sums {
                *s *= self.beta;
            }
            out[2] = Some(sums);
        }
        if self.alpha.to_bits() != 1.0_f32.to_bits() {
            for g in &mut *grad {
                *g *= self.alpha;
            }
        }
        let dy = Matrix::new(&grad, m, n);
        let (ma, mb) = (matrix(a), matrix(b));
        let ma = if self.transposed[0] { ma.t() } else { ma };
        let mb = if self.transposed[1] { mb.t() } else { mb };
        if wanted[0] {
            let mut da = buffers.take(m * k);
            // dA = dy·bᵀ, or its transpose.
            if self.transposed[0] {
                multiply(&mut da, m, mb, dy.t(), false);
            } else {
                multiply(&mut da, k, dy, mb.t(), false);
            }
            out[0] = Some(da);
        }
        if wanted[1] {
            let mut db = buffers.take(k * n);
            if self.transposed[1] {
                multiply(&mut db, k, dy.t(), ma, false);
            } else {
                multiply(&mut db, n, ma.t(), dy, false);
            }
            out[1] = Some(db);
        }
        buffers.give(grad);
        out
    }
}

/// (…, M, K) times (K, N), or times (…, K, N) of the same leading dimensions.
#[derive(Debug)]
pub(in super::super) struct MatMul;

/// How many products there are, and M, K, N of each.
struct Products {
    count: usize,
    m: usize,
    k: usize,
    n: usize,
}

impl MatMul {
    fn products(a: &Tensor, b: &Tensor) -> Result<Products, String> {
        let fail = || format!("shapes {:?} and {:?}; expected (…, M, K) and (K, N) or (…, K, N)", a.shape, b.shape);
        // Rank 4 is stored in another order.
        if a.shape.len() == 4 || b.shape.len() == 4 {
            return Err(format!("{}, of rank 2 or 3", fail()));
        }
        match (a.shape.as_slice(), b.shape.as_slice()) {
            ([lead @ .., k], [other, n]) if k == other => {
                Ok(Products { count: 1, m: lead.iter().product(), k: *k, n: *n })
            }
            ([la @ .., m, k], [lb @ .., other, n]) if k == other && la == lb => {
                Ok(Products { count: la.iter().product(), m: *m, k: *k, n: *n })
            }
            _ => Err(fail()),
        }
    }
}

impl Operator for MatMul {
    fn forward(&mut self, inputs: &[&Tensor], buffers: &mut Buffers) -> Result<Tensor, String> {
        let (a, b) = (inputs[0], inputs[1]);
        let Products { count, m, k, n } = Self::products(a, b)?;
        let mut y = buffers.take(count * m * n);
        for i in 0..count {
            let (ma, mb) =
                (Matrix::new(&a.data[i * m * k..][..m * k], m, k), Matrix::new(&b.data[i * k * n..][..k * n], k, n));
            multiply(&mut y[i * m * n..], n, ma, mb, false);
        }
        let mut shape = a.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = n;
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
        let (a, b) = (inputs[0], inputs[1]);
        let mut out: Gradients = vec![None, None];
        let Ok(Products { count, m, k, n }) = Self::products(a, b) else { return out };
        let mut da = wanted[0].then(|| buffers.take(a.data.len()));
        let mut db = wanted[1].then(|| buffers.take(b.data.len()));
        for i in 0..count {
            let dy = Matrix::new(&grad[i * m * n..][..m * n], m, n);
            if let Some(da) = &mut da {
                multiply(&mut da[i * m * k..], k, dy, Matrix::new(&b.data[i * k * n..][..k * n], k, n).t(), false);
            }
            if let Some(db) = &mut db {
                multiply(&mut db[i * k * n..], n, Matrix::new(&a.data[i * m * k..][..m * k], m, k).t(), dy, false);
            }
        }
        buffers.give(grad);
        out[0] = da;
        out[1] = db;
        out
    }
}
