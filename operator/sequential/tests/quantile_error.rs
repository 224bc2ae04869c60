//! The same of quantiles, where it is hardest to keep: 10^5 comparisons of each kind, looked at after each of the canary's requests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::sync::atomic::{AtomicU32, Ordering};

use drydock_sequential::{Levels, Outcome, Tally, quantile_ratio, rate, ratio_of_quantiles};

const ALPHA: f64 = 0.05;
const LEVELS: Levels = Levels { fail: ALPHA, pass: ALPHA, min_samples: 1 };
const RUNS: u32 = 100_000;
/// That one generator of random numbers makes, so that the numbers do not depend on the number of cores.
const CHUNK: u32 = 1_000;
/// Every so many looks the verdict is asked for in any case.
const CHECKED: u32 = 997;

/// A thousand latencies, each as likely, by their buckets.
type Latencies = Vec<usize>;

/// Two tracks, and what is to be known of them.
struct Tracks {
    quantile: f64,
    ratio: f64,
    edges: Vec<f64>,
    canary: Latencies,
    stable: Latencies,
    /// The canary's requests, and how many of the stable track's come with each.
    requests: usize,
    beside: usize,
}

/// From a quarter of a millisecond, four to a doubling, as the sidecar counts them.
fn edges() -> Vec<f64> {
    (0..65).map(|i| 0.25 * 2f64.powf(f64::from(i) / 4.0)).collect()
}

/// Their share beyond x falls as x^-1.1: the mean is that of a few, and the variance has no end. `most` of them are in the bucket `at`, or
/// under it, and none in the next: what is tested of it at an edge is what is so.
fn heavy_tailed(most: u32, at: usize) -> Latencies {
    let (edges, of) = (edges(), |i: u32| (1.0 - (f64::from(i) + 0.5) / 1000.0).powf(-1.0 / 1.1));
    let bucket = |i| edges.partition_point(|e| *e < edges[at] * of(i) / of(most));
    (0..1000).map(|i| if i < most { bucket(i).min(at) } else { bucket(i).max(at + 2) }).collect()
}

/// All but one in one bucket: what is known first.
fn steady(at: usize) -> Latencies {
    (0..1000).map(|i| if i == 0 { 60 } else { at }).collect()
}

/// At each number of samples, the most that may be at most an edge for the quantile to be surely over it, and the fewest for it to be surely
/// not. The verdict asks no less of either track; asking it at every look would take an hour.
struct Bounds {
    over: Vec<Option<u64>>,
    at_most: Vec<u64>,
}

impl Bounds {
    fn new(q: f64, samples: usize) -> Self {
        let halves = Levels { fail: ALPHA / 2.0, pass: ALPHA / 2.0, min_samples: 1 };
        let outcome = |hits, of| rate(Tally::new(hits, of), q, q, &halves).finding().outcome;
        let mut bounds = Self { over: vec![None], at_most: vec![1] };
        for of in 1..=samples as u64 {
            let mut over = bounds.over.last().copied().flatten();
            while outcome(over.map_or(0, |h| h + 1), of) == Outcome::Pass {
                over = Some(over.map_or(0, |h| h + 1));
            }
            let mut at_most = bounds.at_most.last().copied().unwrap();
            while at_most <= of && outcome(at_most, of) != Outcome::Fail {
                at_most += 1;
            }
            bounds.over.push(over);
            bounds.at_most.push(at_most);
        }
        bounds
    }

    /// From the last edge that the quantile is over, to the first that it is not.
    fn of(&self, buckets: &[u64], samples: usize, edges: &[f64]) -> (f64, f64) {
        let (over, at_most) = (self.over[samples], self.at_most[samples]);
        let (mut low, mut sum) = (0.0, 0);
        for (n, edge) in buckets.iter().zip(edges) {
            sum += n;
            if sum >= at_most {
                return (low, *edge);
            }
            if over.is_some_and(|over| sum <= over) {
                low = *edge;
            }
        }
        (low, f64::INFINITY)
    }
}

/// How many of the runs ever find the canary to be slower, and faster, than it is: `verdict` says both of two histograms.
fn wrong(tracks: &Tracks, seed: u64, verdict: impl Fn(&[u64], &[u64]) -> [bool; 2] + Sync) -> [u32; 2] {
    let bounds = Bounds::new(tracks.quantile, tracks.requests * tracks.beside);
    let wrong = [AtomicU32::new(0), AtomicU32::new(0)];
    let next = AtomicU32::new(0);
    let work = || {
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= RUNS / CHUNK {
                break;
            }
            let mut random = fastrand::Rng::with_seed(seed * 1_000_000 + u64::from(chunk));
            for _ in 0..CHUNK {
                let found = ever(tracks, &bounds, &mut random, &verdict);
                for (count, found) in wrong.iter().zip(found) {
                    count.fetch_add(u32::from(found), Ordering::Relaxed);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    wrong.map(AtomicU32::into_inner)
}

fn ever(
    tracks: &Tracks,
    bounds: &Bounds,
    random: &mut fastrand::Rng,
    verdict: impl Fn(&[u64], &[u64]) -> [bool; 2],
) -> [bool; 2] {
    let edges = &tracks.edges;
    let (mut canary, mut stable) = (vec![0; edges.len() + 1], vec![0; edges.len() + 1]);
    let mut found = [false; 2];
    for request in 1..=tracks.requests {
        canary[tracks.canary[random.usize(0..1000)]] += 1;
        for _ in 0..tracks.beside {
            stable[tracks.stable[random.usize(0..1000)]] += 1;
        }
        let (c, s) = (bounds.of(&canary, request, edges), bounds.of(&stable, request * tracks.beside, edges));
        let may_be = [c.0 >= s.1 * tracks.ratio, c.1 <= s.0 * tracks.ratio];
        let is_checked = random.u32(0..CHECKED) == 0;
        if is_checked || (0..2).any(|i| may_be[i] && !found[i]) {
            let is = verdict(&canary, &stable);
            assert!((0..2).all(|i| may_be[i] || !is[i]), "{canary:?} {stable:?}: {is:?}, and not by these bounds");
            found = [found[0] || is[0], found[1] || is[1]];
        }
    }
    found
}

/// The share of the runs that are wrong, of either kind, each of which has an alpha of its own unless there is one `for_both`.
fn keeps_alpha(what: &str, [slower, faster]: [u32; 2], for_both: bool) -> f64 {
    let [slower, faster] = [slower, faster].map(|n| f64::from(n) / f64::from(RUNS));
    println!("{what}: slower {slower}, faster {faster}");
    let most = if for_both { slower + faster } else { slower.max(faster) };
    assert!(most <= ALPHA, "{what}: slower {slower}, faster {faster}");
    most
}

/// Canaries whose quantile is twice the stable one's, or as little over it as can be told, and two tracks that are alike.
#[test]
fn a_canary_as_slow_as_may_be_fails_with_probability_alpha_at_most() {
    let all = [
        ("p95, alike", 0.95, 1.0, heavy_tailed(950, 24), heavy_tailed(950, 24), 200, 1),
        ("p95 at its limit, a canary of 5 %", 0.95, 2.0, heavy_tailed(950, 28), steady(24), 100, 19),
        ("p95 over its limit, a canary of 5 %", 0.95, 2.0, heavy_tailed(949, 27), steady(24), 100, 19),
        ("p99 at its limit, a canary of 5 %", 0.99, 2.0, heavy_tailed(990, 28), steady(24), 100, 19),
        ("p50 at its limit, few requests", 0.5, 2.0, heavy_tailed(500, 28), steady(24), 30, 4),
    ];
    for (seed, (what, quantile, ratio, canary, stable, requests, beside)) in (1..).zip(all) {
        let tracks = Tracks { quantile, ratio, edges: edges(), canary, stable, requests, beside };
        let verdict = |canary: &[u64], stable: &[u64]| {
            let outcome = quantile_ratio(canary, stable, &tracks.edges, quantile, ratio, &LEVELS).finding().outcome;
            [outcome == Outcome::Fail, outcome == Outcome::Pass]
        };
        let most = keeps_alpha(what, wrong(&tracks, seed, verdict), false);
        assert!(most * f64::from(RUNS) > 10.0 || what.ends_with("alike"), "{what}: {most}: the test tests nothing");
    }
}

/// A/B tests of two arms that are alike, or have nothing but their quantile in common.
#[test]
fn a_faster_arm_of_two_equals_is_named_with_probability_alpha_at_most() {
    let all = [
        ("A/B of p95, alike", 0.95, heavy_tailed(950, 24), heavy_tailed(950, 24), 200, 1),
        ("A/B of p95", 0.95, heavy_tailed(950, 24), steady(24), 200, 1),
        ("A/B of p99, an arm of 5 %", 0.99, heavy_tailed(990, 24), steady(24), 100, 19),
        ("A/B of p50, few requests", 0.5, heavy_tailed(500, 24), steady(24), 30, 1),
    ];
    for (seed, (what, quantile, canary, stable, requests, beside)) in (11..).zip(all) {
        let tracks = Tracks { quantile, ratio: 1.0, edges: edges(), canary, stable, requests, beside };
        let verdict = |canary: &[u64], stable: &[u64]| {
            let ratio = ratio_of_quantiles(canary, stable, &tracks.edges, quantile, ALPHA);
            [ratio.lower > 1.0, ratio.upper < 1.0]
        };
        let most = keeps_alpha(what, wrong(&tracks, seed, verdict), true);
        assert!(most * f64::from(RUNS) > 10.0 || what.ends_with("alike"), "{what}: {most}: the test tests nothing");
    }
}
