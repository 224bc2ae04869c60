use faer::linalg::solvers::DenseSolveCore as _;
use faer::{Mat, Side};

use super::fit::{FitError, RIDGE};

/// Columns whose zeros are chosen together.
const BLOCK: usize = 128;

/// Where zeros may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zeros {
    /// This share of the weights.
    Anywhere(f64),
    TwoOfFour,
}

/// Sets weights (rows, columns) to zero and moves those after them, column by column, so that the layer's output on inputs of
/// this covariance changes least: Frantar and Alistarh, "SparseGPT" (2023), algorithm 1, after the optimal brain surgeon.
///
/// # Errors
/// A covariance that is not finite.
pub fn sparsify(weights: &mut Mat<f64>, mut covariance: Mat<f64>, zeros: Zeros) -> Result<(), FitError> {
    let (rows, n) = (weights.nrows(), weights.ncols());
    let trace: f64 = (0..n).map(|i| covariance[(i, i)]).sum();
    if !trace.is_finite() {
        return Err(FitError::NotFinite);
    }
    let ridge = (RIDGE * trace / n.max(1) as f64).max(f64::from(f32::MIN_POSITIVE));
    for i in 0..n {
        covariance[(i, i)] += ridge;
    }
    let inverse = covariance.llt(Side::Lower).map_err(|_| FitError::Decomposition)?.inverse();
    // inverse = lower * lowerᵀ; the row of `lowerᵀ` at i is what an error of column i asks of those after it.
    let factor = inverse.llt(Side::Lower).map_err(|_| FitError::Decomposition)?;
    let lower = factor.L();
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let mut gone = match zeros {
            Zeros::Anywhere(share) => smallest(weights, |j| lower[(j, j)], start..end, share),
            Zeros::TwoOfFour => vec![false; rows * (end - start)],
        };
        for column in start..end {
            let cost = |w: f64, j: usize| (w / lower[(j, j)]).powi(2);
            // A last group of fewer than four stays whole.
            if zeros == Zeros::TwoOfFour && column % 4 == 0 && column + 4 <= n {
                for row in 0..rows {
                    let mut four = [0, 1, 2, 3].map(|k| (cost(weights[(row, column + k)], column + k), k));
                    four.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    for (_, k) in &four[..2] {
                        gone[row * (end - start) + column - start + k] = true;
                    }
                }
            }
            for row in (0..rows).filter(|row| gone[row * (end - start) + column - start]) {
                let error = weights[(row, column)] / lower[(column, column)];
                for later in column + 1..n {
                    weights[(row, later)] -= error * lower[(later, column)];
                }
                weights[(row, column)] = 0.0;
            }
        }
    }
    Ok(())
}

/// Marks this share of a block's weights, those that cost least; row-major.
fn smallest(weights: &Mat<f64>, scale: impl Fn(usize) -> f64, block: std::ops::Range<usize>, share: f64) -> Vec<bool> {
    let mut costs: Vec<(f64, usize)> = (0..weights.nrows())
        .flat_map(|row| block.clone().map(move |j| (row, j)))
        .enumerate()
        .map(|(at, (row, j))| ((weights[(row, j)] / scale(j)).powi(2), at))
        .collect();
    costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut marked = vec![false; costs.len()];
    let count = (share * costs.len() as f64).round() as usize;
    costs.iter().take(count).for_each(|(_, at)| marked[*at] = true);
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as f64 / f64::from(1_u32 << 31) * 2.0 - 1.0
    }

    /// Columns that go together, as neighbours in an image do.
    fn problem(rows: usize, n: usize) -> (Mat<f64>, Mat<f64>) {
        let mut seed = 7;
        let weights = Mat::from_fn(rows, n, |_, _| random(&mut seed));
        let mix = Mat::from_fn(n, n, |_, _| random(&mut seed));
        let near = Mat::from_fn(n, n, |i, j| 0.9_f64.powi((i as i32 - j as i32).abs()));
        (weights, &near + 0.01 * (&mix * mix.transpose()))
    }

    fn error(before: &Mat<f64>, after: &Mat<f64>, covariance: &Mat<f64>) -> f64 {
        let e = after - before;
        let through = &e * covariance;
        (0..e.nrows()).map(|i| (0..e.ncols()).map(|j| through[(i, j)] * e[(i, j)]).sum::<f64>()).sum()
    }

    #[test]
    fn as_many_zeros_as_asked_and_less_error_than_by_size() {
        for (rows, n) in [(6, 24), (3, 300)] {
            let (weights, covariance) = problem(rows, n);
            let zeros =
                |w: &Mat<f64>| (0..rows).map(|i| (0..n).filter(|j| w[(i, *j)] == 0.0).count()).collect::<Vec<_>>();

            let mut half = weights.clone();
            sparsify(&mut half, covariance.clone(), Zeros::Anywhere(0.5)).unwrap();
            assert_eq!(zeros(&half).iter().sum::<usize>(), rows * n / 2, "{rows} x {n}");
            let mut plain = weights.clone();
            let marked = smallest(&weights, |_| 1.0, 0..n, 0.5);
            (0..rows * n).filter(|at| marked[*at]).for_each(|at| plain[(at / n, at % n)] = 0.0);
            let (ours, by_size) = (error(&weights, &half, &covariance), error(&weights, &plain, &covariance));
            assert!(ours < 0.8 * by_size, "{rows} x {n}: {ours} of {by_size}");

            let mut pattern = weights.clone();
            sparsify(&mut pattern, covariance.clone(), Zeros::TwoOfFour).unwrap();
            for i in 0..rows {
                for four in (0..n).step_by(4) {
                    assert_eq!(
                        (four..four + 4).filter(|j| pattern[(i, *j)] == 0.0).count(),
                        2,
                        "row {i}, column {four}"
                    );
                }
            }
        }
    }

    #[test]
    fn hostile_covariances_and_odd_widths() {
        for n in [1, 3, 5] {
            let (weights, _) = problem(2, n);
            let mut pattern = weights.clone();
            sparsify(&mut pattern, Mat::zeros(n, n), Zeros::TwoOfFour).unwrap();
            let left = (n / 4 * 4..n).all(|j| (0..2).all(|i| pattern[(i, j)] != 0.0));
            assert!(left, "a group of {} is whole", n % 4);
        }
        let mut weights = Mat::zeros(2, 4);
        let nan = Mat::from_fn(4, 4, |_, _| f64::NAN);
        assert!(matches!(sparsify(&mut weights, nan, Zeros::TwoOfFour), Err(FitError::NotFinite)));
    }
}
