use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drydock_contract::{Split, SplitWindow, Tolerance, WARM_UP_REQUESTS, count_latency};
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::rotation::Rotation;
use super::{Failure, GrpcCanary, HttpCanary, key};
use crate::feedback::Recent;
use crate::metrics::Metrics;

/// Decides which requests go to the canary, and keeps count of what became of them.
#[derive(Debug)]
pub(crate) struct Splitter {
    pub(crate) http: Option<HttpCanary>,
    pub(crate) grpc: Option<GrpcCanary>,
    forward: Rotation,
    compare: Rotation,
    shadow: Rotation,
    state: Mutex<State>,
    /// Requests that may wait for the canary: with one that hangs, the others must still find room.
    waiting: Arc<Semaphore>,
    comparing: Arc<Semaphore>,
    /// Copies that the canary may have at one time. One more is not sent.
    shadowing: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// Tells of each split that is put in force.
    puts: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    split: Option<Arc<Split>>,
    /// Changes with (revision, window), so that a late result is not counted in the next window.
    generation: u64,
    counts: SplitWindow,
    /// Feedback that came.
    recent: Recent,
}

/// A request, or a copy of one, on its way to the canary.
#[derive(Debug)]
pub(crate) struct Sent {
    split: Arc<Split>,
    generation: u64,
    began: Instant,
    /// Nobody but this pod asks, and what becomes of it is counted apart.
    is_synthetic: bool,
    /// Until the request is over, the stable model's answer in the canary's place included: with this, no more of those are at work
    /// than may wait.
    _permit: OwnedSemaphorePermit,
}

/// A request that the stable model answers while others go to the canary.
#[derive(Debug)]
pub(crate) struct Kept {
    splitter: Arc<Splitter>,
    generation: u64,
    began: Instant,
    /// Nothing is sent on: this pod's own first requests are those that nobody's latency counts before.
    is_alone: bool,
    is_counted: bool,
}

/// A user who has given up has no answer. While others are sent on, the stable model's own are nobody's fault; behind a gateway this
/// is how a model that hangs shows.
impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_alone && !self.is_counted {
            self.splitter.count(self.generation, |counts| {
                let own = counts.stable.get_or_insert_default();
                own.requests += 1;
                own.errors += 1;
            });
        }
    }
}

impl Sent {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.split.timeout_milliseconds))
    }

    pub(crate) fn revision(&self) -> &str {
        &self.split.revision
    }

    pub(crate) fn tolerance(&self) -> &BTreeMap<String, Tolerance> {
        &self.split.tolerance
    }

    /// The canary is asked only now.
    pub(crate) fn begins(&mut self) {
        self.began = Instant::now();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The counts that it belongs to.
    fn of<'w>(&self, window: &'w mut SplitWindow) -> &'w mut SplitWindow {
        if self.is_synthetic { window.synthetic.get_or_insert_default() } else { window }
    }
}

impl Splitter {
    pub(crate) fn new(
        http: Option<HttpCanary>,
        grpc: Option<GrpcCanary>,
        max_waiting: usize,
        max_comparing: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            http,
            grpc,
            forward: Rotation::default(),
            compare: Rotation::default(),
            shadow: Rotation::default(),
            state: Mutex::default(),
            waiting: Arc::new(Semaphore::new(max_waiting)),
            comparing: Arc::new(Semaphore::new(max_comparing)),
            shadowing: Arc::new(Semaphore::new(max_comparing)),
            metrics,
            puts: watch::Sender::default(),
        }
    }

    /// Nothing that holds the lock can leave it half-changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a split in force; `None`: the stable model answers everything.
    pub(crate) fn set(&self, split: Option<Split>) {
        let mut state = self.state();
        let key = |s: &Split| (s.revision.clone(), s.window.clone());
        // What was counted stays while nothing is sent: a canary whose only pod is away for a moment goes on in the same window.
        let counted = (state.counts.revision.clone(), state.counts.window.clone());
        if split.as_ref().map(key).is_some_and(|key| key != counted) {
            state.generation += 1;
            state.counts = SplitWindow::default();
        }
        state.counts.weight = 0;
        if let Some(split) = &split {
            state.counts.revision.clone_from(&split.revision);
            state.counts.window.clone_from(&split.window);
            state.counts.weight = split.weight;
        }
        state.split = split.map(Arc::new);
        drop(state);
        self.puts.send_replace(());
    }

    pub(crate) fn puts(&self) -> watch::Receiver<()> {
        self.puts.subscribe()
    }

    pub(crate) fn window(&self) -> SplitWindow {
        self.state().counts.clone()
    }

    pub(crate) fn in_force(&self) -> Option<(Arc<Split>, u64)> {
        let state = self.state();
        Some((state.split.clone()?, state.generation))
    }

    /// Whether a request with these headers goes to the canary.
    pub(crate) fn next(&self, headers: &HeaderMap) -> Option<Sent> {
        let (split, generation) = self.in_force()?;
        let matches = || split.matches.iter().any(|m| key::find(headers, &m.key) == Some(m.value.as_bytes()));
        let sticks = || Some(key::bucket(&split.revision, key::find(headers, split.sticky.as_ref()?)?) < split.weight);
        if !(matches() || sticks().unwrap_or_else(|| self.forward.picks(split.weight))) {
            return None;
        }
        let permit = self.waiting.clone().try_acquire_owned().ok()?;
        Some(Sent { split, generation, began: Instant::now(), is_synthetic: false, _permit: permit })
    }

    /// Whether the canary gets a copy of a request that the stable model has answered.
    pub(crate) fn shadows(&self) -> Option<Sent> {
        let (split, generation) = self.in_force().filter(|(split, _)| self.shadow.picks(split.shadow))?;
        let permit = self.shadowing.clone().try_acquire_owned().ok()?;
        Some(Sent { split, generation, began: Instant::now(), is_synthetic: false, _permit: permit })
    }

    /// Users' requests that the canary has ended.
    pub(crate) fn requests(&self) -> u64 {
        self.state().counts.requests
    }

    /// One that nobody but this pod asks, if the split that it belongs to is in force still. It takes a copy's place, no user's.
    pub(crate) fn synthetic(&self, of: u64) -> Option<Sent> {
        let (split, generation) = self.in_force().filter(|(_, generation)| *generation == of)?;
        let permit = self.shadowing.clone().try_acquire_owned().ok()?;
        Some(Sent { split, generation, began: Instant::now(), is_synthetic: true, _permit: permit })
    }

    /// Counts what the stable model has answered of it.
    pub(crate) fn answered(&self, sent: &Sent) {
        let took = sent.began.elapsed();
        self.count(sent.generation, |window| {
            let counts = sent.of(window);
            let is_warm = counts.requests >= WARM_UP_REQUESTS;
            let stable = counts.stable.get_or_insert_default();
            stable.requests += 1;
            if is_warm {
                count_latency(&mut stable.latencies, took);
            }
        });
    }

    /// Counts a request that the canary has ended.
    /// `took`: until its answer was there.
    pub(crate) fn ended(&self, sent: &Sent, took: Result<Duration, Failure>) {
        let failure = took.err();
        self.metrics.canary_request(sent.revision(), failure, sent.is_synthetic);
        self.count(sent.generation, |window| {
            let counts = sent.of(window);
            counts.requests += 1;
            let latency = match took {
                Ok(took) => Some(took),
                // It would have taken longer still: without it, those that are left would look fast.
                Err(Failure::Timeout) => Some(Duration::MAX),
                Err(_) => None,
            };
            if let Some(latency) = latency.filter(|_| counts.requests > WARM_UP_REQUESTS) {
                count_latency(&mut counts.latencies, latency);
            }
            match failure {
                None => {}
                Some(Failure::Unreachable) => counts.unreachable += 1,
                Some(Failure::Error | Failure::Form) => counts.errors += 1,
                Some(Failure::Timeout) => counts.timeouts += 1,
            }
        });
    }

    /// Whether this request is compared, if there is room for it.
    pub(crate) fn compares(&self, sent: &Sent) -> Option<OwnedSemaphorePermit> {
        if self.compare.picks(sent.split.compare) { self.comparing.clone().try_acquire_owned().ok() } else { None }
    }

    /// `number`: of the recorded input that both models were asked.
    pub(crate) fn compared(&self, sent: &Sent, number: Option<u32>, agreed: bool) {
        if !sent.is_synthetic {
            self.metrics.canary_compared(sent.revision(), agreed);
        }
        self.count(sent.generation, |window| {
            let counts = sent.of(window);
            counts.compared += 1;
            counts.agreed += u64::from(agreed);
            if let Some(number) = number {
                *counts.inputs.entry(number).or_insert(true) &= agreed;
            }
        });
    }

    /// The canary is compared with what is not sent to it.
    pub(crate) fn keeps(self: &Arc<Self>) -> Option<Kept> {
        let state = self.state();
        let split = state.split.as_ref()?;
        let is_alone = split.weight == 0 && split.shadow == 0 && split.matches.is_empty();
        let (splitter, generation) = (self.clone(), state.generation);
        Some(Kept { splitter, generation, began: Instant::now(), is_alone, is_counted: false })
    }

    pub(crate) fn kept(&self, mut kept: Kept, failed: bool) {
        kept.is_counted = true;
        let took = kept.began.elapsed();
        self.count(kept.generation, |counts| {
            let by_canary = counts.requests;
            let stable = counts.stable.get_or_insert_default();
            stable.requests += 1;
            let is_warm = if kept.is_alone { stable.requests } else { by_canary } > WARM_UP_REQUESTS;
            stable.errors += u64::from(failed);
            if is_warm && !failed {
                count_latency(&mut stable.latencies, took);
            }
        });
    }

    /// Counts what a user said of an answer, but for what has come before; what was new.
    pub(crate) fn told(
        &self,
        generation: u64,
        is_canarys: bool,
        id: Option<(&str, &str)>,
        mut values: Vec<(String, f64)>,
    ) -> Vec<(String, f64)> {
        if let Some((revision, id)) = id {
            let mut state = self.state();
            values.retain(|(name, _)| state.recent.is_new((revision, id, name)));
        }
        self.count(generation, |counts| {
            let all =
                if is_canarys { &mut counts.feedback } else { &mut counts.stable.get_or_insert_default().feedback };
            for (name, value) in &values {
                all.entry(name.clone()).or_default().add(*value);
            }
        });
        values
    }

    fn count(&self, generation: u64, add: impl FnOnce(&mut SplitWindow)) {
        let mut state = self.state();
        if state.generation == generation {
            add(&mut state.counts);
        }
    }
}

#[cfg(test)]
mod tests;
