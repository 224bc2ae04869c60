//! That the error is what it is said to be, when one looks after every request and stops at the first verdict. Of quantiles: quantile_error.rs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "../examples/traces/mod.rs"]
mod traces;

use drydock_sequential::{Levels, Outcome, Tally, against_difference, rate, rate_increase};
use traces::{Canary, End, argo, flagger, sequential, trace};

const ALPHA: f64 = 0.05;
const LEVELS: Levels = Levels { fail: ALPHA, pass: ALPHA, min_samples: 1 };

/// The probability that a stream of rate `p`, looked at after each of `n` requests, ever has `outcome`: exact, by the probability of
/// each count that is not stopped yet.
fn ever(outcome: Outcome, p: f64, n: usize, judge: impl Fn(Tally) -> Outcome) -> f64 {
    let mut alive = vec![1.0];
    let mut stopped = 0.0;
    for of in 1..=n {
        let mut next = vec![0.0; of + 1];
        for (hits, mass) in alive.iter().enumerate() {
            next[hits] += mass * (1.0 - p);
            next[hits + 1] += mass * p;
        }
        for (hits, mass) in next.iter_mut().enumerate().filter(|(_, mass)| **mass > 0.0) {
            if judge(Tally::new(hits as u64, of as u64)) == outcome {
                stopped += std::mem::take(mass);
            }
        }
        alive = next;
    }
    stopped
}

#[test]
fn a_rate_at_its_limit_fails_with_probability_alpha_at_most() {
    for (limit, allowed, n) in [(0.01, 0.05, 1000), (0.1, 0.15, 600), (0.5, 0.55, 400)] {
        for p in [limit, limit * 0.8] {
            let fails = ever(Outcome::Fail, p, n, |t| rate(t, limit, allowed, &LEVELS).finding().outcome);
            assert!(fails <= ALPHA, "{p} of {limit}: {fails}");
            // And it is not for want of trying.
            assert!(p < limit || fails > ALPHA / 20.0, "{p} of {limit}: {fails}");
        }
        let passes = ever(Outcome::Pass, allowed, n, |t| rate(t, limit, allowed, &LEVELS).finding().outcome);
        assert!(passes <= ALPHA && passes > ALPHA / 20.0, "{allowed}: {passes}");
    }
}

/// What continuous peeking does to a test that is made for one look, so that the simulation can fail.
#[test]
fn a_test_for_one_look_does_not_keep_its_error() {
    let one_look = |t: Tally| {
        let deviation = (t.of * 0.1 * 0.9).sqrt();
        if t.of >= 20.0 && t.hits - t.of * 0.1 > 1.645 * deviation { Outcome::Fail } else { Outcome::Pass }
    };
    assert!(ever(Outcome::Fail, 0.1, 1000, one_look) > 0.2);
}

/// 10^5 rollouts, looked at after each of the canary's requests; four of the stable track's come with each.
#[test]
fn a_canary_as_bad_as_may_be_fails_beside_the_stable_track_with_probability_alpha_at_most() {
    const RUNS: u32 = 100_000;
    let mut random = fastrand::Rng::with_seed(7);
    let mut failed = 0;
    for _ in 0..RUNS {
        let (mut canary, mut stable) = ((0, 0), (0, 0));
        for _ in 0..60 {
            for _ in 0..4 {
                stable = (stable.0 + u64::from(random.f64() < 0.05), stable.1 + 1);
            }
            let hit = random.f64() < 0.1;
            canary = (canary.0 + u64::from(hit), canary.1 + 1);
            // Only a failure of the canary's can be what makes it fail, or the stable track's success just before.
            let (c, s) = (Tally::new(canary.0, canary.1), Tally::new(stable.0, stable.1));
            if c.share() > s.share() + 0.05 && rate_increase(c, s, 0.05, &LEVELS).finding().outcome == Outcome::Fail {
                failed += 1;
                break;
            }
        }
    }
    let share = f64::from(failed) / f64::from(RUNS);
    assert!(share <= ALPHA, "{share}");
    assert!(failed > 50, "{share}: the test tests nothing");
}

/// Whether an A/B test that is looked at after each value ever names a winner: `values` gives the next of each arm.
fn ever_differs(pairs: u32, mut values: impl FnMut() -> (f64, f64)) -> bool {
    let (mut a, mut b) = (Tally::default(), Tally::default());
    for _ in 0..pairs {
        let (of_a, of_b) = values();
        a = Tally { hits: a.hits + of_a, of: a.of + 1.0 };
        b = Tally { hits: b.hits + of_b, of: b.of + 1.0 };
        let (p, gap) = (f64::midpoint(a.share(), b.share()), a.share() - b.share());
        // A mixture is never over its most likely part, and that part is far from 1 only where the arms are far apart.
        let is_far = gap * gap * a.of > 6.0 * p * (1.0 - p);
        if is_far && against_difference(a, b, 0.0) >= -ALPHA.ln() {
            return true;
        }
    }
    false
}

/// 10^5 A/B tests of two models that are equal in their mean, one look after each pair: of conversions, and of a metric whose arms have
/// nothing but their mean in common.
#[test]
fn a_winner_of_two_equals_is_named_with_probability_alpha_at_most() {
    const RUNS: u32 = 100_000;
    let mut random = fastrand::Rng::with_seed(10);
    let mut named = 0;
    for _ in 0..RUNS {
        named += u32::from(ever_differs(200, || (f64::from(random.f64() < 0.3), f64::from(random.f64() < 0.3))));
    }
    let share = f64::from(named) / f64::from(RUNS);
    assert!(share <= ALPHA, "{share}");
    assert!(named > 50, "{share}: the test tests nothing");
    let of_values = (0..RUNS / 10).filter(|_| ever_differs(200, || (0.3, [0.0, 0.1, 0.8][random.usize(0..3)]))).count();
    assert!(of_values as f64 <= ALPHA * f64::from(RUNS / 10), "{of_values}");
}

/// And one that is looked at in the same way by a test for one look names one far too often.
#[test]
fn a_planted_effect_is_found_and_peeking_at_a_test_for_one_look_finds_what_is_not_there() {
    let mut random = fastrand::Rng::with_seed(11);
    let found = (0..200)
        .filter(|_| ever_differs(4000, || (f64::from(random.f64() < 0.15), f64::from(random.f64() < 0.10))))
        .count();
    assert!(found > 190, "{found} of 200");
    let mut named = 0;
    for _ in 0..1000 {
        let (mut a, mut b, mut is_named) = (0.0, 0.0, false);
        for n in 1..=1000 {
            a += f64::from(random.f64() < 0.3);
            b += f64::from(random.f64() < 0.3);
            let (of, p) = (f64::from(n), f64::midpoint(a, b) / f64::from(n));
            // Two standard deviations.
            is_named |= n >= 20 && (a - b) * (a - b) > 4.0 * 2.0 * of * p * (1.0 - p);
        }
        named += u32::from(is_named);
    }
    assert!(named > 250, "{named} of 1000");
}

/// A canary at its limit, 20 requests in a second, two steps of a minute.
#[test]
fn fixed_thresholds_roll_good_canaries_back_and_this_does_not() {
    let canary = Canary { rate: 0.01, per_second: 20, steps: 2, hold: 60 };
    let mut random = fastrand::Rng::with_seed(9);
    let traces: Vec<_> = (0..2000).map(|_| trace(&canary, &mut random)).collect();
    let rolled_back = |judge: &dyn Fn(&[u32]) -> End| {
        let n = traces.iter().filter(|t| matches!(judge(t), End::RolledBack(_))).count();
        n as f64 / traces.len() as f64
    };
    let ours = rolled_back(&|t| sequential(&canary, t));
    let argo = rolled_back(&|t| argo(&canary, t, 10, 0));
    let flagger = rolled_back(&|t| flagger(&canary, t, 10, 5));
    assert!(ours <= ALPHA, "{ours}");
    assert!(argo > 0.9 && flagger > 0.25, "argo {argo}, flagger {flagger}");
}
