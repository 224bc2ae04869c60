use drydock_contract::LayerRanks;
use faer::linalg::solvers::{Llt, Solve as _};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par, Side};

use crate::passes::fit::{FitError, RIDGE, principal};
use crate::passes::layer::Layer;

/// What a layer's weights are the product of: applied to x, `output * (core * (input * x))`, with `input` at each place of the
/// kernel by itself.
#[derive(Clone, Debug)]
pub struct Factors {
    /// (input rank, channels); none where the core reads all channels.
    pub input: Option<Mat<f64>>,
    /// (output rank or rows, (input rank or channels) × kernel)
    pub core: Mat<f64>,
    /// (rows, output rank); none where the core makes all rows.
    pub output: Option<Mat<f64>>,
}

impl Factors {
    /// Of these ranks, with equal weights that keep the size of what goes through them: to see what such a layer takes.
    pub fn even(layer: &Layer, ranks: LayerRanks) -> Self {
        let kernel = layer.kernel();
        let even = |rows: usize, columns: usize| Mat::from_fn(rows, columns, |_, _| 1.0 / columns.max(1) as f64);
        let channels = layer.columns / kernel.max(1);
        let (read, made) = (ranks.input.map(|r| r as usize), ranks.output.map(|r| r as usize));
        Self {
            input: read.map(|r| even(r, channels)),
            core: even(made.unwrap_or(layer.rows), read.unwrap_or(channels) * kernel),
            output: made.map(|r| even(layer.rows, r)),
        }
    }

    /// The product: (rows, channels × kernel).
    pub fn weights(&self) -> Mat<f64> {
        let core = match &self.input {
            None => self.core.clone(),
            Some(input) => {
                let kernel = self.core.ncols() / input.nrows().max(1);
                on_channels(self.core.as_ref(), input.transpose(), kernel)
            }
        };
        self.output.as_ref().map_or(core.clone(), |output| output * &core)
    }
}

/// The layer of these ranks whose outputs are nearest to those of `weights` (rows, channels × kernel), in the mean square over
/// inputs of this covariance: Tucker-2. The input factor spans the channels that carry most of the output (one step of
/// higher-order SVD, De Lathauwer et al. 2000, weighted by the covariance, which is taken as that of channels times that of
/// places in the kernel); the core and the output factor are then the best that there are (reduced-rank regression: Izenman
/// 1975). `cross` is `weights` times `covariance`; the covariance must be positive definite.
pub(in crate::passes) fn decompose(
    weights: Mat<f64>,
    cross: Mat<f64>,
    covariance: &Mat<f64>,
    kernel: usize,
    ranks: LayerRanks,
) -> Result<Factors, FitError> {
    let (input, core, cross) = match ranks.input {
        None => (None, weights, cross),
        Some(rank) => {
            let basis = input_basis(&weights, covariance, kernel)?;
            let basis = basis.subrows(0, (rank as usize).min(basis.nrows())).to_owned();
            let (factor, cross) = behind(&basis, &cross, covariance, kernel)?;
            (Some(basis), factor.solve(cross.transpose()).transpose().to_owned(), cross)
        }
    };
    let Some(rank) = ranks.output else { return Ok(Factors { input, core, output: None }) };
    // Covariance of the outputs, because `cross` is the core times the covariance.
    let outputs = &cross * core.transpose();
    let basis = principal(&outputs, (rank as usize).min(outputs.nrows()))?;
    Ok(Factors { input, core: basis.transpose() * &core, output: Some(basis) })
}

/// [`decompose`] for weights that stay what they are.
pub fn project(
    weights: &Mat<f64>,
    covariance: Mat<f64>,
    kernel: usize,
    ranks: LayerRanks,
) -> Result<Factors, FitError> {
    let covariance = regular(covariance);
    decompose(weights.clone(), weights * &covariance, &covariance, kernel, ranks)
}

/// Positive definite: see [`RIDGE`].
fn regular(mut covariance: Mat<f64>) -> Mat<f64> {
    let ridge = RIDGE * trace(&covariance) / covariance.nrows().max(1) as f64;
    for i in 0..covariance.nrows() {
        covariance[(i, i)] += ridge.max(f64::from(f32::MIN_POSITIVE));
    }
    covariance
}

/// The shares of the outputs' variance that layers of these ranks keep, as [`decompose`] makes them: each of `inputs`, and none,
/// with each of `outputs`, and none, but not none of both.
pub fn kept_variance(
    weights: &Mat<f64>,
    covariance: &Mat<f64>,
    kernel: usize,
    (inputs, outputs): (&[usize], &[usize]),
) -> Result<Vec<(LayerRanks, f64)>, FitError> {
    let covariance = regular(covariance.clone());
    let cross = weights * &covariance;
    let total: f64 = trace(&(&cross * weights.transpose()));
    if !total.is_finite() {
        return Err(FitError::NotFinite);
    }
    // Input factors are nested, and so are the triangular factors of what the cores read: one decomposition is that of all ranks.
    let nested = if inputs.is_empty() {
        Mat::zeros(0, 0)
    } else {
        let basis = input_basis(weights, &covariance, kernel)?;
        let (factor, cross) = behind(&basis, &cross, &covariance, kernel)?;
        let mut solved = cross.transpose().to_owned();
        solve_lower_triangular_in_place(factor.L(), solved.as_mut(), Par::Seq);
        solved
    };
    let mut found = Vec::new();
    for input in std::iter::once(None).chain(inputs.iter().map(|r| Some(*r))) {
        let explained = match input {
            None => &cross * weights.transpose(),
            Some(rank) => {
                let first = nested.subrows(0, rank * kernel);
                first.transpose() * first
            }
        };
        let spectrum = explained.self_adjoint_eigenvalues(Side::Lower).map_err(|_| FitError::Decomposition)?;
        let spectrum: Vec<f64> = spectrum.iter().rev().map(|v| v.max(0.0)).collect();
        for output in outputs.iter().map(|r| Some(*r)).chain(input.map(|_| None)) {
            let share = spectrum.iter().take(output.unwrap_or(usize::MAX)).sum::<f64>() / total;
            let ranks = LayerRanks { input: input.map(|r| r as u32), output: output.map(|r| r as u32) };
            // Outputs that do not change are kept by any rank.
            found.push((ranks, if total > 0.0 { share.clamp(0.0, 1.0) } else { 1.0 }));
        }
    }
    Ok(found)
}

/// What a core reads behind an input factor: its covariance, decomposed, and that with what the layer should give.
fn behind(
    basis: &Mat<f64>,
    cross: &Mat<f64>,
    covariance: &Mat<f64>,
    kernel: usize,
) -> Result<(Llt<f64>, Mat<f64>), FitError> {
    let half = on_channels(covariance.as_ref(), basis.as_ref(), kernel);
    let read = on_channels(half.transpose(), basis.as_ref(), kernel);
    let factor = read.llt(Side::Lower).map_err(|_| FitError::Decomposition)?;
    Ok((factor, on_channels(cross.as_ref(), basis.as_ref(), kernel)))
}

/// Orthonormal rows: the first `r` of them span the channels that an input factor of rank `r` reads.
fn input_basis(weights: &Mat<f64>, covariance: &Mat<f64>, kernel: usize) -> Result<Mat<f64>, FitError> {
    let (rows, channels) = (weights.nrows(), weights.ncols() / kernel);
    let among = Mat::from_fn(channels, channels, |a, b| {
        (0..kernel).map(|p| covariance[(a * kernel + p, b * kernel + p)]).sum::<f64>() / kernel as f64
    });
    let mean = trace(&among) / channels.max(1) as f64;
    let places = Mat::from_fn(kernel, kernel, |p, q| {
        let sum: f64 = (0..channels).map(|c| covariance[(c * kernel + p, c * kernel + q)]).sum();
        sum / (channels.max(1) as f64 * mean.max(f64::MIN_POSITIVE))
    });
    let unfolded = Mat::from_fn(channels, rows * kernel, |c, i| weights[(i / kernel, c * kernel + i % kernel)]);
    let weighted = Mat::from_fn(channels, rows * kernel, |c, i| {
        (0..kernel).map(|p| weights[(i / kernel, c * kernel + p)] * places[(p, i % kernel)]).sum::<f64>()
    });
    let carried = weighted * unfolded.transpose();
    let eigen = among.self_adjoint_eigen(Side::Lower).map_err(|_| FitError::Decomposition)?;
    let (vectors, values) = (eigen.U(), eigen.S());
    let scaled = Mat::from_fn(channels, channels, |i, j| vectors[(i, j)] * values[j].max(0.0).sqrt());
    let root = scaled * vectors.transpose();
    let order = principal(&(&root * &carried * &root), channels)?;
    // The rows are those of the transposed eigenvectors times the root's inverse, scaled, and without the inverse.
    let spans = carried * root * order;
    let norms: Vec<f64> = (0..channels).map(|j| spans.col(j).norm_l2()).collect();
    let spans = Mat::from_fn(channels, channels, |i, j| spans[(i, j)] / norms[j].max(f64::MIN_POSITIVE));
    Ok(spans.qr().compute_Q().transpose().to_owned())
}

/// `m` (n, channels × kernel) times the transpose of `basis` (rank, channels) at each place of the kernel: (n, rank × kernel).
fn on_channels(m: MatRef<'_, f64>, basis: MatRef<'_, f64>, kernel: usize) -> Mat<f64> {
    let channels = basis.ncols();
    let mut result = Mat::zeros(m.nrows(), basis.nrows() * kernel);
    for place in 0..kernel {
        let at = Mat::from_fn(m.nrows(), channels, |i, c| m[(i, c * kernel + place)]);
        let part = at * basis.transpose();
        for r in 0..basis.nrows() {
            result.col_mut(r * kernel + place).copy_from(part.col(r));
        }
    }
    result
}

fn trace(m: &Mat<f64>) -> f64 {
    (0..m.nrows()).map(|i| m[(i, i)]).sum()
}

#[cfg(test)]
mod tests;
