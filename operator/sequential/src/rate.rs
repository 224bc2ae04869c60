use crate::mixture::{Mixture, Tally};
use crate::verdict::{Evidence, Levels, Test};

/// Whether a rate is over `limit` (fail), or under `allowed` (pass), which is at least `limit`: what lies between the two may do either.
pub fn rate(seen: Tally, limit: f64, allowed: f64, levels: &Levels) -> Test<impl Fn(f64) -> Evidence + use<>> {
    let mixture = Mixture::around(allowed);
    Test::new(seen.of as u64, *levels, move |times| {
        let seen = imagined(seen).times(times);
        Evidence {
            fail: mixture.against_at_most(seen, limit),
            // No rate is over 1.
            pass: if allowed >= 1.0 { f64::INFINITY } else { mixture.against_at_least(seen, allowed.max(limit)) },
        }
    })
}

/// Whether the canary's rate is more than `margin` over the stable one's (fail), or surely less (pass): the difference of two Bernoulli
/// rates, non-inferiority by a margin. The statistic is the product of the two streams' martingales, at its least over all pairs of
/// rates of the hypothesis; the streams may come in any order and in any shares.
pub fn rate_increase(
    canary: Tally,
    stable: Tally,
    margin: f64,
    levels: &Levels,
) -> Test<impl Fn(f64) -> Evidence + use<>> {
    let mixture = Mixture::around(margin);
    Test::new(canary.of as u64, *levels, move |times| {
        let (c, s) = (imagined(canary).times(times), stable.times(times));
        let log = mixture.apart(c, s, margin);
        let within = mixture.log(c, c.share()) + mixture.log(s, s.share());
        let is_over = c.share() > s.share() + margin;
        Evidence { fail: if is_over { log } else { within }, pass: if is_over { within } else { log } }
    })
}

/// Before the first request: one that went well.
fn imagined(seen: Tally) -> Tally {
    if seen.of > 0.0 { seen } else { Tally { hits: 0.0, of: 1.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome::{self, Fail, NotEnoughEvidence, Pass};

    const LEVELS: Levels = Levels { fail: 0.05, pass: 0.05, min_samples: 20 };

    #[test]
    fn a_rate_fails_passes_or_is_not_known() {
        for (hits, of, outcome) in [
            (0, 0, NotEnoughEvidence),
            (0, 60, NotEnoughEvidence),
            (0, 200, Pass),
            (1, 20, NotEnoughEvidence),
            (19, 19, NotEnoughEvidence),
            (20, 20, Fail),
            (6, 60, Fail),
            // 3 %: neither over 1 % nor under 5 % for sure.
            (3, 100, NotEnoughEvidence),
            (300, 10_000, Fail),
            (50, 10_000, Pass),
        ] {
            let f = rate(Tally::new(hits, of), 0.01, 0.05, &LEVELS).finding();
            assert_eq!(f.outcome, outcome, "{hits} of {of}: {f:?}");
            assert_eq!(f.statistic >= f.threshold, outcome != NotEnoughEvidence || of == 19, "{hits} of {of}: {f:?}");
        }
    }

    #[test]
    fn so_many_more_are_needed_and_no_fewer() {
        for (hits, of) in [(0, 0), (0, 30), (1, 30), (2, 60), (19, 19), (5, 200)] {
            let f = rate(Tally::new(hits, of), 0.01, 0.05, &LEVELS);
            let n = of + f.more().unwrap();
            // At the present rate, which need not be a whole number.
            let at = |n: u64| {
                let seen = Tally { hits: hits as f64 * n as f64 / of.max(1) as f64, of: n as f64 };
                rate(seen, 0.01, 0.05, &LEVELS).finding().outcome
            };
            assert_ne!(at(n), NotEnoughEvidence, "{hits} of {of}: {n}");
            assert_eq!(at(n - 1), NotEnoughEvidence, "{hits} of {of}: {n}");
        }
        // Just at the one limit there is: it may never be known.
        assert_eq!(rate(Tally::new(10, 1000), 0.01, 0.01, &LEVELS).more(), None);
        assert_eq!(rate(Tally::new(0, 300), 0.01, 0.05, &LEVELS).more(), Some(0));
    }

    #[test]
    fn the_edges() {
        assert_eq!(rate(Tally::new(1, 1000), 0.0, 0.05, &LEVELS).finding().outcome, Fail, "none may fail");
        assert_eq!(rate(Tally::new(1000, 1000), 1.0, 1.0, &LEVELS).finding().outcome, Pass, "all may fail");
        assert_eq!(
            rate(Tally::new(0, 1000), 0.0, 0.0, &LEVELS).finding().outcome,
            NotEnoughEvidence,
            "never can be proved"
        );
    }

    #[test]
    fn a_canary_is_compared_with_the_stable_track() {
        for (canary, stable, outcome) in [
            ((0, 0), (0, 0), NotEnoughEvidence),
            ((0, 30), (0, 120), NotEnoughEvidence),
            ((0, 400), (0, 1600), Pass),
            ((20, 100), (0, 400), Fail),
            // Both are in trouble, and the canary is not worse.
            ((60, 300), (240, 1200), NotEnoughEvidence),
            ((200, 10_000), (800, 40_000), Pass),
            ((20, 20), (0, 20), Fail),
            // The one that the stable track was asked failed: perhaps all do.
            ((20, 20), (1, 1), NotEnoughEvidence),
        ] {
            let (c, s): (Tally, Tally) = (Tally::new(canary.0, canary.1), Tally::new(stable.0, stable.1));
            let f = rate_increase(c, s, 0.02, &LEVELS).finding();
            assert_eq!(f.outcome, outcome, "{canary:?} {stable:?}: {f:?}");
        }
        // Under 2 % is less than 2 points over anything; and nothing is more than 2 points over what is not known.
        let alone = |hits, of| rate_increase(Tally::new(hits, of), Tally::new(0, 0), 0.02, &LEVELS).finding().outcome;
        assert_eq!((alone(0, 300), alone(300, 300)), (Pass, NotEnoughEvidence));
    }

    #[test]
    fn outcomes_are_not_left_when_more_of_the_same_comes() {
        let mut last = None;
        for n in [100, 1000, 10_000, 100_000] {
            let f = rate(Tally::new(n / 20, n), 0.01, 0.03, &LEVELS).finding().outcome;
            assert!(last.is_none_or(|last: Outcome| last != Fail || f == Fail));
            last = Some(f);
        }
        assert_eq!(last, Some(Fail));
    }
}
