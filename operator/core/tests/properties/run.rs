//! Many random lives, on every core, and the shortest one that breaks what should hold.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Schedules of all properties together, where `DRYDOCK_SCHEDULES` does not say: enough to see a slip while one works.
const SCHEDULES: u32 = 100;
/// The same lives in every run, so that a failure is of what was changed. New ones: `DRYDOCK_SEED=$RANDOM`.
const SEED: u64 = 7;
/// That one generator of random numbers makes: its seed is all that it takes to have them again.
const CHUNK: u32 = 20;

/// Runs a property on its percentage of the schedules. A failure names the seed that repeats it:
/// `DRYDOCK_SEED=… DRYDOCK_SCHEDULES=…`.
pub fn hold<S: Strategy>(
    percent: u32,
    schedules: impl Fn() -> S + Sync,
    property: impl Fn(S::Value) -> TestCaseResult + Sync,
) {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let seed = number("DRYDOCK_SEED").unwrap_or(SEED);
    let all = number("DRYDOCK_SCHEDULES").map_or(SCHEDULES, |n| u32::try_from(n).unwrap());
    let chunks = (all / 100 * percent).div_ceil(CHUNK).max(1);
    let next = AtomicU32::new(0);
    let work = || {
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= chunks {
                break;
            }
            let seed = seed + u64::from(chunk);
            let mut bytes = [1; 16];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CHUNK) };
            let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &bytes));
            if let Err(error) = runner.run(&schedules(), &property) {
                next.store(chunks, Ordering::Relaxed);
                panic!("DRYDOCK_SEED={seed} DRYDOCK_SCHEDULES=1 repeats it: {error}");
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    println!("{} schedules from DRYDOCK_SEED={seed}", chunks * CHUNK);
}
