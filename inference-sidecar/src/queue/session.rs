//! Opening a session, and telling whether it still is one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use drydock_contract::TensorSignature;
use tokio::sync::watch;

use super::Expected;
use crate::backend::{Backend, BackendError, Engine, Signature};
use crate::error::StartError;
use crate::tensor::Tensor;

/// How many sessions of a queue are up.
pub(super) type Up = Arc<watch::Sender<usize>>;

/// A session that has run once.
pub(crate) struct Session {
    backend: Box<dyn Backend>,
    /// What it has answered; `None` where no input is known that it must answer.
    probe: Option<Vec<Tensor>>,
    up: Option<Up>,
}

struct WarmedUp {
    backend: Box<dyn Backend>,
    probe: Option<Vec<Tensor>>,
}

/// What became of a request.
pub(super) enum Outcome {
    Answered(Vec<Tensor>),
    /// The request's own fault, as far as one can tell: the session goes on.
    Failed(BackendError),
    /// The session is not to be used again.
    Broken(BackendError),
}

impl Session {
    pub(super) fn open(engine: &dyn Engine, threads: usize, expected: &Expected) -> Result<Self, StartError> {
        let opened = catch_unwind(AssertUnwindSafe(|| Self::warm_up(engine, threads, expected)));
        let WarmedUp { backend, probe } = opened.unwrap_or_else(|_| Err(BackendError::Panicked.into()))?;
        Ok(Self { backend, probe, up: None })
    }

    /// One that answers requests, for as long as it is there.
    pub(super) fn counted(mut self, up: &Up) -> Self {
        up.send_modify(|n| *n += 1);
        self.up = Some(up.clone());
        self
    }

    /// On the inputs that the package has recorded; on zeros, where it has none.
    fn warm_up(engine: &dyn Engine, threads: usize, expected: &Expected) -> Result<WarmedUp, StartError> {
        let mut backend = engine.open(threads)?;
        let Expected { signature, samples } = expected;
        check_signature(backend.signature(), signature)?;
        let recorded = samples.list();
        if let Some(first) = recorded.first() {
            let answers = recorded.iter().map(|sample| backend.run(&sample.inputs)).collect::<Result<Vec<_>, _>>();
            match answers {
                Ok(answers) => {
                    samples.compare(&recorded, &answers);
                    return Ok(WarmedUp { backend, probe: Some(first.inputs.clone()) });
                }
                // A model can be served without them: on another provider, or where there is less memory.
                Err(e) => {
                    tracing::warn!(error = %e, "the model failed on the package's recorded inputs; zeros are taken");
                }
            }
        }
        let inputs: Vec<Tensor> =
            signature.inputs.iter().map(Tensor::zeros).collect::<Result<_, _>>().map_err(StartError::WarmUp)?;
        match backend.run(&inputs) {
            Ok(_) => Ok(WarmedUp { backend, probe: Some(inputs) }),
            // With inner dimensions open, 1 is a guess that the model may rightly refuse.
            Err(e) if signature.inputs.iter().any(|i| i.shape.iter().skip(1).any(|d| *d < 0)) => {
                tracing::warn!(error = %e, "the warm-up failed; the first requests will be slower");
                Ok(WarmedUp { backend, probe: None })
            }
            Err(e) => Err(StartError::WarmUp(e.to_string())),
        }
    }

    pub(super) fn run(&mut self, inputs: &[Tensor]) -> Outcome {
        match catch_unwind(AssertUnwindSafe(|| self.backend.run(inputs))) {
            Ok(Ok(outputs)) => Outcome::Answered(outputs),
            // An engine does not say whether it can go on. Whether it can is seen: what it has answered once it answers again.
            Ok(Err(e)) if self.is_well() => Outcome::Failed(e),
            Ok(Err(e)) => Outcome::Broken(e),
            // Half-way through anything.
            Err(_) => Outcome::Broken(BackendError::Panicked),
        }
    }

    /// What it has answered before; `None` where no input is known that it must answer.
    pub(super) fn inputs(&self) -> Option<&[Tensor]> {
        self.probe.as_deref()
    }

    /// Whether it answers this, before there are requests.
    pub(super) fn try_run(&mut self, inputs: &[Tensor]) -> Option<()> {
        matches!(self.run(inputs), Outcome::Answered(_)).then_some(())
    }

    fn is_well(&mut self) -> bool {
        let Some(probe) = &self.probe else { return true };
        catch_unwind(AssertUnwindSafe(|| self.backend.run(probe).is_ok())).unwrap_or(false)
    }

    /// Lets go of a broken one, whatever that brings.
    pub(super) fn discard(self) {
        if catch_unwind(AssertUnwindSafe(|| drop(self))).is_err() {
            tracing::error!("the engine panicked once more when its session was closed");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(up) = &self.up {
            up.send_modify(|n| *n = n.saturating_sub(1));
        }
    }
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
