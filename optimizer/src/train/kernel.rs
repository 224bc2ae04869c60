//! Loops that are most of a step's time: matrix products, and vector loops compiled for the processor that runs them.
//!
//! All of it on one thread and in one order: equal inputs give equal bits on equal processors.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major matrix inside a slice, its rows `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, stride: columns, transposed: false }
    }

    /// `data` begins at the first element of the matrix.
    pub(super) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data: &data[..span(rows, columns, stride)], rows, columns, stride, transposed: false }
    }

    pub(super) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn view(&self) -> MatRef<'a, f32> {
        let matrix = MatRef::from_row_major_slice_with_stride(self.data, self.rows, self.columns, self.stride);
        if self.transposed { matrix.transpose() } else { matrix }
    }
}

fn span(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + columns }
}

/// `to` (rows `stride` apart) = a·b, or += where `add`.
pub(super) fn multiply(to: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    let (a, b) = (a.view(), b.view());
    let to = &mut to[..span(a.nrows(), b.ncols(), stride)];
    // By columns and turned over: faer 0.24 gives back `from_row_major_slice_with_stride_mut` with its strides exchanged.
    let to = MatMut::from_column_major_slice_with_stride_mut(to, b.ncols(), a.nrows(), stride).transpose_mut();
    matmul(to, if add { Accum::Add } else { Accum::Replace }, a, b, 1.0_f32, Par::Seq);
}

/// Runs a loop as compiled for this processor's vector instructions. What it calls must be inlined to gain.
#[inline]
pub(super) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// to += x
pub(super) fn add(to: &mut [f32], x: &[f32]) {
    vectorized(|| to.iter_mut().zip(x).for_each(|(t, x)| *t += x));
}

/// How often a row of channels is laid end to end so that loops over it are long.
pub(super) fn repeats(channels: usize, rows: usize) -> usize {
    (256 / channels.max(1)).clamp(1, rows.max(1))
}

/// `row`, `times` times over.
pub(super) fn repeat(row: &[f32], times: usize) -> Vec<f32> {
    row.repeat(times)
}

/// For each column of the (rows, columns) matrices: Σ x, added to `sums`.
pub(super) fn column_sums(x: &[f32], columns: usize, sums: &mut [f32]) {
    let rows = x.len() / columns.max(1);
    let wide = repeats(columns, rows) * columns;
    // Short runs in float32, their sums in float64: thousands of rows lose no digits.
    let mut total = vec![0.0_f64; wide];
    let mut part = vec![0.0_f32; wide];
    vectorized(|| {
        for block in x.chunks(wide * 32) {
            part.fill(0.0);
            for run in block.chunks(wide) {
                for (p, x) in part.iter_mut().zip(run) {
                    *p += x;
                }
            }
            for (t, p) in total.iter_mut().zip(&part) {
                *t += f64::from(*p);
            }
        }
    });
    fold(&total, columns, sums);
}

/// Adds what lies `columns` apart.
pub(super) fn fold(total: &[f64], columns: usize, sums: &mut [f32]) {
    for (column, sum) in sums.iter_mut().enumerate() {
        *sum += total.iter().skip(column).step_by(columns).sum::<f64>() as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_parts_of_matrices() {
        // Columns 1 and 2 of a (2, 3), times a (2, 2), into columns 1 and 2 of a (2, 4).
        let a = [9.0, 1.0, 2.0, 9.0, 3.0, 4.0];
        let b = [1.0, 0.0, 1.0, 1.0];
        let mut to = [1.0; 8];
        multiply(&mut to[1..], 4, Matrix::strided(&a[1..], 2, 2, 3), Matrix::new(&b, 2, 2), false);
        assert_eq!(to, [1.0, 3.0, 2.0, 1.0, 1.0, 7.0, 4.0, 1.0]);
        multiply(&mut to[1..], 4, Matrix::strided(&a[1..], 2, 2, 3).t(), Matrix::new(&b, 2, 2), true);
        assert_eq!(to, [1.0, 7.0, 5.0, 1.0, 1.0, 13.0, 8.0, 1.0]);
    }

    #[test]
    fn sums_of_columns() {
        let x: Vec<f32> = (0..3 * 1001_u16).map(f32::from).collect();
        let mut sums = [1.0, 0.0, 0.0];
        column_sums(&x, 3, &mut sums);
        assert_eq!(sums, [1_501_501.0, 1_502_501.0, 1_503_502.0]);
    }
}
