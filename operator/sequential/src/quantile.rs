use crate::mixture::{Mixture, Tally};
use crate::verdict::{Evidence, Levels, Test};

/// Whether the canary's `q`-quantile is more than `ratio` times the stable one's (fail), or surely less (pass), from two histograms.
/// `edges[i]` is the upper edge of bucket `i`; one more bucket holds what is over the last.
///
/// A quantile is at most `t` if at least the share `q` is: a Bernoulli rate for each edge. The confidence sequence of a quantile is
/// where that rate is not ruled out, and needs no correction for the number of edges, as counts only grow from edge to edge. Howard,
/// Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification", Bernoulli 28(3), 2022.
/// There are two quantiles, so each has half of alpha.
pub fn quantile_ratio<'e>(
    canary: &[u64],
    stable: &[u64],
    edges: &'e [f64],
    q: f64,
    ratio: f64,
    levels: &Levels,
) -> Test<impl Fn(f64) -> Evidence + use<'e>> {
    let mixture = Mixture::around(q);
    let (canary, stable) = (tallies(canary, edges.len()), tallies(stable, edges.len()));
    let samples = canary.last().map_or(0.0, |t| t.of);
    let halves = Levels { fail: levels.fail / 2.0, pass: levels.pass / 2.0, ..*levels };
    Test::new(samples as u64, halves, move |times| {
        let mut evidence = Evidence { fail: f64::NEG_INFINITY, pass: f64::NEG_INFINITY };
        for (edge, s) in edges.iter().zip(&stable) {
            let s = s.times(times);
            // The first edge that is not under `ratio` times this one, and the last that is not over it.
            let over = edges.partition_point(|e| *e < edge * ratio);
            if let Some(c) = canary.get(over).map(|c| c.times(times)) {
                // The stable quantile is at most `edge`, the canary's is over `edges[over]`.
                let both = mixture.against_at_most(s, q).min(mixture.against_at_least(c, q));
                evidence.fail = evidence.fail.max(both);
            }
            let under = edges.partition_point(|e| *e <= edge * ratio).checked_sub(1);
            if let Some(c) = under.and_then(|i| canary.get(i)).map(|c| c.times(times)) {
                // The stable quantile is over `edge`, the canary's is at most `edges[under]`.
                let both = mixture.against_at_least(s, q).min(mixture.against_at_most(c, q));
                evidence.pass = evidence.pass.max(both);
            }
        }
        evidence
    })
}

/// For each edge, how many are at most that.
pub(crate) fn tallies(buckets: &[u64], edges: usize) -> Vec<Tally> {
    let all = buckets.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let mut sum = 0u64;
    (0..edges)
        .map(|i| {
            sum = sum.saturating_add(buckets.get(i).copied().unwrap_or(0));
            Tally::new(sum, all)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome::{Fail, NotEnoughEvidence, Pass};

    const LEVELS: Levels = Levels { fail: 0.05, pass: 0.05, min_samples: 20 };

    fn edges() -> Vec<f64> {
        (0..65).map(|i| 0.25 * 2f64.powf(f64::from(i) / 4.0)).collect()
    }

    /// `n` latencies, evenly from `from` to `to` milliseconds.
    fn even(n: u64, from: f64, to: f64) -> Vec<u64> {
        let edges = edges();
        let mut buckets = vec![0; edges.len() + 1];
        for i in 0..n {
            let t = from + (to - from) * (i as f64 + 0.5) / n as f64;
            buckets[edges.partition_point(|e| *e < t)] += 1;
        }
        buckets
    }

    #[test]
    fn slower_as_fast_and_not_known() {
        for (canary, stable, outcome) in [
            (even(0, 1.0, 2.0), even(0, 1.0, 2.0), NotEnoughEvidence),
            (even(300, 10.0, 20.0), even(0, 10.0, 20.0), NotEnoughEvidence),
            (even(30, 10.0, 20.0), even(300, 10.0, 20.0), NotEnoughEvidence),
            (even(3000, 10.0, 20.0), even(12_000, 10.0, 20.0), Pass),
            (even(300, 100.0, 200.0), even(1200, 10.0, 20.0), Fail),
            (even(3000, 20.0, 40.0), even(12_000, 10.0, 20.0), Fail),
            (even(3000, 5.0, 10.0), even(12_000, 10.0, 20.0), Pass),
        ] {
            let f = quantile_ratio(&canary, &stable, &edges(), 0.95, 1.5, &LEVELS).finding();
            assert_eq!(f.outcome, outcome, "{f:?}");
        }
    }

    #[test]
    fn so_many_more_are_needed() {
        let edges = edges();
        let f = quantile_ratio(&even(30, 10.0, 20.0), &even(120, 10.0, 20.0), &edges, 0.95, 1.5, &LEVELS);
        let more = f.more().unwrap();
        assert!((20..2000).contains(&more), "{more}");
        let n = 30 + more;
        let later = |n| {
            quantile_ratio(&even(n, 10.0, 20.0), &even(4 * n, 10.0, 20.0), &edges, 0.95, 1.5, &LEVELS).finding().outcome
        };
        assert_eq!((later(n / 2), later(n * 2)), (NotEnoughEvidence, Pass), "{n}");
    }

    #[test]
    fn what_is_over_every_edge_is_slow() {
        let mut slow = vec![0; 66];
        slow[65] = 300;
        assert_eq!(quantile_ratio(&slow, &even(300, 1.0, 2.0), &edges(), 0.95, 1.5, &LEVELS).finding().outcome, Fail);
        assert_eq!(quantile_ratio(&slow, &slow, &edges(), 0.95, 1.5, &LEVELS).finding().outcome, NotEnoughEvidence);
    }
}
