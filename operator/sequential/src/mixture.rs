use libm::lgamma;

/// What a stream of yes and no has come to. Not whole numbers where the future is guessed at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub hits: f64,
    pub of: f64,
}

impl Tally {
    /// More hits than trials are as many.
    pub fn new(hits: u64, of: u64) -> Self {
        Self { hits: hits.min(of) as f64, of: of as f64 }
    }

    pub fn share(self) -> f64 {
        if self.of > 0.0 { self.hits / self.of } else { 0.0 }
    }

    /// So many times as much of the same.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { hits: self.hits * factor, of: self.of * factor }
    }
}

/// The likelihood of a stream under a mixture of rates, over that under one rate: a martingale that begins at 1 if that rate is the
/// true one. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41(5),
/// 1970. Beta distributions are conjugate, so it depends on the counts alone.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    b: f64,
}

/// Of both halves, and of the wide one's other end.
const A: f64 = 0.5;

impl Mixture {
    /// Half of it is Beta(1/2, b) with its mean at `rate`, half Jeffreys' Beta(1/2, 1/2), for what is far from there. What is expected
    /// decides how soon a test ends, not whether it is right.
    pub fn around(rate: f64) -> Self {
        let mean = rate.clamp(0.001, 0.999);
        Self { b: A * (1.0 - mean) / mean }
    }

    /// ln of the martingale for the true rate `p`.
    pub fn log(self, seen: Tally, p: f64) -> f64 {
        let misses = seen.of - seen.hits;
        let of_half = |b: f64| log_beta(A + seen.hits, b + misses) - log_beta(A, b);
        let (near, wide) = (of_half(self.b), of_half(A));
        let both = near.max(wide) + (-(near - wide).abs()).exp().ln_1p() - std::f64::consts::LN_2;
        both - times_log(seen.hits, p) - times_log(misses, 1.0 - p)
    }

    /// ln of the evidence against "the rate is at most `p`".
    pub fn against_at_most(self, seen: Tally, p: f64) -> f64 {
        self.log(seen, p.min(seen.share()))
    }

    /// ln of the evidence against "the rate is at least `p`".
    pub fn against_at_least(self, seen: Tally, p: f64) -> f64 {
        self.log(seen, p.max(seen.share()))
    }
}

fn log_beta(a: f64, b: f64) -> f64 {
    lgamma(a) + lgamma(b) - lgamma(a + b)
}

/// `x ln p`, which is 0 where `x` is.
fn times_log(x: f64, p: f64) -> f64 {
    if x > 0.0 { x * p.max(0.0).ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_one_and_is_a_martingale_under_the_true_rate() {
        for rate in [0.01, 0.3, 0.9] {
            let m = Mixture::around(rate);
            assert!(m.log(Tally::new(0, 0), 0.2).abs() < 1e-12);
            for (hits, of) in [(0, 0), (1, 7), (3, 40), (40, 40)] {
                for p in [0.004, 0.2, 0.95] {
                    let now = m.log(Tally::new(hits, of), p).exp();
                    let next = p * m.log(Tally::new(hits + 1, of + 1), p).exp()
                        + (1.0 - p) * m.log(Tally::new(hits, of + 1), p).exp();
                    assert!((next / now - 1.0).abs() < 1e-9, "{hits} of {of} at {p}: {now} then {next}");
                }
            }
        }
    }

    #[test]
    fn the_least_over_the_hypothesis_is_at_its_edge_or_where_the_share_is() {
        let m = Mixture::around(0.05);
        let seen = Tally::new(6, 60);
        for (p, at_most, at_least) in [(0.05, 0.05, 0.1), (0.1, 0.1, 0.1), (0.2, 0.1, 0.2)] {
            assert!((m.against_at_most(seen, p) - m.log(seen, at_most)).abs() < 1e-12, "{p}");
            assert!((m.against_at_least(seen, p) - m.log(seen, at_least)).abs() < 1e-12, "{p}");
            assert!(m.log(seen, 0.1) <= m.log(seen, p));
        }
    }

    #[test]
    fn what_cannot_be_is_ruled_out_by_the_first_that_is() {
        let m = Mixture::around(0.0);
        assert!(m.against_at_most(Tally::new(1, 1000), 0.0).is_infinite());
        assert!(m.against_at_most(Tally::new(0, 1000), 0.0) <= 0.0);
        assert!(m.against_at_least(Tally::new(999, 1000), 1.0).is_infinite());
    }
}
