//! How often a canary is rolled back of which nothing is wrong: with every limit that there is, and each of them as near as may be.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;
use drydock_contract::latency_edges;
use proptest::prelude::Rng as _;

const RUNS: u32 = 100_000;
/// That one generator of random numbers makes, so that the figure does not depend on the number of cores.
const CHUNK: u32 = 500;
/// Looks at a window, one in a second, and how many requests each track has in a second.
const LOOKS: u32 = 15;
const CANARY: u64 = 10;
const STABLE: u64 = 40;
/// Every so many looks the rollout is asked in any case.
const CHECKED: u32 = 20_000;

/// What can be wrong with a request, to which share of each track's it happens, and the greatest share of the canary's that is within the
/// limits: the same.
#[derive(Clone, Copy)]
struct Fault {
    canary: f64,
    stable: f64,
}

/// Failed; late, of the latency that the quantile is about; answered otherwise than the stable model does; answered wrongly; not bought; slow to
/// be read.
const FAULTS: [Fault; 6] = [
    Fault { canary: 0.06, stable: 0.01 },
    Fault { canary: 0.05, stable: 0.01 },
    Fault { canary: 0.05, stable: 0.0 },
    Fault { canary: 0.15, stable: 0.10 },
    Fault { canary: 0.75, stable: 0.70 },
    Fault { canary: 0.25, stable: 0.20 },
];

/// Of which each fault is as frequent as may be: the error rate by itself, and beside the stable revision's.
fn limits() -> Rollout {
    let metric =
        |name: &str| FeedbackMetric { name: name.into(), max_worsening: Some(0.05), ..FeedbackMetric::default() };
    let mut policy = policy();
    policy.analysis = Analysis {
        max_error_rate: 6.0,
        max_error_rate_increase: 5.0,
        max_latency_ratio: Some(2.0),
        min_agreement: Some(95.0),
        max_accuracy_drop: Some(5.0),
        metrics: vec![
            metric("bought"),
            FeedbackMetric { max: 60.0, better: Better::Lower, max_worsening: Some(3.0), ..metric("seconds") },
        ],
        min_requests: 1,
        ..Analysis::default()
    };
    policy
}

/// So many requests of each track, and of how many each fault was.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    looks: u64,
    canary: [u64; 6],
    stable: [u64; 6],
}

impl Counts {
    fn signals(&self) -> Signals {
        let of = |requests: u64, [errors, late, _, wrong, unsold, slow]: [u64; 6], usual: usize| {
            let mut latencies = vec![0; latency_edges().len()];
            latencies[usual] = requests - late;
            latencies[60] = late;
            let says = |sum: u64, each: f64| Feedback { count: requests, sum: sum as f64 * each };
            let feedback = [
                (CORRECT.to_owned(), says(requests - wrong, 1.0)),
                ("bought".to_owned(), says(requests - unsold, 1.0)),
                ("seconds".to_owned(), says(slow, 60.0)),
            ];
            StableWindow { requests, errors, latencies, feedback: feedback.into() }
        };
        // Four buckets are twice as much.
        let canary = of(self.looks * CANARY, self.canary, 24);
        let counts = SplitWindow {
            requests: canary.requests,
            errors: canary.errors,
            latencies: canary.latencies,
            feedback: canary.feedback,
            compared: canary.requests,
            agreed: canary.requests - self.canary[2],
            stable: Some(of(self.looks * STABLE, self.stable, 20)),
            ..SplitWindow::default()
        };
        Signals { counts, ..signals(2) }
    }

    /// The most evidence that any of the canary's faults can be against its share being within the limits: of a mixture of shares none is as likely
    /// as what was seen, and the stable revision's share is at least as likely as any other.
    fn most_evidence(&self) -> f64 {
        let (of, of_stable) = ((self.looks * CANARY) as f64, (self.looks * STABLE) as f64);
        let each = (0..FAULTS.len()).map(|i| {
            let (share, beside) = (self.canary[i] as f64 / of, self.stable[i] as f64 / of_stable);
            let limit = FAULTS[i].canary.min(beside + 0.05);
            if share > limit { of * divergence(share, limit) } else { 0.0 }
        });
        each.fold(0.0, f64::max)
    }
}

/// Of a yes or no of probability `p` from one of probability `q` (Kullback, Leibler).
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// The probability of at most so many of `n` requests.
fn at_most(n: u64, p: f64) -> Vec<f64> {
    let mut one = (1.0 - p).powi(n as i32);
    let mut all = vec![one];
    for k in 0..n {
        one *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        all.push(all.last().unwrap() + one);
    }
    all
}

struct Simulation {
    policy: Rollout,
    tables: Vec<[Vec<f64>; 2]>,
    /// ln of what the rollout asks for before it fails a metric.
    threshold: f64,
}

impl Simulation {
    fn new() -> Self {
        let tables = FAULTS.map(|f| [at_most(CANARY, f.canary), at_most(STABLE, f.stable)]).to_vec();
        let mut simulation = Self { policy: limits(), tables, threshold: 0.0 };
        let worst = Counts { looks: 1000, canary: [1000 * CANARY; 6], stable: [0; 6] };
        let metrics = simulation.look(&canary(RolloutStage::Holding, 0, 0), &worst).metrics;
        assert_eq!(metrics.len(), 7);
        assert!(metrics.iter().all(|m| m.outcome == MetricOutcome::Fail), "{metrics:?}");
        // The latencies' has two quantiles in it, and each its own half of alpha.
        let thresholds = metrics.iter().map(|m| m.threshold / if m.metric == Metric::LatencyRatio { 2.0 } else { 1.0 });
        // It is told in three digits.
        simulation.threshold = (thresholds.fold(f64::INFINITY, f64::min) * 0.99).ln();
        simulation
    }

    fn look(&self, at: &RolloutStatus, counts: &Counts) -> Transition {
        advance(at, &counts.signals(), &self.policy, super::at(NOW))
    }

    /// Whether a rollout through every window of every step is ever rolled back.
    fn is_rolled_back(&self, random: &mut TestRng) -> bool {
        let steps = 0..self.policy.steps.len() as i32;
        let stages = [RolloutStage::Holding, RolloutStage::Scaling];
        steps.flat_map(|step| stages.map(|stage| canary(stage, step, 0))).any(|at| self.fails(&at, random))
    }

    fn fails(&self, at: &RolloutStatus, random: &mut TestRng) -> bool {
        let mut counts = Counts::default();
        (0..LOOKS).any(|_| {
            counts.looks += 1;
            for (i, [canary, stable]) in self.tables.iter().enumerate() {
                counts.canary[i] += draw(canary, random);
                counts.stable[i] += draw(stable, random);
            }
            let may_fail = counts.most_evidence() >= self.threshold;
            let fails =
                (may_fail || random.next_u32().is_multiple_of(CHECKED)) && self.look(at, &counts).next.failed.is_some();
            assert!(may_fail || !fails, "{counts:?}");
            fails
        })
    }
}

fn draw(at_most: &[f64], random: &mut TestRng) -> u64 {
    let u = f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0);
    at_most.iter().position(|p| u < *p).unwrap_or(at_most.len() - 1) as u64
}

#[test]
fn a_good_rollout_is_rolled_back_with_probability_alpha_at_most() {
    let simulation = Simulation::new();
    let (next, rolled_back) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = || {
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= RUNS / CHUNK {
                break;
            }
            let mut seed = [1; 16];
            seed[..4].copy_from_slice(&chunk.to_le_bytes());
            let mut random = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
            let failed = (0..CHUNK).filter(|_| simulation.is_rolled_back(&mut random)).count();
            rolled_back.fetch_add(failed as u32, Ordering::Relaxed);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let rolled_back = rolled_back.into_inner();
    let (share, alpha) = (f64::from(rolled_back) / f64::from(RUNS), simulation.policy.analysis.alpha);
    println!("{:.2} % of {RUNS} good rollouts are rolled back, at alpha {:.0} %", share * 100.0, alpha * 100.0);
    assert!(share <= alpha, "{share}");
    assert!(rolled_back > 50, "{rolled_back}: the test tests nothing");
}
