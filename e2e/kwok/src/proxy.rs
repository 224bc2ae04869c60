//! Between the operator and the API server, and not to be trusted.

mod fault;
mod watch;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
pub use fault::{Fault, Faults};
use http_body_util::BodyExt as _;
use kube::{Client, Config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::clock::{self, Clock};
use crate::operator::Operator;
use crate::process::Process;

/// A longer answer than the operator waits for.
const LATE: Duration = Duration::from_secs(17);

const NOT_DONE: &str = "not done";
/// In seconds.
const HOUR: i64 = 3600;
/// Of the operator's clock from the true time, in seconds. Twice as much is less than the rollouts' progress deadline.
const CLOCK_MOST: i64 = 120;

/// What passes between an operator and the API server, and what does not.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("faults", &self.0.faults).finish_non_exhaustive()
    }
}

struct Inner {
    upstream: Client,
    operator: Operator,
    clock: Option<Clock>,
    faults: Faults,
    /// In paths: it differs from run to run, and what happens to a request must not.
    namespace: String,
    is_calm: AtomicBool,
    writes: AtomicUsize,
    /// How often a request was made.
    seen: Mutex<HashMap<String, u32>>,
    /// Reads that may be answered out of an old cache: those that name a resourceVersion.
    content_with_old: Mutex<Vec<String>>,
    /// What was done to which request.
    done: Mutex<Vec<String>>,
}

impl Proxy {
    /// Starts it on a port of its own, with the operator of one namespace behind it. `directory` keeps its kubeconfig and its log.
    pub async fn start(namespace: &str, faults: Faults, directory: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let kubeconfig: PathBuf = directory.join(format!("{namespace}.kubeconfig"));
        let server = format!("http://{}", listener.local_addr()?);
        std::fs::write(
            &kubeconfig,
            serde_json::to_vec(&json!({"apiVersion": "v1", "kind": "Config", "current-context": "proxy",
                "clusters": [{"name": "proxy", "cluster": {"server": server}}], "users": [{"name": "proxy", "user": {}}],
                "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}]}))?,
        )?;
        // The operator's own tries are to be seen, not this client's.
        let mut config = Config::infer().await?;
        config.default_retry = false;
        let clock = match faults {
            Faults::Clock { .. } | Faults::SetBack { .. } => {
                Some(Clock::new(&directory.join(format!("{namespace}.clock")))?)
            }
            _ => None,
        };
        if let (Some(clock), Faults::SetBack { .. }) = (&clock, faults) {
            clock.set(HOUR)?;
        }
        let log = directory.join(format!("{namespace}.log"));
        let proxy = Self(Arc::new(Inner {
            upstream: Client::try_from(config)?,
            operator: Operator::new(kubeconfig, Some(namespace), &log, clock.clone()),
            clock,
            faults,
            namespace: namespace.to_owned(),
            is_calm: AtomicBool::new(false),
            writes: AtomicUsize::new(0),
            seen: Mutex::default(),
            content_with_old: Mutex::default(),
            done: Mutex::default(),
        }));
        let router = axum::Router::new().fallback(handle).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy.0.operator.start()?;
        if let Faults::Clock { seed } = faults {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.must(steps(proxy.clone(), seed).await) });
        }
        Ok(proxy)
    }

    /// Nothing more is done to what passes.
    pub fn calm(&self) {
        self.0.is_calm.store(true, Ordering::SeqCst);
    }

    pub fn writes(&self) -> usize {
        self.0.writes.load(Ordering::SeqCst)
    }

    /// What was done, in order: a fault and its request in each line.
    pub fn done(&self) -> Vec<String> {
        self.0.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The reads so far that the API server may answer out of an old cache; any other it answers with the newest.
    pub fn content_with_old(&self) -> Vec<String> {
        self.0.content_with_old.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn kill(&self) -> Result<()> {
        self.0.operator.kill();
        self.0.operator.start()
    }

    /// Of the operator: resident set now and its peak, in KiB.
    pub fn memory(&self) -> Result<(u64, u64)> {
        self.0.operator.measured(Process::memory)
    }

    pub fn stop(&self) {
        self.0.operator.kill();
    }

    /// What is to be done and could not be: the story has proved nothing.
    pub fn not_done(&self) -> Option<String> {
        self.done().into_iter().find(|line| line.starts_with(NOT_DONE))
    }

    fn must(&self, done: Result<()>) {
        if let Err(error) = done {
            self.note(format!("{NOT_DONE}: {error:#}"));
        }
    }

    fn set(&self, clock: &Clock, offset: i64) -> Result<()> {
        self.note(format!("clock {offset:+} s"));
        clock.set(offset)
    }

    fn set_back(&self) -> Result<()> {
        let Some(clock) = &self.0.clock else { return Ok(()) };
        ensure!(self.0.operator.measured(|p| p.has_loaded(clock::LIBRARY))?, "the operator has the true time");
        self.set(clock, 0)
    }

    fn note(&self, what: String) {
        self.0.done.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

/// Sets the operator's clock until it is calm, and then right.
async fn steps(proxy: Proxy, seed: u64) -> Result<()> {
    let Some(clock) = &proxy.0.clock else { return Ok(()) };
    let mut dice = fastrand::Rng::with_seed(seed);
    while !proxy.0.is_calm.load(Ordering::SeqCst) {
        let offset = dice.i64(-CLOCK_MOST..=CLOCK_MOST);
        proxy.set(clock, offset)?;
        sleep(Duration::from_millis(dice.u64(500..2500))).await;
    }
    proxy.set(clock, 0)
}

async fn handle(State(proxy): State<Proxy>, request: Request) -> Response<Body> {
    // Apart from the connection: what has arrived is carried out, whatever becomes of who asked.
    match tokio::spawn(pass(proxy, request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn pass(proxy: Proxy, request: Request) -> Result<Response<Body>> {
    let inner = &*proxy.0;
    let is_write = request.method() != Method::GET;
    let is_watch = request.uri().query().is_some_and(|q| q.contains("watch=true"));
    let what = format!("{} {}", request.method(), request.uri()).replace(&inner.namespace, "NAMESPACE");
    if !is_write && !is_watch && what.contains("resourceVersion=") {
        inner.content_with_old.lock().unwrap_or_else(PoisonError::into_inner).push(what.clone());
    }
    let nth = {
        let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A watch begins where the last one ended, at another resourceVersion each time.
        let count = seen.entry(what.split("&resourceVersion").next().unwrap_or(&what).to_owned()).or_default();
        *count += 1;
        *count
    };
    let fault =
        if inner.is_calm.load(Ordering::SeqCst) { None } else { inner.faults.of(&what, nth, is_write, is_watch) };
    if let Some(fault) = fault {
        proxy.note(format!("{fault:?} {what}"));
    }
    match fault {
        Some(Fault::Refused(code)) => return Ok(refused(code)),
        Some(Fault::NotArrived) => return Ok(broken()),
        Some(Fault::Late) => {
            sleep(LATE).await;
            return Ok(broken());
        }
        Some(Fault::Slow(wait)) => sleep(wait).await,
        _ => {}
    }
    let response = forward(inner, request).await?;
    if is_watch {
        let (parts, body) = response.into_parts();
        return Ok(Response::from_parts(parts, watch::disturbed(body, fault)));
    }
    // Whole: an answer that is lost has come this far.
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(axum::Error::new)?.to_bytes();
    if is_write {
        let writes = inner.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if matches!(inner.faults, Faults::Death { after } if after == writes) {
            proxy.note(format!("killed after {what}"));
            proxy.kill()?;
            return Ok(broken());
        }
        if matches!(inner.faults, Faults::SetBack { after } if after == writes) {
            proxy.must(proxy.set_back());
        }
    }
    if fault == Some(Fault::Unanswered) {
        return Ok(broken());
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

async fn forward(inner: &Inner, request: Request) -> Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut onwards = axum::http::Request::builder().method(parts.method).uri(path);
    for name in [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT] {
        if let Some(value) = parts.headers.get(&name) {
            onwards = onwards.header(name, value);
        }
    }
    let response = inner.upstream.send(onwards.body(kube::client::Body::from(body.to_vec()))?).await?;
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// What the API server says when it does not want to.
fn refused(code: u16) -> Response<Body> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "on purpose", "reason": reason, "code": code});
    let mut response = (StatusCode::from_u16(code).unwrap_or_default(), axum::Json(status)).into_response();
    if code == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A connection that ends before the answer does.
fn broken() -> Response<Body> {
    let end = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut on purpose")) });
    Response::new(Body::from_stream(end))
}
