use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use drydock_contract::{Datatype, TensorSignature};

use super::*;
use crate::backend::{Backend, BackendError};
use crate::budget::Budget;
use crate::profile::throughput;
use crate::test_support::metrics;

const ERROR: u8 = 1;
const PANIC: u8 = 2;
/// An error after which the session answers nothing more.
const KILL: u8 = 4;
/// Longer than any test.
const AGES: Duration = Duration::from_secs(3600);
/// Says that it has begun, and ends when the test says so.
const WAIT: u8 = 3;

/// Answers with its input; the first byte says what goes wrong.
#[derive(Debug)]
struct Fake {
    opened: AtomicUsize,
    /// So many more sessions do not open.
    refuses: AtomicUsize,
    ran: Arc<Mutex<Vec<usize>>>,
    begun: Sender<()>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

struct FakeSession {
    signature: Signature,
    dead: bool,
    ran: Arc<Mutex<Vec<usize>>>,
    begun: Sender<()>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

impl Fake {
    fn new(begun: Sender<()>, go_on: Receiver<()>) -> Self {
        let (opened, refuses) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { opened, refuses, ran: Arc::default(), begun, go_on: Arc::new(Mutex::new(go_on)) }
    }
}

impl Engine for Fake {
    fn open(&self, _: usize) -> Result<Box<dyn Backend>, BackendError> {
        let more = self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if more.is_ok() {
            return Err(BackendError::Load("not now".into()));
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (ran, begun, go_on) = (self.ran.clone(), self.begun.clone(), self.go_on.clone());
        Ok(Box::new(FakeSession { signature: signature(), dead: false, ran, begun, go_on }))
    }
}

impl Backend for FakeSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError> {
        self.ran.lock().unwrap().push(inputs[0].rows());
        self.dead |= inputs[0].data.contains(&KILL);
        if self.dead || inputs[0].data.contains(&ERROR) {
            return Err(BackendError::Run("no".into()));
        }
        assert!(!inputs[0].data.contains(&PANIC), "asked to panic");
        if inputs[0].data.contains(&WAIT) {
            self.begun.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
        Ok(vec![Tensor { name: "y".into(), ..inputs[0].clone() }])
    }
}

fn signature() -> Signature {
    let tensor = |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Uint8, shape: vec![-1, 1] };
    Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] }
}

fn input(rows: &[u8]) -> Inputs {
    let (shape, data) = (vec![rows.len() as i64, 1], rows.to_vec().into());
    let tensors = vec![Tensor { name: "x".into(), datatype: Datatype::Uint8, shape, data }];
    Inputs::new(tensors, Arc::new(Budget::new(0).share()))
}

struct Setup {
    queue: Arc<Queue>,
    engine: Arc<Fake>,
    metrics: Arc<Metrics>,
    statistics: Arc<Statistics>,
    begun: Receiver<()>,
    go_on: Sender<()>,
}

fn setup(size: usize, batching: Option<Batching>) -> Setup {
    setup_of(1, size, AGES, batching)
}

fn setup_of(sessions: usize, size: usize, max_wait: Duration, batching: Option<Batching>) -> Setup {
    let ((begun, has_begun), (go, go_on)) = (channel(), channel());
    let engine = Arc::new(Fake::new(begun, go_on));
    let config = QueueConfig { layout: throughput(sessions), size, max_wait, batching };
    let dynamic: Arc<dyn Engine> = engine.clone();
    let (metrics, statistics) = (metrics(), Arc::default());
    let queue = Arc::new(Queue::start(&dynamic, &signature().into(), config, None, &metrics, &statistics).unwrap());
    engine.ran.lock().unwrap().clear();
    Setup { queue, engine, metrics, statistics, begun: has_begun, go_on: go }
}

/// Starts a request that keeps the session busy until `go_on`.
fn occupy(setup: &Setup) -> tokio::task::JoinHandle<Reply> {
    let queue = setup.queue.clone();
    let busy = tokio::spawn(async move { queue.run(input(&[WAIT]), Deadline::default()).await });
    tokio::task::block_in_place(|| setup.begun.recv().unwrap());
    busy
}

#[tokio::test]
async fn an_error_or_a_panic_is_one_requests_own() {
    let setup = setup(8, None);
    for (row, opened) in [(ERROR, 1), (PANIC, 2), (KILL, 3), (ERROR, 3)] {
        let reply = setup.queue.run(input(&[row]), Deadline::default()).await;
        assert!(matches!(reply, Err(ServeError::Engine(_))), "{reply:?}");
        assert_eq!(setup.queue.run(input(&[9]), Deadline::default()).await.unwrap()[0].data, vec![9]);
        assert_eq!(setup.engine.opened.load(Ordering::SeqCst), opened);
    }
    let text = setup.metrics.text(&setup.queue).unwrap();
    assert!(text.contains("drydock_session_restarts_total 2\n") && text.contains("drydock_sessions 1\n"), "{text}");
}

#[tokio::test]
async fn a_session_that_does_not_open_again_is_tried_for_and_requests_are_told_meanwhile() {
    let setup = setup(8, None);
    let mut up = setup.queue.sessions_up();
    // The first attempt is made at once, the second 100 ms later, the third 200 ms after that.
    setup.engine.refuses.store(3, Ordering::SeqCst);
    assert!(matches!(setup.queue.run(input(&[PANIC]), Deadline::default()).await, Err(ServeError::Engine(_))));
    up.wait_for(|n| *n == 0).await.unwrap();
    assert!(!setup.queue.is_up());
    assert_eq!(setup.queue.run(input(&[9]), Deadline::default()).await, Err(ServeError::NoSession));
    up.wait_for(|n| *n == 1).await.unwrap();
    assert_eq!(setup.queue.run(input(&[9]), Deadline::default()).await.unwrap()[0].data, vec![9]);
    assert_eq!((setup.engine.opened.load(Ordering::SeqCst), setup.engine.refuses.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_answer_for_a_worker_without_a_session() {
    let setup = setup_of(2, 8, AGES, None);
    setup.engine.refuses.store(usize::MAX, Ordering::SeqCst);
    assert!(matches!(setup.queue.run(input(&[PANIC]), Deadline::default()).await, Err(ServeError::Engine(_))));
    setup.queue.sessions_up().wait_for(|n| *n == 1).await.unwrap();
    for _ in 0..20 {
        setup.queue.run(input(&[9]), Deadline::default()).await.unwrap();
    }
    assert!(setup.queue.is_up());
}

#[test]
fn workers_end_with_the_queue_even_without_a_session() {
    let Setup { queue, engine, metrics, .. } = setup(8, None);
    engine.refuses.store(usize::MAX, Ordering::SeqCst);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(queue.run(input(&[PANIC]), Deadline::default())).is_err());
    drop((queue, metrics));
    // Ours is the last one that is left.
    while Arc::strong_count(&engine) > 1 {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let setup = setup(1, None);
    let busy = occupy(&setup);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let queue = setup.queue.clone();
            tokio::spawn(async move { queue.run(input(&[9]), Deadline::default()).await })
        })
        .collect();
    while setup.queue.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.queue.run(input(&[9]), Deadline::default()).await, Err(ServeError::Overloaded { limit: 2 }));
    setup.go_on.send(()).unwrap();
    assert!(busy.await.unwrap().is_ok());
    for request in waiting {
        assert!(request.await.unwrap().is_ok());
    }
}

/// What is behind one that waits would wait for longer than nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_would_wait_for_too_long_is_refused_at_once() {
    let setup = setup_of(1, 8, Duration::ZERO, None);
    setup.queue.run(input(&[9]), Deadline::default()).await.unwrap();
    let busy = occupy(&setup);
    let queue = setup.queue.clone();
    let next = tokio::spawn(async move { queue.run(input(&[9]), Deadline::default()).await });
    while setup.queue.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let refused = setup.queue.run(input(&[9]), Deadline::default()).await.unwrap_err();
    assert!(matches!(refused, ServeError::TooLong { limit: Duration::ZERO, .. }), "{refused}");
    setup.go_on.send(()).unwrap();
    assert!(busy.await.unwrap().is_ok() && next.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_client_that_is_gone() {
    let setup = setup(4, None);
    let busy = occupy(&setup);
    let queue = setup.queue.clone();
    let gone = tokio::spawn(async move { queue.run(input(&[8, 8, 8]), Deadline::default()).await });
    while setup.queue.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    let _ = gone.await;
    setup.go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
    setup.queue.run(input(&[9]), Deadline::default()).await.unwrap();
    assert_eq!(*setup.engine.ran.lock().unwrap(), [1, 1], "the abandoned request of 3 rows was run");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_requests_share_a_run_and_a_bad_one_is_alone_with_it() {
    let setup = setup(8, Some(Batching { max_size: 4, max_delay: Duration::ZERO }));
    let busy = occupy(&setup);
    let mut waiting = Vec::new();
    for (i, rows) in [&[10][..], &[11, 12], &[13], &[14], &[ERROR]].into_iter().enumerate() {
        let queue = setup.queue.clone();
        waiting.push(tokio::spawn(async move { queue.run(input(rows), Deadline::default()).await }));
        while setup.queue.waiting() < i + 1 {
            tokio::task::yield_now().await;
        }
    }
    setup.go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
    let mut replies = Vec::new();
    for request in waiting {
        replies.push(request.await.unwrap().map(|t| t[0].data.to_vec()));
    }
    assert_eq!(replies[..4], [Ok(vec![10]), Ok(vec![11, 12]), Ok(vec![13]), Ok(vec![14])]);
    assert!(matches!(replies[4], Err(ServeError::Engine(_))));
    // The busy one, the four rows that fit, the two that failed together, and each of those alone. After each failure one more that is
    // known to be good.
    assert_eq!(*setup.engine.ran.lock().unwrap(), [1, 4, 2, 1, 1, 1, 1]);
    // Runs that succeeded: of one row, of four rows and three requests, and of one row.
    let counts = setup.statistics.counts();
    assert_eq!((counts.executions, counts.inferences, counts.queue.count), (3, 6, 6));
    assert_eq!(counts.compute.infer.count, 5);
    let sizes: Vec<_> = counts.batches.iter().map(|(rows, c)| (*rows, c.infer.count)).collect();
    assert_eq!(sizes, [(1, 2), (4, 1)]);
}

#[test]
fn another_model_than_the_manifests_is_refused() {
    let (begun, _) = channel();
    let (_, go_on) = channel();
    let engine: Arc<dyn Engine> = Arc::new(Fake::new(begun, go_on));
    let config = QueueConfig { layout: throughput(2), size: 1, max_wait: AGES, batching: None };
    let mut expected = signature();
    expected.inputs[0].datatype = Datatype::Fp32;
    let error =
        Queue::start(&engine, &expected.into(), config, None, &metrics(), &Arc::default()).unwrap_err().to_string();
    assert!(error.contains("x UINT8[-1, 1]") && error.contains("x FP32[-1, 1]"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_wait_is_told_and_costs_no_inference() {
    let setup = setup(4, None);
    let busy = occupy(&setup);
    let start = Instant::now();
    let soon = Deadline::default().or_after(start, Some(1));
    // Waits behind the one that is busy, and until its time has come.
    assert_eq!(
        setup.queue.run(input(&[8, 8]), Deadline::default().or_after(start, Some(20_000))).await,
        Err(ServeError::Deadline)
    );
    assert!(start.elapsed() >= Duration::from_millis(20));
    // Its time has come already.
    assert_eq!(setup.queue.run(input(&[8, 8]), soon).await, Err(ServeError::Deadline));
    setup.go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
    let later = Deadline::default().or_after(Instant::now(), Some(600_000_000));
    assert!(setup.queue.run(input(&[9]), later).await.is_ok());
    assert_eq!(*setup.engine.ran.lock().unwrap(), [1, 1], "a request whose deadline had passed was run");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_past_its_deadline_holds_its_memory() {
    const BYTES: usize = 1 << 20;
    let (setup, budget) = (setup(4, None), Budget::new(BYTES));
    let busy = occupy(&setup);
    let mut body = budget.share();
    body.hold(BYTES / 2).unwrap();
    let mut share = Share::of_body(&Arc::new(body));
    share.hold(BYTES / 2).unwrap();
    let inputs = Inputs::new(input(&[8, 8]).tensors, Arc::new(share));
    let soon = Deadline::default().or_after(Instant::now(), Some(20_000));
    assert_eq!(setup.queue.run(inputs, soon).await, Err(ServeError::Deadline));
    // The client is told, and the tensors are still there.
    assert_eq!(budget.share().hold(1), Err(ServeError::OutOfMemory { limit: BYTES }));
    setup.go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
    // Behind it: by then it is gone.
    setup.queue.run(input(&[9]), Deadline::default()).await.unwrap();
    budget.share().hold(BYTES).unwrap();
}

/// The window is not waited for, also by who has the time.
#[tokio::test]
async fn no_batch_waits_past_a_deadline() {
    const WINDOW: Duration = Duration::from_secs(5);
    let setup = setup(8, Some(Batching { max_size: 4, max_delay: WINDOW }));
    let start = Instant::now();
    let soon = Deadline::default().or_after(start, Some(100_000));
    let (patient, hurried) =
        futures::future::join(setup.queue.run(input(&[9]), Deadline::default()), setup.queue.run(input(&[8]), soon))
            .await;
    assert_eq!(patient.unwrap()[0].data, vec![9]);
    assert!(start.elapsed() < WINDOW, "{:?}", start.elapsed());
    // A machine that is busy may be too late for it.
    assert!(matches!(hurried, Ok(_) | Err(ServeError::Deadline)), "{hurried:?}");
}
