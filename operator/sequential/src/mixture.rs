use libm::lgamma;

/// What a stream of yes and no has come to, or of values from 0 to 1: `hits` is their sum. Not whole numbers where the future is
/// guessed at, either.
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
///
/// Of values between 0 and 1 with that mean it is a supermartingale: the factor of one value is convex in it, and so no more, in the
/// mean, than that of a yes or no of the same mean (Hoeffding, "Probability inequalities for sums of bounded random variables", Journal
/// of the American Statistical Association 58(301), 1963, proof of Theorem 1).
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

    /// ln of the evidence against "the mean of `a` is `by` more than that of `b`": the product of the two streams' martingales, at its
    /// least over all pairs of means that are so far apart. The streams may come in any order and in any shares.
    pub fn apart(self, a: Tally, b: Tally, by: f64) -> f64 {
        if by < 0.0 {
            return self.apart(b, a, -by);
        }
        let at = closest(a, b, by);
        self.log(a, (at + by).min(1.0)) + self.log(b, at)
    }
}

/// The mean of `s` at which means that are just `margin` apart are most likely. The likelihood's logarithm is concave, so its slope
/// has one root, between the share of `s` and that of `c` less the margin.
fn closest(c: Tally, s: Tally, margin: f64) -> f64 {
    let ends = [c.share() - margin, s.share()].map(|end| end.clamp(0.0, 1.0 - margin));
    let (mut low, mut high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
    let part = |hits: f64, p: f64| if hits > 0.0 { hits / p } else { 0.0 };
    for _ in 0..40 {
        let p = f64::midpoint(low, high);
        let slope = part(c.hits, p + margin) - part(c.of - c.hits, 1.0 - p - margin) + part(s.hits, p)
            - part(s.of - s.hits, 1.0 - p);
        if slope > 0.0 { low = p } else { high = p }
    }
    f64::midpoint(low, high)
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

    #[test]
    fn the_least_over_the_hypothesis_is_found() {
        let m = Mixture::around(0.02);
        for ((c, n), (k, s)) in [((9, 60), (2, 300)), ((20, 100), (0, 400)), ((0, 400), (3, 200)), ((5, 5), (0, 9))] {
            let (c, s) = (Tally::new(c, n), Tally::new(k, s));
            let f = |p: f64| m.log(c, p + 0.02) + m.log(s, p);
            let grid = (0..=9800).map(|i| f(f64::from(i) / 1e4)).fold(f64::INFINITY, f64::min);
            let found = m.apart(c, s, 0.02);
            assert!((found - grid).abs() < 1e-4, "{c:?} {s:?}: {found}, grid {grid}");
            let other = m.apart(s, c, -0.02);
            assert!((other - found).abs() < 1e-12, "the same, told the other way round: {other}");
        }
    }
}
