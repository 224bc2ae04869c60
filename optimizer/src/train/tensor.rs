use std::collections::HashMap;

/// A float32 tensor. Rank 4 is stored channels-last, weights too: `shape` is ONNX's (N, C, H, W), the values lie in the
/// order (N, H, W, C). All else is row-major. So a convolution is a matrix product, and loops over channels are long.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f32>,
}

/// From ONNX's order of dimensions to that of storage.
const LAST: [usize; 4] = [0, 2, 3, 1];
const FIRST: [usize; 4] = [0, 3, 1, 2];

impl Tensor {
    pub(super) fn new(shape: &[usize], data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape: shape.to_vec(), data }
    }

    /// From values in ONNX's order.
    pub(super) fn from_row_major(shape: &[usize], values: &[f32]) -> Self {
        let mut data = vec![0.0; values.len()];
        to_storage(shape, values, &mut data);
        Self::new(shape, data)
    }

    pub(super) fn to_row_major(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.data.len()];
        from_storage(&self.shape, &self.data, &mut out);
        out
    }

    /// The dimensions in the order of storage.
    pub(super) fn stored(&self) -> Vec<usize> {
        stored(&self.shape)
    }

    /// (N, C, H, W), where there are four.
    pub(super) fn image(&self) -> Result<[usize; 4], String> {
        self.shape
            .as_slice()
            .try_into()
            .map_err(|_| format!("a value of shape {:?}; expected (N, C, H, W)", self.shape))
    }
}

pub(super) fn stored(shape: &[usize]) -> Vec<usize> {
    if shape.len() == 4 { LAST.iter().map(|i| shape[*i]).collect() } else { shape.to_vec() }
}

pub(super) fn to_storage(shape: &[usize], from: &[f32], to: &mut [f32]) {
    if shape.len() == 4 { permute(shape, &LAST, from, to) } else { to.copy_from_slice(from) }
}

pub(super) fn from_storage(shape: &[usize], from: &[f32], to: &mut [f32]) {
    if shape.len() == 4 { permute(&stored(shape), &FIRST, from, to) } else { to.copy_from_slice(from) }
}

/// Transposes: dimension i of the result is dimension `order[i]` of what came, both row-major.
pub(super) fn permute(shape: &[usize], order: &[usize], from: &[f32], to: &mut [f32]) {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    let dims: Vec<usize> = order.iter().map(|o| shape[*o]).collect();
    let steps: Vec<usize> = order.iter().map(|o| strides[*o]).collect();
    let (Some(&inner), Some(&step)) = (dims.last(), steps.last()) else {
        to.copy_from_slice(from);
        return;
    };
    let mut at = vec![0; dims.len() - 1];
    for run in to.chunks_mut(inner.max(1)) {
        let start: usize = at.iter().zip(&steps).map(|(i, s)| i * s).sum();
        for (i, value) in run.iter_mut().enumerate() {
            *value = from[start + i * step];
        }
        advance(&mut at, &dims);
    }
}

/// Counts up, the last dimension fastest.
pub(super) fn advance(at: &mut [usize], dims: &[usize]) {
    for (i, limit) in at.iter_mut().zip(dims).rev() {
        *i += 1;
        if *i < *limit {
            return;
        }
        *i = 0;
    }
}

/// Memory that steps use again and again: what they take of it is there once the first step is done. By length.
#[derive(Debug, Default)]
pub(super) struct Buffers(HashMap<usize, Pool>);

#[derive(Debug, Default)]
struct Pool {
    free: Vec<Vec<f32>>,
    /// How many are taken.
    lent: usize,
}

impl Buffers {
    /// Of any content.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        let pool = self.0.entry(len).or_default();
        pool.lent += 1;
        pool.free.pop().unwrap_or_else(|| vec![0.0; len])
    }

    pub(super) fn zeros(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// One that was allocated elsewhere is freed: nobody would ever take it again. A few small ones kept in each step tear what is free between them into
    /// pieces that the next step's large ones do not fit into: 1.1 MiB a step, of a student with `BatchNormalization`.
    pub(super) fn give(&mut self, buffer: Vec<f32>) {
        let pool = self.0.entry(buffer.len()).or_default();
        if pool.lent > 0 {
            pool.lent -= 1;
            pool.free.push(buffer);
        }
    }
}

/// A value in ONNX's order.
pub(super) fn plain(shape: &[usize], stored: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; stored.len()];
    from_storage(shape, stored, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_was_taken_at_one_time() {
        let mut buffers = Buffers::default();
        for _ in 0..100 {
            let (a, b) = (buffers.take(3), buffers.take(3));
            buffers.give(a);
            buffers.give(vec![0.0; 3]);
            buffers.give(b);
            buffers.give(vec![0.0; 4]);
        }
        let kept = |len| buffers.0.get(&len).map_or(0, |pool| pool.free.len());
        assert_eq!((kept(3), kept(4)), (2, 0));
    }

    #[test]
    fn channels_go_last_and_come_back() {
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let tensor = Tensor::from_row_major(&[1, 2, 3, 2], &values);
        assert_eq!(tensor.stored(), [1, 3, 2, 2]);
        assert_eq!(tensor.data, [0.0, 6.0, 1.0, 7.0, 2.0, 8.0, 3.0, 9.0, 4.0, 10.0, 5.0, 11.0]);
        assert_eq!(tensor.to_row_major(), values);
        assert_eq!(Tensor::from_row_major(&[3, 4], &values).data, values);
        assert_eq!(Tensor::from_row_major(&[], &[2.0]).to_row_major(), [2.0]);
    }
}
