//! Two models on the same images: is the difference more than luck?

/// Normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Of a difference of proportions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// 95 % confidence interval of the candidate's accuracy less the original's, as a proportion. `table` counts the images
/// that both have right, the original alone, the candidate alone, neither.
///
/// Square-and-add of Wilson's intervals with the correlation of the two: method 10 of R. G. Newcombe, "Improved confidence
/// intervals for the difference between binomial proportions based on paired data", Statistics in Medicine 17 (1998).
pub fn difference_interval(table: [u64; 4]) -> Interval {
    let [both, original, candidate, neither] = table.map(|n| n as f64);
    let n = both + original + candidate + neither;
    if n < 1.0 {
        return Interval { low: -1.0, high: 1.0 };
    }
    let (p1, p2) = ((both + candidate) / n, (both + original) / n);
    let (one, two) = (wilson(p1, n), wilson(p2, n));
    let margins = (both + original) * (candidate + neither) * (both + candidate) * (original + neither);
    let excess = both * neither - original * candidate;
    let excess = if excess > 0.0 { (excess - n / 2.0).max(0.0) } else { excess };
    let correlation = if margins > 0.0 { excess / margins.sqrt() } else { 0.0 };
    // Rounding can leave a negative zero's neighbour.
    let add = |a: f64, b: f64| (a * a - 2.0 * correlation * a * b + b * b).max(0.0).sqrt();
    Interval { low: p1 - p2 - add(p1 - one.low, two.high - p2), high: p1 - p2 + add(one.high - p1, p2 - two.low) }
}

/// Wilson's score interval of a proportion.
fn wilson(p: f64, n: f64) -> Interval {
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Interval { low: (centre - half) / scale, high: (centre + half) / scale }
}

/// Images on which just one of the two is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McNemar {
    pub lost: u64,
    pub gained: u64,
}

impl McNemar {
    /// Two-sided mid-p value: the chance of so unequal a split, or half of just this one, were both models equally good.
    ///
    /// M. W. Fagerland, S. Lydersen, P. Laake, "The McNemar test for binary matched-pairs data", BMC Medical Research
    /// Methodology 13:91 (2013), which recommends it over the exact and the asymptotic test.
    pub fn mid_p(self) -> f64 {
        let (n, least) = (self.lost + self.gained, self.lost.min(self.gained));
        if self.lost == self.gained {
            // Both tails hold the middle: 1 - P(middle) / 2, which is 1 of nothing.
            return if n == 0 { 1.0 } else { 1.0 - 0.5 * probability(n, least) };
        }
        let own = probability(n, least);
        let mut term = own;
        let mut tail = own;
        for k in (1..=least).rev() {
            term *= k as f64 / (n - k + 1) as f64;
            tail += term;
            if term < tail * f64::EPSILON {
                break;
            }
        }
        (2.0 * tail - own).min(1.0)
    }
}

/// Of `k` heads in `n` tosses of a fair coin.
fn probability(n: u64, k: u64) -> f64 {
    let choose: f64 = (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum();
    (choose - n as f64 * std::f64::consts::LN_2).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_intervals() {
        // The first two from the papers (the first with the sign of that table's difference), the rest worked out beside them.
        for (table, low, high) in [
            ([36, 12, 2, 0], -0.3404, -0.0569),
            ([1, 1, 7, 12], 0.0256, 0.5069),
            ([9050, 133, 80, 737], -0.008_198, -0.002_433),
            ([0, 0, 0, 5], -0.4345, 0.4345),
            ([10, 0, 0, 0], -0.2775, 0.2775),
        ] {
            let found = difference_interval(table);
            assert!((found.low - low).abs() < 6e-5 && (found.high - high).abs() < 6e-5, "{table:?}: {found:?}");
        }
    }

    #[test]
    fn published_mid_p() {
        for (lost, gained, expected) in [
            // Of the paper: 0.0703 exact, 0.0391 mid-p.
            (1, 7, 0.039_062_5),
            (7, 1, 0.039_062_5),
            (0, 0, 1.0),
            (1, 1, 0.75),
            (0, 10, 1.0 / 1024.0),
            // As the normal approximation has it: z = 2000 / sqrt(2000000) = 1.4142.
            (999_000, 1_001_000, 0.157_3),
        ] {
            let p = McNemar { lost, gained }.mid_p();
            assert!((p - expected).abs() < 1e-4, "{lost} {gained}: {p}");
        }
        assert!(McNemar { lost: 0, gained: 5000 }.mid_p() < 1e-300);
    }
}
