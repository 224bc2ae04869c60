use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender as Started;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};

use super::batch::{self, fits};
use super::pace::Pace;
use super::session::{Outcome, Session, Up};
use super::{Batching, Expected, Job};
use crate::backend::Engine;
use crate::error::{ServeError, StartError};
use crate::metrics::Metrics;
use crate::statistics::{Run, Statistics};
use crate::tensor::Tensor;

/// Between two attempts to open a session, where the first one failed: doubled up to the last.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(5);
/// How often a worker without a session looks whether others have one.
const LOOK: Duration = Duration::from_millis(100);

/// A thread that owns one session, and makes another when that one breaks.
pub(super) struct Worker {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) expected: Expected,
    pub(super) jobs: Receiver<Job>,
    /// Closed when the queue is gone.
    pub(super) end: Receiver<Infallible>,
    pub(super) up: Up,
    pub(super) threads: usize,
    pub(super) batching: Option<Batching>,
    pub(super) pace: Arc<Pace>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) statistics: Arc<Statistics>,
}

impl Worker {
    /// `first`: a session that is open already.
    pub(super) fn run(self, first: Option<Session>, started: Started<Result<(), StartError>>) {
        let mut session = match first.map_or_else(|| self.open(), Ok) {
            Ok(session) => Some(session.counted(&self.up)),
            Err(e) => return drop(started.send(Err(e))),
        };
        let _ = started.send(Ok(()));
        // Whoever starts the workers waits until all of them have let go of their end.
        drop(started);

        let mut next = None;
        loop {
            if session.is_none() {
                session = self.reopen();
            }
            if session.is_none() && self.wait_for_session(&mut session, &mut next).is_none() {
                return;
            }
            let Some(first) = next.take().or_else(|| self.jobs.recv().ok()) else { return };
            let mut jobs = vec![first];
            if let Some(batching) = self.batching {
                next = self.collect(&mut jobs, batching);
            }
            // Whoever no longer waits for the answer must not cost the others an inference.
            let now = Instant::now();
            jobs.retain(|job| !job.reply.is_closed() && !job.deadline.has_passed(now));
            self.answer(&mut session, jobs);
        }
    }

    fn open(&self) -> Result<Session, StartError> {
        Session::open(self.engine.as_ref(), self.threads, &self.expected)
    }

    fn reopen(&self) -> Option<Session> {
        let opened = self.open().inspect_err(|e| tracing::error!(error = %e, "no new session"));
        opened.ok().map(|session| {
            tracing::info!("a new session is up");
            session.counted(&self.up)
        })
    }

    /// Tries again and again. Who waits is told at once, as long as no other session can answer. `None`: the queue is gone.
    fn wait_for_session(&self, session: &mut Option<Session>, next: &mut Option<Job>) -> Option<()> {
        let (mut delay, nobody) = (FIRST_DELAY, never());
        while session.is_none() {
            let until = Instant::now() + delay;
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                if let Some(job) = next.take() {
                    job.refuse();
                }
                let jobs = if *self.up.borrow() == 0 { &self.jobs } else { &nobody };
                select! {
                    recv(jobs) -> job => job.ok()?.refuse(),
                    recv(self.end) -> _ => return None,
                    default(left.min(LOOK)) => {}
                }
            }
            delay = (delay * 2).min(LAST_DELAY);
            *session = self.reopen();
        }
        Some(())
    }

    /// Adds waiting jobs to the batch; one that does not fit is returned, to be the first of the next batch.
    fn collect(&self, jobs: &mut Vec<Job>, batching: Batching) -> Option<Job> {
        let start = Instant::now();
        // Half of the time that a client has is for computing.
        let sooner = |until: Instant, job: &Job| {
            let half = job.deadline.instant().map(|at| start + at.saturating_duration_since(start) / 2);
            half.map_or(until, |half| until.min(half))
        };
        let mut until = jobs.iter().fold(start + batching.max_delay, sooner);
        let mut rows = jobs.first().map_or(0, rows);
        while rows < batching.max_size {
            let job = self.jobs.recv_deadline(until).ok()?;
            let first = jobs.first()?;
            if rows + self::rows(&job) > batching.max_size || !fits(&first.inputs.tensors, &job.inputs.tensors) {
                return Some(job);
            }
            rows += self::rows(&job);
            until = sooner(until, &job);
            jobs.push(job);
        }
        None
    }

    fn answer(&self, session: &mut Option<Session>, mut jobs: Vec<Job>) {
        for job in &jobs {
            self.statistics.queued(job.since.elapsed());
        }
        if jobs.len() > 1 {
            let rows: Vec<usize> = jobs.iter().map(rows).collect();
            let start = Instant::now();
            if let Some(outputs) = self.infer_together(session, &jobs, &rows) {
                self.pace.took(start.elapsed().div_f64(jobs.len() as f64));
                jobs.into_iter().zip(outputs).for_each(|(job, out)| job.answer(Ok(out)));
                return;
            }
            // One bad request must not take the others with it: each on its own.
        }
        for job in jobs.drain(..) {
            let (reply, infer) = self.infer(session, &job.inputs.tensors);
            if reply.is_ok() {
                self.pace.took(infer);
                let (input, output) = (Duration::ZERO, Duration::ZERO);
                self.statistics.run(&Run { requests: 1, rows: rows(&job), input, infer, output });
            }
            job.answer(reply);
        }
    }

    /// The answers of a batch, if the engine can give them together.
    fn infer_together(&self, session: &mut Option<Session>, jobs: &[Job], rows: &[usize]) -> Option<Vec<Vec<Tensor>>> {
        let start = Instant::now();
        let parts: Vec<&[Tensor]> = jobs.iter().map(|j| j.inputs.tensors.as_slice()).collect();
        let joined = batch::join(&parts);
        let input = start.elapsed();
        let (outputs, infer) = self.infer(session, &joined);
        let start = Instant::now();
        let outputs = batch::split(&outputs.ok()?, rows)?;
        let (requests, rows) = (jobs.len(), rows.iter().sum());
        self.statistics.run(&Run { requests, rows, input, infer, output: start.elapsed() });
        Some(outputs)
    }

    /// Takes the session away if it breaks. One that an earlier request of the same batch has broken is made again first.
    fn infer(&self, session: &mut Option<Session>, inputs: &[Tensor]) -> (Result<Vec<Tensor>, ServeError>, Duration) {
        if session.is_none() {
            *session = self.reopen();
        }
        let Some(live) = session.as_mut() else { return (Err(ServeError::NoSession), Duration::ZERO) };
        let start = Instant::now();
        let outcome = live.run(inputs);
        let took = start.elapsed();
        self.metrics.inference(inputs.first().map_or(1, Tensor::rows), took);
        let result = match outcome {
            Outcome::Answered(outputs) => Ok(outputs),
            Outcome::Failed(e) => Err(ServeError::Engine(e.to_string())),
            Outcome::Broken(e) => {
                tracing::error!(error = %e, "a session broke; opening a new one");
                self.metrics.session_broke();
                session.take().into_iter().for_each(Session::discard);
                Err(ServeError::Engine(e.to_string()))
            }
        };
        (result, took)
    }
}

fn rows(job: &Job) -> usize {
    job.inputs.tensors.first().map_or(1, Tensor::rows)
}
