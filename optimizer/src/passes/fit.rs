use drydock_contract::LayerRanks;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Solve as _;
use faer::{Accum, Mat, MatRef, Par, Side};

use super::factorize::{Factors, decompose};

/// Added to the diagonal of the inputs' covariance, as a share of its mean: holds the weights to the prior where the
/// samples say little.
pub(super) const RIDGE: f64 = 1e-2;
/// The same of the inputs' squares: far above what float64 loses when means are taken off.
const ROUNDING: f64 = 1e-8;
/// Of the root mean squares: a covariance below is what sums of tens of thousands lose to float64.
const NOISE: f64 = 1e-10;
/// Rounds of fitting to what the activation function lets through.
const ROUNDS: usize = 3;
/// Samples that are widened to f64 at a time.
const CHUNK: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("the activations on calibration data are not finite; expected numbers")]
    NotFinite,
    #[error("the covariance cannot be decomposed; are the activations on calibration data of reasonable size?")]
    Decomposition,
}

/// Find weights W and bias b such that `limit(W x + b + added)` is nearest to `limit(target)` in the mean square.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// (samples, columns)
    pub inputs: MatRef<'a, f32>,
    /// (samples, rows)
    pub targets: MatRef<'a, f32>,
    /// What the result is added to before the limits.
    pub added: Option<MatRef<'a, f32>>,
    /// (rows, columns): where the weights are drawn to.
    pub prior: MatRef<'a, f32>,
    /// Of the activation function: 0 and infinity for `Relu`.
    pub limits: (f32, f32),
    /// None: no bound.
    pub ranks: Option<LayerRanks>,
    /// Columns of each channel.
    pub kernel: usize,
    pub bias: bool,
}

#[derive(Clone, Debug)]
pub struct Fit {
    /// All of the weights in the core where there are no ranks.
    pub factors: Factors,
    pub bias: Vec<f64>,
    /// Mean square of what is left, over the variance of the target, both after the limits.
    pub error: f64,
}

/// Ridge regression towards the prior; of bounded rank by [`decompose`]. What the limits hide need not be met: targets beyond a limit are moved to the nearest value
/// that gives the same result, and the regression is done again (as Zhang et al. 2015, "Accelerating very deep
/// convolutional networks", do for `Relu`).
pub fn fit(problem: &Problem<'_>) -> Result<Fit, FitError> {
    let (samples, columns) = (problem.inputs.nrows(), problem.inputs.ncols());
    let rows = problem.targets.ncols();
    let n = samples.max(1) as f64;
    let mean: Vec<f64> = if problem.bias { means(problem.inputs) } else { vec![0.0; columns] };
    let mut squares = Mat::zeros(columns, columns);
    add_squares(&mut squares, problem.inputs);
    let mut covariance = Mat::from_fn(columns, columns, |i, j| squares[(i.max(j), i.min(j))]);
    let square: f64 = (0..columns).map(|i| covariance[(i, i)]).sum();
    for j in 0..columns {
        for i in 0..columns {
            covariance[(i, j)] -= n * mean[i] * mean[j];
        }
    }
    let trace: f64 = (0..columns).map(|i| covariance[(i, i)]).sum();
    if !trace.is_finite() {
        return Err(FitError::NotFinite);
    }
    // Constant inputs have no variance but what rounding left of their squares, and then the prior is the answer.
    let ridge = (RIDGE * trace).max(ROUNDING * square) / columns.max(1) as f64;
    let ridge = ridge.max(f64::from(f32::MIN_POSITIVE));
    for i in 0..columns {
        covariance[(i, i)] += ridge;
    }
    let factor = covariance.llt(Side::Lower).map_err(|_| FitError::Decomposition)?;
    let prior = Mat::from_fn(rows, columns, |i, j| f64::from(problem.prior[(i, j)]));

    let added = |i: usize, j: usize| problem.added.map_or(0.0, |a| a[(i, j)]);
    let mut wanted = Mat::from_fn(samples, rows, |i, j| problem.targets[(i, j)] - added(i, j));
    let (low, high) = problem.limits;
    let rounds = if low.is_finite() || high.is_finite() { ROUNDS } else { 0 };
    for round in 0.. {
        let mean_wanted = if problem.bias { means(wanted.as_ref()) } else { vec![0.0; rows] };
        if !mean_wanted.iter().all(|m| m.is_finite()) {
            return Err(FitError::NotFinite);
        }
        let mut cross = product(wanted.as_ref(), problem.inputs);
        for j in 0..columns {
            for i in 0..rows {
                cross[(i, j)] += ridge * prior[(i, j)] - n * mean_wanted[i] * mean[j];
            }
        }
        let weights = factor.solve(cross.transpose()).transpose().to_owned();
        let factors = match problem.ranks {
            None => Factors { input: None, core: weights, output: None },
            Some(ranks) => decompose(weights, cross, &covariance, problem.kernel, ranks)?,
        };
        let whole = factors.weights();
        let mut fit = Fit { factors, bias: Vec::new(), error: 0.0 };
        fit.bias =
            (0..rows).map(|i| mean_wanted[i] - (0..columns).map(|j| whole[(i, j)] * mean[j]).sum::<f64>()).collect();
        let narrow = Mat::from_fn(rows, columns, |i, j| whole[(i, j)] as f32);
        let mut found = problem.inputs * narrow.transpose();
        let (mut left, mut square, mut sum) = (0.0_f64, 0.0_f64, vec![0.0_f64; rows]);
        for j in 0..rows {
            for i in 0..samples {
                let value = found[(i, j)] + fit.bias[j] as f32 + added(i, j);
                let target = problem.targets[(i, j)];
                let shown = f64::from(target.clamp(low, high));
                left += (f64::from(value.clamp(low, high)) - shown).powi(2);
                square += shown * shown;
                sum[j] += shown;
                let moved = if target <= low {
                    value.min(low)
                } else if target >= high {
                    value.max(high)
                } else {
                    target
                };
                found[(i, j)] = moved - added(i, j);
            }
        }
        let variance = square - sum.iter().map(|s| s * s / n).sum::<f64>();
        fit.error = if variance > 0.0 { left / variance } else { 0.0 };
        if round == rounds {
            return if fit.error.is_finite() { Ok(fit) } else { Err(FitError::NotFinite) };
        }
        wanted = found;
    }
    Err(FitError::Decomposition)
}

/// Mean and covariance of samples, as they come.
#[derive(Clone, Debug)]
pub struct Moments {
    count: usize,
    sum: Vec<f64>,
    /// On and below the diagonal.
    products: Mat<f64>,
}

impl Moments {
    pub fn new(width: usize) -> Self {
        Self { count: 0, sum: vec![0.0; width], products: Mat::zeros(width, width) }
    }

    /// (samples, width)
    pub fn add(&mut self, samples: MatRef<'_, f32>) {
        self.count += samples.nrows();
        for (j, sum) in self.sum.iter_mut().enumerate() {
            *sum += (0..samples.nrows()).map(|i| f64::from(samples[(i, j)])).sum::<f64>();
        }
        add_squares(&mut self.products, samples);
    }

    pub fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|s| s / self.count.max(1) as f64).collect()
    }

    /// (width, width)
    pub fn covariance(&self) -> Result<Mat<f64>, FitError> {
        let (mean, n) = (self.mean(), self.count.max(1) as f64);
        if !mean.iter().all(|m| m.is_finite()) {
            return Err(FitError::NotFinite);
        }
        // What rounding leaves of a constant is no variance, and may be negative.
        let noise = |i: usize, j: usize| NOISE * (self.products[(i, i)] * self.products[(j, j)]).sqrt() / n;
        Ok(Mat::from_fn(mean.len(), mean.len(), |i, j| {
            let value = self.products[(i.max(j), i.min(j))] / n - mean[i] * mean[j];
            if value.abs() <= noise(i, j) { 0.0 } else { value }
        }))
    }
}

/// Eigenvectors of the largest eigenvalues, as columns.
pub(super) fn principal(symmetric: &Mat<f64>, count: usize) -> Result<Mat<f64>, FitError> {
    let n = symmetric.nrows();
    let eigen = symmetric.self_adjoint_eigen(Side::Lower).map_err(|_| FitError::Decomposition)?;
    let vectors = eigen.U();
    Ok(Mat::from_fn(n, count, |i, j| vectors[(i, n - 1 - j)]))
}

fn means(samples: MatRef<'_, f32>) -> Vec<f64> {
    let n = samples.nrows().max(1) as f64;
    (0..samples.ncols()).map(|j| (0..samples.nrows()).map(|i| f64::from(samples[(i, j)])).sum::<f64>() / n).collect()
}

/// aᵀ b, summed in f64.
fn product(a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> Mat<f64> {
    let mut sum = Mat::zeros(a.ncols(), b.ncols());
    for (start, count) in chunks(a) {
        let (a, b) = (widened(a, start, count), widened(b, start, count));
        matmul(sum.as_mut(), Accum::Add, a.transpose(), b.as_ref(), 1.0, Par::Seq);
    }
    sum
}

/// Adds aᵀ a, on and below the diagonal: what is above is equal and would cost as much again.
fn add_squares(sum: &mut Mat<f64>, a: MatRef<'_, f32>) {
    let whole = BlockStructure::Rectangular;
    for (start, count) in chunks(a) {
        let a = widened(a, start, count);
        triangular::matmul(
            sum.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            a.transpose(),
            whole,
            a.as_ref(),
            whole,
            1.0,
            Par::Seq,
        );
    }
}

/// First sample and number of samples.
fn chunks(samples: MatRef<'_, f32>) -> impl Iterator<Item = (usize, usize)> {
    let all = samples.nrows();
    (0..all).step_by(CHUNK).map(move |start| (start, CHUNK.min(all - start)))
}

fn widened(samples: MatRef<'_, f32>, start: usize, count: usize) -> Mat<f64> {
    Mat::from_fn(count, samples.ncols(), |i, j| f64::from(samples[(start + i, j)]))
}

#[cfg(test)]
mod tests;
