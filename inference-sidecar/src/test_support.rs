use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drydock_contract::{Datatype, Digest, TensorSignature};
use tokio::sync::Semaphore;

use crate::backend::{Backend, BackendError, Engine, Signature};
use crate::budget::Budget;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::profile::throughput;
use crate::queue::{Queue, QueueConfig};
use crate::serve::{App, Current, Model};
use crate::tensor::Tensor;

pub(crate) fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new())
}

fn signature() -> Signature {
    let tensor = |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Uint8, shape: vec![1] };
    Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] }
}

/// Sessions answer 0 and break on all else. The first one opens, others only when they may.
#[derive(Debug, Default)]
pub(crate) struct Fragile {
    opened: AtomicUsize,
    pub(crate) may_open: AtomicUsize,
}

#[derive(Debug)]
struct FragileSession(Signature);

impl Engine for Fragile {
    fn open(&self, _: usize) -> Result<Box<dyn Backend>, BackendError> {
        if self.opened.fetch_add(1, Ordering::SeqCst) > self.may_open.load(Ordering::SeqCst) {
            return Err(BackendError::Load("not now".into()));
        }
        Ok(Box::new(FragileSession(signature())))
    }
}

impl Backend for FragileSession {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError> {
        assert!(inputs.iter().all(|t| t.data.iter().all(|b| *b == 0)), "asked to break");
        Ok(inputs.iter().map(|t| Tensor { name: "y".into(), ..t.clone() }).collect())
    }
}

/// The model `m`, revision `r1`.
pub(crate) fn serving(engine: &Arc<dyn Engine>) -> Current {
    let (metrics, statistics) = (metrics(), Arc::default());
    let config = QueueConfig { layout: throughput(1), size: 4, max_wait: Duration::from_secs(60), batching: None };
    let queue = Queue::start(engine, &signature().into(), config, None, &metrics, &statistics).unwrap();
    let model = Model {
        name: "m".into(),
        revision: "r1".into(),
        digest: Digest::of(b""),
        provider: "",
        slow: None,
        signature: signature(),
        directory: PathBuf::new(),
        recorded: None,
        labels: vec![],
        images: Err(String::new()),
        detector: None,
        max_rows: 1,
        statistics,
        queue,
    };
    let admission = Arc::new(Semaphore::new(model.queue.limit()));
    let (lifecycle, budget, questions) = (Lifecycle::default(), Budget::new(1 << 20), Budget::new(1 << 20));
    Current::new(App {
        model,
        splitter: None,
        metrics,
        lifecycle,
        max_body_bytes: 1 << 20,
        admission,
        budget,
        questions,
    })
}
