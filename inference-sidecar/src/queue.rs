//! The bounded queue between the protocols and the sessions.

mod batch;
mod measure;
mod pace;
mod session;
mod worker;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;

use crate::backend::{Engine, Signature};
use crate::budget::Share;
use crate::deadline::Deadline;
use crate::error::{ServeError, StartError};
use crate::metrics::Metrics;
use crate::profile::Layout;
use crate::samples::Samples;
use crate::statistics::Statistics;
use crate::tensor::Tensor;
pub(crate) use measure::{Measured, measure};
use pace::Pace;
use session::{Session, Up};
use worker::Worker;

#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueConfig {
    /// Worker threads, each with its own session.
    pub(crate) layout: Layout,
    /// Requests that may wait; more are refused at once.
    pub(crate) size: usize,
    /// How long they may have to wait, as far as that can be told; who would wait longer is refused at once.
    pub(crate) max_wait: Duration,
    pub(crate) batching: Option<Batching>,
}

/// Requests that come together are run together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    /// Rows of a batch.
    pub(crate) max_size: usize,
    /// How long the first request of a batch waits for others.
    pub(crate) max_delay: Duration,
}

/// What the package says of the model.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) signature: Signature,
    pub(crate) samples: Arc<Samples>,
}

impl From<Signature> for Expected {
    fn from(signature: Signature) -> Self {
        Self { signature, samples: Arc::default() }
    }
}

type Reply = Result<Vec<Tensor>, ServeError>;

/// A request's tensors, and what they hold of the budget for as long as anyone has them.
#[derive(Debug)]
pub(crate) struct Inputs {
    tensors: Vec<Tensor>,
    _share: Arc<Share>,
}

impl Inputs {
    pub(crate) fn new(tensors: Vec<Tensor>, share: Arc<Share>) -> Self {
        Self { tensors, _share: share }
    }
}

/// One request on its way to a session. A receiver that is gone means that the client is gone.
#[derive(Debug)]
struct Job {
    inputs: Inputs,
    since: Instant,
    deadline: Deadline,
    reply: oneshot::Sender<Reply>,
}

impl Job {
    /// There is no session that could answer it.
    fn refuse(self) {
        self.answer(Err(ServeError::NoSession));
    }

    fn answer(self, reply: Reply) {
        // First: a client that has its answer may send another request at once, and must find the room.
        drop(self.inputs);
        // The client may have gone: then there is nobody to tell.
        let _ = self.reply.send(reply);
    }
}

/// Hands requests to the sessions. The worker threads end when it is dropped.
#[derive(Debug)]
pub(crate) struct Queue {
    jobs: Sender<Job>,
    config: QueueConfig,
    pace: Arc<Pace>,
    up: Up,
    _end: Sender<Infallible>,
}

impl Queue {
    /// Opens all sessions at once, but one that is open already, and returns when each has run once: what is returned is ready.
    pub(crate) fn start(
        engine: &Arc<dyn Engine>,
        expected: &Expected,
        config: QueueConfig,
        mut first: Option<Session>,
        metrics: &Arc<Metrics>,
        statistics: &Arc<Statistics>,
    ) -> Result<Self, StartError> {
        let Layout { sessions, threads } = config.layout;
        let (jobs, receiver) = crossbeam_channel::bounded(config.size + sessions);
        let (end, ended) = crossbeam_channel::bounded(0);
        let up: Up = Arc::new(watch::Sender::new(0));
        let pace = Arc::<Pace>::default();
        let (started, starting) = std::sync::mpsc::channel();
        for i in 0..sessions {
            let worker = Worker {
                engine: engine.clone(),
                expected: expected.clone(),
                jobs: receiver.clone(),
                end: ended.clone(),
                up: up.clone(),
                threads,
                batching: config.batching,
                pace: pace.clone(),
                metrics: metrics.clone(),
                statistics: statistics.clone(),
            };
            let (started, first) = (started.clone(), first.take());
            std::thread::Builder::new()
                .name(format!("session-{i}"))
                .spawn(move || worker.run(first, started))
                .map_err(StartError::Thread)?;
        }
        drop(started);
        starting.iter().collect::<Result<(), StartError>>()?;
        Ok(Self { jobs, config, pace, up, _end: end })
    }

    /// How many sessions can answer, now and whenever that changes.
    pub(crate) fn sessions_up(&self) -> watch::Receiver<usize> {
        self.up.subscribe()
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow() > 0
    }

    /// Requests that wait for a session.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn config(&self) -> QueueConfig {
        self.config
    }

    /// Requests that may be in progress at one time: one for each session, and the waiting ones.
    pub(crate) fn limit(&self) -> usize {
        self.config.size + self.config.layout.sessions
    }

    /// Whether more requests wait than sessions could take at once.
    pub(crate) fn is_busy(&self) -> bool {
        self.jobs.len() >= self.config.layout.sessions
    }

    /// Whether a request that comes now would be answered in time. Beyond its capacity a server that takes every request answers none: each has
    /// waited for too long when its turn comes.
    pub(crate) fn has_time(&self, deadline: Deadline, now: Instant) -> Result<(), ServeError> {
        let (waiting, sessions) = (self.waiting(), *self.up.borrow());
        let left = deadline.instant().map(|at| at.saturating_duration_since(now));
        match pace::too_long(self.pace.get(), waiting, sessions, left, self.config.max_wait) {
            None => Ok(()),
            Some((wait, limit)) => Err(ServeError::TooLong { wait, limit }),
        }
    }

    /// Inputs must be checked and in the order of the signature; what they hold of the budget they hold until no worker has them any more.
    /// When the deadline has passed the answer is an error at once, and the request, if it still waits, costs no inference.
    pub(crate) async fn run(&self, inputs: Inputs, deadline: Deadline) -> Reply {
        let (reply, receiver) = oneshot::channel();
        let since = Instant::now();
        if deadline.has_passed(since) {
            return Err(ServeError::Deadline);
        }
        self.has_time(deadline, since)?;
        match self.jobs.try_send(Job { inputs, since, deadline, reply }) {
            Ok(()) => {
                let answered = match deadline.instant() {
                    None => receiver.await,
                    Some(at) => timeout_at(at.into(), receiver).await.unwrap_or(Ok(Err(ServeError::Deadline))),
                };
                answered.unwrap_or(Err(ServeError::Stopping))
            }
            Err(TrySendError::Full(_)) => Err(ServeError::Overloaded { limit: self.limit() }),
            Err(TrySendError::Disconnected(_)) => Err(ServeError::Stopping),
        }
    }
}

#[cfg(test)]
mod tests;
