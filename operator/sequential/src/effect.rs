use crate::mixture::{Mixture, Tally};
use crate::quantile::tallies;

/// Where an effect lies, of two arms: it is outside, at some time, ever, with probability alpha at most. A confidence sequence: one may
/// look at it after each value, and stop whenever one likes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub lower: f64,
    /// Infinite where nothing bounds it.
    pub upper: f64,
}

impl Interval {
    pub fn holds(self, effect: f64) -> bool {
        self.lower <= effect && effect <= self.upper
    }
}

/// Rates of a few percent and means in the middle: what is expected decides how soon it is narrow, not whether it is right.
const AROUND: f64 = 0.1;
const HALVINGS: usize = 50;

/// ln of the evidence against "the mean of `a` is `by` more than that of `b`": at ln(1/alpha) it is outside of [`difference`].
pub fn against_difference(a: Tally, b: Tally, by: f64) -> f64 {
    Mixture::around(AROUND).apart(a, b, by)
}

/// By how much the mean of `a` is over that of `b`, of values from 0 to 1: every difference that is not ruled out. They are an interval
/// about that of the shares, as the evidence is convex in the difference.
pub fn difference(a: Tally, b: Tally, alpha: f64) -> Interval {
    let threshold = -alpha.ln();
    let middle = a.share() - b.share();
    let edge = |end: f64| {
        if against_difference(a, b, end) < threshold {
            return end;
        }
        let (mut out, mut within) = (end, middle);
        for _ in 0..HALVINGS {
            let by = f64::midpoint(out, within);
            if against_difference(a, b, by) < threshold { within = by } else { out = by }
        }
        // The wider end: what is told holds what is meant.
        out
    };
    Interval { lower: edge(-1.0), upper: edge(1.0) }
}

/// How many times the `q`-quantile of `a` is that of `b`, from two histograms as [`crate::quantile_ratio`] takes them. Each quantile has
/// half of alpha.
pub fn ratio_of_quantiles(a: &[u64], b: &[u64], edges: &[f64], q: f64, alpha: f64) -> Interval {
    let [a, b] = [a, b].map(|buckets| quantile(buckets, edges, q, alpha / 2.0));
    Interval { lower: a.lower / b.upper, upper: if b.lower > 0.0 { a.upper / b.lower } else { f64::INFINITY } }
}

/// From the last edge that the quantile is over, to the first that it is not.
fn quantile(buckets: &[u64], edges: &[f64], q: f64, alpha: f64) -> Interval {
    let (mixture, threshold) = (Mixture::around(q), -alpha.ln());
    let tallies = tallies(buckets, edges.len());
    let is_over = |t: &Tally| mixture.against_at_least(*t, q) >= threshold;
    let is_at_most = |t: &Tally| mixture.against_at_most(*t, q) >= threshold;
    let edge = |i: Option<usize>| i.and_then(|i| edges.get(i)).copied();
    Interval {
        lower: edge(tallies.iter().rposition(is_over)).unwrap_or(0.0),
        upper: edge(tallies.iter().position(is_at_most)).unwrap_or(f64::INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_about_what_was_seen_and_narrows() {
        let mut width = 3.0;
        for n in [0, 10, 100, 1000, 10_000, 1_000_000] {
            let (a, b) = (Tally::new(n / 5, n), Tally::new(n / 10, n));
            let i = difference(a, b, 0.05);
            assert!(i.holds(a.share() - b.share()) && i.upper - i.lower < width, "{n}: {i:?}");
            assert_eq!(i.holds(0.0), n < 1000, "{n}: {i:?}");
            let other = difference(b, a, 0.05);
            assert!(
                (i.lower + other.upper).abs() < 1e-9 && (i.upper + other.lower).abs() < 1e-9,
                "{n}: {i:?} {other:?}"
            );
            width = i.upper - i.lower;
        }
        let nothing = Tally::default();
        assert_eq!(difference(nothing, nothing, 0.05), Interval { lower: -1.0, upper: 1.0 });
        // What is known of one arm bounds the difference, whatever the other may be.
        let i = difference(nothing, Tally::new(90, 900), 0.05);
        assert!(i.lower < -0.1 && i.lower > -0.2 && i.upper > 0.9 && i.upper < 1.0, "{i:?}");
    }

    #[test]
    fn what_is_outside_has_the_evidence_against_it() {
        let (a, b) = (Tally::new(130, 1000), Tally { hits: 87.5, of: 900.0 });
        let i = difference(a, b, 0.05);
        for (by, is_out) in
            [(i.lower - 1e-6, true), (i.lower + 1e-6, false), (i.upper - 1e-6, false), (i.upper + 1e-6, true)]
        {
            assert_eq!(against_difference(a, b, by) >= 20f64.ln(), is_out, "{by} of {i:?}");
        }
    }

    #[test]
    fn quantiles_lie_between_edges() {
        let edges: Vec<f64> = (0..65).map(|i| 0.25 * 2f64.powf(f64::from(i) / 4.0)).collect();
        let all_at = |milliseconds: f64, n| {
            let mut buckets = vec![0; edges.len() + 1];
            buckets[edges.partition_point(|e| *e < milliseconds)] = n;
            buckets
        };
        let of = |a: f64, b: f64, n| ratio_of_quantiles(&all_at(a, n), &all_at(b, n), &edges, 0.5, 0.05);
        assert_eq!(of(10.0, 10.0, 3), Interval { lower: 0.0, upper: f64::INFINITY });
        let same = of(10.0, 10.0, 500);
        // One bucket up and one down: 19 %.
        assert!(
            (same.lower - 2f64.powf(-0.25)).abs() < 1e-9 && (same.upper - 2f64.powf(0.25)).abs() < 1e-9,
            "{same:?}"
        );
        let slower = of(20.0, 10.0, 500);
        assert!(slower.lower > 1.5 && slower.upper < 2.5, "{slower:?}");
    }
}
