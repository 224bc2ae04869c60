use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore as _, Solve as _};
use faer::{Accum, Mat, MatRef, Par, Side};

use crate::passes::fit::{FitError, RIDGE};

/// A layer that reads the channels of a family.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// (rows, columns)
    pub weights: Mat<f64>,
    /// Of what it reads: (columns, columns).
    pub covariance: Mat<f64>,
    /// For each unit of the family, the columns that read it; none where another of the units' tensors is read.
    pub columns: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The error that is left once the other weights make up for the unit: an optimal brain surgeon (Hassibi and Stork
    /// 1993) whose weights are whole blocks of columns.
    Reconstruction,
    /// The size of the weights.
    Magnitude,
    /// The size of the weights times that of what they multiply.
    Activation,
}

/// Which units of a family to take out first, and what that costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Elimination {
    /// All units, the least important first.
    pub order: Vec<usize>,
    /// After the first, the second ... unit is gone: -ln of the share of each consumer's output that is left, added up.
    losses: Vec<f64>,
}

impl Elimination {
    pub fn units(&self) -> usize {
        self.order.len()
    }

    pub fn loss(&self, removed: usize) -> f64 {
        removed.checked_sub(1).and_then(|i| self.losses.get(i)).copied().unwrap_or(0.0)
    }

    /// Numbers of units that may be taken out: what is left is a multiple of what vector instructions work on.
    pub fn steps(&self) -> impl Iterator<Item = usize> + use<> {
        let units = self.units();
        let step = (units / 4).clamp(1, 8);
        (1..units).filter(move |removed| (units - removed).is_multiple_of(step))
    }
}

impl Elimination {
    /// By how much each unit matters, on a scale that all families share and whose sum over all of them is `total`.
    pub fn by_importance(importance: &[f64], total: f64) -> Self {
        let mut order: Vec<usize> = (0..importance.len()).collect();
        order.sort_by(|a, b| importance[*a].total_cmp(&importance[*b]).then(a.cmp(b)));
        let mut lost = 0.0;
        let losses = order.iter().map(|unit| {
            lost += importance[*unit] / total.max(f64::MIN_POSITIVE);
            lost
        });
        let losses = losses.collect();
        Self { order, losses }
    }
}

/// Takes one unit after another, each time the one that costs its consumers least.
///
/// # Errors
/// Values that are not finite.
pub fn eliminate(units: usize, consumers: Vec<Consumer>, score: Score) -> Result<Elimination, FitError> {
    let mut states = consumers.into_iter().map(|c| State::new(c, score)).collect::<Result<Vec<_>, _>>()?;
    let mut left: Vec<usize> = (0..units).collect();
    let mut result = Elimination { order: Vec::with_capacity(units), losses: Vec::with_capacity(units) };
    while !left.is_empty() {
        let mut best: Option<(f64, usize)> = None;
        for (at, unit) in left.iter().enumerate() {
            let cost = states.iter().map(|s| s.cost(*unit)).sum::<Result<f64, _>>()?;
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, at));
            }
        }
        let Some((_, at)) = best else { break };
        let unit = left.remove(at);
        for state in &mut states {
            state.take(unit)?;
        }
        result.order.push(unit);
        result.losses.push(states.iter().map(State::loss).sum());
    }
    Ok(result)
}

struct State {
    consumer: Consumer,
    score: Score,
    /// Of the damped covariance of the columns that are left.
    inverse: Mat<f64>,
    energy: f64,
    lost: f64,
}

impl State {
    fn new(mut consumer: Consumer, score: Score) -> Result<Self, FitError> {
        let n = consumer.covariance.nrows();
        let trace: f64 = (0..n).map(|i| consumer.covariance[(i, i)]).sum();
        if !trace.is_finite() {
            return Err(FitError::NotFinite);
        }
        let ridge = (RIDGE * trace / n.max(1) as f64).max(f64::from(f32::MIN_POSITIVE));
        for i in 0..n {
            consumer.covariance[(i, i)] += ridge;
        }
        let inverse = if score == Score::Reconstruction {
            consumer.covariance.llt(Side::Lower).map_err(|_| FitError::Decomposition)?.inverse()
        } else {
            Mat::zeros(0, 0)
        };
        let w = &consumer.weights;
        let energy = match score {
            Score::Magnitude => w.squared_norm_l2(),
            Score::Activation => (0..n).map(|j| w.col(j).squared_norm_l2() * consumer.covariance[(j, j)]).sum(),
            Score::Reconstruction => {
                let outputs = w * &consumer.covariance;
                (0..n).map(|j| (0..w.nrows()).map(|i| outputs[(i, j)] * w[(i, j)]).sum::<f64>()).sum()
            }
        };
        Ok(Self { consumer, score, inverse, energy, lost: 0.0 })
    }

    fn block(&self, columns: &[usize]) -> Mat<f64> {
        Mat::from_fn(columns.len(), columns.len(), |i, j| self.inverse[(columns[i], columns[j])])
    }

    fn weights(&self, columns: &[usize]) -> Mat<f64> {
        Mat::from_fn(self.consumer.weights.nrows(), columns.len(), |i, j| self.consumer.weights[(i, columns[j])])
    }

    /// As a share of the consumer's output.
    fn cost(&self, unit: usize) -> Result<f64, FitError> {
        let columns = &self.consumer.columns[unit];
        if columns.is_empty() || self.energy <= 0.0 {
            return Ok(0.0);
        }
        let w = &self.consumer.weights;
        let lost = match self.score {
            Score::Magnitude => columns.iter().map(|j| w.col(*j).squared_norm_l2()).sum(),
            Score::Activation => {
                columns.iter().map(|j| w.col(*j).squared_norm_l2() * self.consumer.covariance[(*j, *j)]).sum()
            }
            Score::Reconstruction => {
                let weights = self.weights(columns);
                let gram = weights.transpose() * &weights;
                let factor = self.block(columns).llt(Side::Lower).map_err(|_| FitError::Decomposition)?;
                let solved = factor.solve(&gram);
                (0..columns.len()).map(|i| solved[(i, i)]).sum::<f64>()
            }
        };
        Ok(lost / self.energy)
    }

    fn take(&mut self, unit: usize) -> Result<(), FitError> {
        self.lost += self.cost(unit)?;
        let columns = self.consumer.columns[unit].clone();
        if columns.is_empty() || self.score != Score::Reconstruction {
            return Ok(());
        }
        let n = self.inverse.nrows();
        let factor = self.block(&columns).llt(Side::Lower).map_err(|_| FitError::Decomposition)?;
        let across = Mat::from_fn(columns.len(), n, |i, j| self.inverse[(columns[i], j)]);
        let solved = factor.solve(&across);
        let update = |target: &mut Mat<f64>, left: MatRef<'_, f64>| {
            matmul(target.as_mut(), Accum::Add, left, solved.as_ref(), -1.0, Par::Seq);
        };
        let weights = self.weights(&columns);
        update(&mut self.consumer.weights, weights.as_ref());
        update(&mut self.inverse, across.transpose());
        // What is gone is exactly gone, so that roundings cannot bring it back.
        for &j in &columns {
            for i in 0..n {
                self.inverse[(i, j)] = 0.0;
                self.inverse[(j, i)] = 0.0;
            }
            for i in 0..self.consumer.weights.nrows() {
                self.consumer.weights[(i, j)] = 0.0;
            }
        }
        Ok(())
    }

    fn loss(&self) -> f64 {
        -(1.0 - self.lost).clamp(1e-9, 1.0).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(rows: &[&[f64]], covariance: &[&[f64]]) -> Consumer {
        let matrix = |m: &[&[f64]]| Mat::from_fn(m.len(), m[0].len(), |i, j| m[i][j]);
        let columns = (0..covariance.len()).map(|j| vec![j]).collect();
        Consumer { weights: matrix(rows), covariance: matrix(covariance), columns }
    }

    #[test]
    fn what_costs_least_goes_first() {
        // Three channels. The second and the third carry the same signal.
        let twins: &[&[f64]] = &[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.999], &[0.0, 0.999, 1.0]];
        // The first is loud, and read with small weights.
        let loud: &[&[f64]] = &[&[100.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]];
        for (name, rows, covariance, score, first) in [
            ("what a twin stands for", [0.9, 1.0, 1.1], twins, Score::Reconstruction, 1),
            ("magnitude sees no twins", [0.9, 1.0, 1.1], twins, Score::Magnitude, 0),
            ("magnitude sees no loudness", [0.2, 1.0, 1.1], loud, Score::Magnitude, 0),
            ("activation does", [0.2, 1.0, 1.1], loud, Score::Activation, 1),
            ("nobody reads it", [1.0, 1.0, 0.0], loud, Score::Reconstruction, 2),
        ] {
            let found = eliminate(3, vec![consumer(&[&rows], covariance)], score).unwrap();
            assert_eq!(found.order[0], first, "{name}: {found:?}");
            assert!(found.loss(1) <= found.loss(2) && found.loss(2) <= found.loss(3), "{name}: {found:?}");
            assert_eq!(found.loss(0).to_bits(), 0, "{name}");
        }
    }

    #[test]
    fn importance_orders_and_adds_up() {
        let found = Elimination::by_importance(&[3.0, 1.0, 0.0, 4.0], 16.0);
        assert_eq!(found.order, [2, 1, 0, 3]);
        for (removed, lost) in [(0, 0.0), (1, 0.0), (2, 0.0625), (3, 0.25), (4, 0.5)] {
            assert!((found.loss(removed) - lost).abs() < 1e-12, "{removed}: {found:?}");
        }
        assert!(Elimination::by_importance(&[0.0; 2], 0.0).loss(2).abs() < 1e-9);
    }

    #[test]
    fn hostile_covariances() {
        for (name, covariance) in [
            ("constant inputs", [[0.0, 0.0], [0.0, 0.0]]),
            ("a channel that is always zero", [[0.0, 0.0], [0.0, 1.0]]),
            ("singular", [[1.0, 1.0], [1.0, 1.0]]),
        ] {
            for rows in [[1.0, 2.0], [0.0, 0.0]] {
                let consumer = consumer(&[&rows], &[&covariance[0], &covariance[1]]);
                let found = eliminate(2, vec![consumer], Score::Reconstruction).unwrap();
                assert!(found.order.len() == 2 && found.loss(2).is_finite(), "{name}: {found:?}");
            }
        }
        let nan = consumer(&[&[1.0, 1.0]], &[&[f64::NAN, 0.0], &[0.0, 1.0]]);
        assert!(matches!(eliminate(2, vec![nan], Score::Reconstruction), Err(FitError::NotFinite)));
        assert_eq!(eliminate(0, Vec::new(), Score::Magnitude).unwrap().units(), 0);
    }
}
