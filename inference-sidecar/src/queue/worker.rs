use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender as Started;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use drydock_contract::TensorSignature;

use super::batch::{self, fits};
use super::{Batching, Job};
use crate::backend::{Backend, BackendError, Engine, Signature};
use crate::error::{ServeError, StartError};
use crate::metrics::Metrics;
use crate::statistics::Run;
use crate::tensor::Tensor;

/// A thread that owns one session.
pub(super) struct Worker {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) expected: Signature,
    pub(super) jobs: Receiver<Job>,
    pub(super) batching: Option<Batching>,
    pub(super) metrics: Arc<Metrics>,
}

impl Worker {
    pub(super) fn run(self, started: Started<Result<(), StartError>>) {
        let mut session = match self.open() {
            Ok(session) => session,
            Err(e) => return drop(started.send(Err(e))),
        };
        let _ = started.send(Ok(()));
        // Whoever starts the workers waits until all of them have let go of their end.
        drop(started);

        let mut next = None;
        while let Some(first) = next.take().or_else(|| self.jobs.recv().ok()) {
            let mut jobs = vec![first];
            if let Some(batching) = self.batching {
                next = self.collect(&mut jobs, batching);
            }
            // Whoever no longer waits for the answer must not cost the others an inference.
            jobs.retain(|job| !job.reply.is_closed());
            self.answer(&mut session, jobs);
        }
    }

    fn open(&self) -> Result<Box<dyn Backend>, StartError> {
        let mut session = self.engine.open()?;
        check_signature(session.signature(), &self.expected)?;
        let inputs: Vec<Tensor> =
            self.expected.inputs.iter().map(Tensor::zeros).collect::<Result<_, _>>().map_err(StartError::WarmUp)?;
        match session.run(&inputs) {
            Ok(_) => Ok(session),
            // With inner dimensions open, 1 is a guess that the model may rightly refuse.
            Err(e) if self.expected.inputs.iter().any(|i| i.shape.iter().skip(1).any(|d| *d < 0)) => {
                tracing::warn!(error = %e, "the warm-up failed; the first requests will be slower");
                Ok(session)
            }
            Err(e) => Err(StartError::WarmUp(e.to_string())),
        }
    }

    /// Adds waiting jobs to the batch; one that does not fit is returned, to be the first of the next batch.
    fn collect(&self, jobs: &mut Vec<Job>, batching: Batching) -> Option<Job> {
        let deadline = Instant::now() + batching.max_delay;
        let mut rows = jobs.first().map_or(0, rows);
        while rows < batching.max_size {
            let job = self.jobs.recv_deadline(deadline).ok()?;
            let first = jobs.first()?;
            if rows + self::rows(&job) > batching.max_size || !fits(&first.inputs, &job.inputs) {
                return Some(job);
            }
            rows += self::rows(&job);
            jobs.push(job);
        }
        None
    }

    fn answer(&self, session: &mut Box<dyn Backend>, mut jobs: Vec<Job>) {
        for job in &jobs {
            self.metrics.statistics.queued(job.since.elapsed());
        }
        if jobs.len() > 1 {
            let rows: Vec<usize> = jobs.iter().map(rows).collect();
            if let Some(outputs) = self.infer_together(session, &jobs, &rows) {
                jobs.into_iter().zip(outputs).for_each(|(job, out)| drop(job.reply.send(Ok(out))));
                return;
            }
            // One bad request must not take the others with it: each on its own.
        }
        for job in jobs.drain(..) {
            let (reply, infer) = self.infer(session, &job.inputs);
            if reply.is_ok() {
                let (input, output) = (Duration::ZERO, Duration::ZERO);
                self.metrics.statistics.run(&Run { requests: 1, rows: rows(&job), input, infer, output });
            }
            // The client may have gone meanwhile; there is nobody to tell.
            let _ = job.reply.send(reply.map_err(|e| ServeError::Engine(e.to_string())));
        }
    }

    /// The answers of a batch, if the engine can give them together.
    fn infer_together(&self, session: &mut Box<dyn Backend>, jobs: &[Job], rows: &[usize]) -> Option<Vec<Vec<Tensor>>> {
        let start = Instant::now();
        let parts: Vec<&[Tensor]> = jobs.iter().map(|j| j.inputs.as_slice()).collect();
        let joined = batch::join(&parts);
        let input = start.elapsed();
        let (outputs, infer) = self.infer(session, &joined);
        let start = Instant::now();
        let outputs = batch::split(&outputs.ok()?, rows)?;
        let (requests, rows) = (jobs.len(), rows.iter().sum());
        self.metrics.statistics.run(&Run { requests, rows, input, infer, output: start.elapsed() });
        Some(outputs)
    }

    fn infer(
        &self,
        session: &mut Box<dyn Backend>,
        inputs: &[Tensor],
    ) -> (Result<Vec<Tensor>, BackendError>, Duration) {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| session.run(inputs))).unwrap_or_else(|_| {
            // A session that panicked half-way is not to be trusted; one that returned an error is as it was.
            tracing::error!("the engine panicked; opening a new session");
            match catch_unwind(AssertUnwindSafe(|| self.engine.open())) {
                Ok(Ok(fresh)) => *session = fresh,
                Ok(Err(e)) => tracing::error!(error = %e, "no new session"),
                Err(_) => tracing::error!("no new session: the engine panicked again"),
            }
            Err(BackendError::Run("the engine panicked".into()))
        });
        let took = start.elapsed();
        self.metrics.inference(inputs.first().map_or(1, Tensor::rows), took);
        (result, took)
    }
}

fn rows(job: &Job) -> usize {
    job.inputs.first().map_or(1, Tensor::rows)
}

/// Output shapes are what shape inference makes of them: one side may know a dimension that the other leaves open.
fn check_signature(found: &Signature, expected: &Signature) -> Result<(), StartError> {
    let check = |side, found: &[TensorSignature], expected: &[TensorSignature], same: fn(i64, i64) -> bool| {
        let equal = found.len() == expected.len()
            && found.iter().zip(expected).all(|(f, e)| {
                f.name == e.name
                    && f.datatype == e.datatype
                    && f.shape.len() == e.shape.len()
                    && f.shape.iter().zip(&e.shape).all(|(f, e)| same(*f, *e))
            });
        let list = |s: &[TensorSignature]| {
            s.iter().map(|t| format!("{} {}{:?}", t.name, t.datatype, t.shape)).collect::<Vec<_>>().join(", ")
        };
        if equal { Ok(()) } else { Err(StartError::Signature { side, found: list(found), expected: list(expected) }) }
    };
    check("inputs", &found.inputs, &expected.inputs, |f, e| f == e)?;
    check("outputs", &found.outputs, &expected.outputs, |f, e| f == e || f == -1 || e == -1)
}
