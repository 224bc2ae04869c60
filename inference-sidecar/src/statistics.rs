//! What the statistics extension tells: counts and times since the process began.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A batch of one more size is in the sums, but has no line of its own: how many there are is up to clients.
const MAX_SIZES: usize = 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: u64,
    pub(crate) nanoseconds: u64,
}

impl Total {
    fn add(&mut self, count: u64, each: Duration) {
        let nanoseconds = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
        self.count += count;
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds.saturating_mul(count));
    }
}

/// One run of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compute {
    /// Joining the requests of a batch.
    pub(crate) input: Total,
    /// The engine's call, with what it takes to give it the inputs and to take the outputs.
    pub(crate) infer: Total,
    /// Taking the answers of a batch apart.
    pub(crate) output: Total,
}

impl Compute {
    fn add(&mut self, count: u64, run: &Run) {
        self.input.add(count, run.input);
        self.infer.add(count, run.infer);
        self.output.add(count, run.output);
    }
}

/// A run that succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) requests: usize,
    pub(crate) rows: usize,
    pub(crate) input: Duration,
    pub(crate) infer: Duration,
    pub(crate) output: Duration,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Milliseconds since 1970; 0: never.
    pub(crate) last_inference: u64,
    /// Rows.
    pub(crate) inferences: u64,
    /// Runs of the engine.
    pub(crate) executions: u64,
    pub(crate) success: Total,
    pub(crate) fail: Total,
    pub(crate) queue: Total,
    /// Each request has the time of the whole batch that it was in.
    pub(crate) compute: Compute,
    /// By rows; each run once.
    pub(crate) batches: BTreeMap<usize, Compute>,
}

#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<Counts>);

impl Statistics {
    /// Nothing that holds the lock can leave it half-changed.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// A request that passed all checks, from its place in the queue to its answer.
    pub(crate) fn request(&self, ok: bool, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut counts = self.lock();
        counts.last_inference = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if ok { &mut counts.success } else { &mut counts.fail }.add(1, took);
    }

    pub(crate) fn queued(&self, took: Duration) {
        self.lock().queue.add(1, took);
    }

    pub(crate) fn run(&self, run: &Run) {
        let mut counts = self.lock();
        counts.inferences += run.rows as u64;
        counts.executions += 1;
        counts.compute.add(run.requests as u64, run);
        if counts.batches.len() < MAX_SIZES || counts.batches.contains_key(&run.rows) {
            counts.batches.entry(run.rows).or_default().add(1, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(requests: usize, rows: usize) -> Run {
        let [input, infer, output] = [1, 10, 2].map(Duration::from_nanos);
        Run { requests, rows, input, infer, output }
    }

    fn total(count: u64, nanoseconds: u64) -> Total {
        Total { count, nanoseconds }
    }

    #[test]
    fn requests_and_runs_are_counted_apart() {
        let statistics = Statistics::default();
        assert_eq!(statistics.counts().last_inference, 0);
        statistics.request(true, Duration::from_nanos(20));
        statistics.request(true, Duration::from_nanos(22));
        statistics.request(false, Duration::from_nanos(3));
        statistics.queued(Duration::from_nanos(5));
        statistics.run(&run(2, 3));
        statistics.run(&run(1, 3));
        let counts = statistics.counts();
        assert!(counts.last_inference > 1_700_000_000_000);
        assert_eq!((counts.success, counts.fail, counts.queue), (total(2, 42), total(1, 3), total(1, 5)));
        assert_eq!((counts.inferences, counts.executions), (6, 2));
        assert_eq!(counts.compute.infer, total(3, 30));
        let batches: Vec<_> = counts.batches.iter().map(|(rows, c)| (*rows, c.input, c.infer, c.output)).collect();
        assert_eq!(batches, [(3, total(2, 2), total(2, 20), total(2, 4))]);
    }

    #[test]
    fn sizes_of_batches_are_bounded() {
        let statistics = Statistics::default();
        (0..MAX_SIZES + 10).for_each(|rows| statistics.run(&run(1, rows)));
        statistics.run(&run(1, 0));
        let counts = statistics.counts();
        assert_eq!((counts.batches.len(), counts.executions), (MAX_SIZES, MAX_SIZES as u64 + 11));
        assert_eq!(counts.batches[&0].infer.count, 2);
    }
}
