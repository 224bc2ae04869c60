//! The load. Closed loop: so many connections, each of which asks again when it is answered. Open loop: requests leave when they are
//! due, and their latency is counted from then on, so that a server that stalls is not asked less (no coordinated omission).

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout};

use crate::process::Cost;

type Problem = Box<dyn Error>;

#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    address: SocketAddr,
    path: String,
    /// File with the body of every request.
    body: PathBuf,
    /// `name: value`
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(String, String)>,
    /// HTTP/2, and an answer counts if its trailers say that it does.
    #[arg(long)]
    grpc: bool,
    /// The server: the CPU time and memory of it and its children are read.
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    #[arg(long, default_value_t = 200)]
    requests: usize,
    /// Requests before anything is counted.
    #[arg(long, default_value_t = 20)]
    warm_up: usize,
    /// Requests a second: open loop, on as many connections as it takes.
    #[arg(long)]
    rate: Option<f64>,
    /// How long a request of the open loop is waited for.
    #[arg(long, default_value_t = 1000)]
    deadline_ms: u64,
    /// Of the closed loop, so many of a hundred requests go to this address instead: what a splitter is held against.
    #[arg(long, requires = "other_percent")]
    other: Option<SocketAddr>,
    #[arg(long, default_value_t = 0)]
    other_percent: usize,
    /// A longer run ends here, with what it has.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(": ").ok_or("expected name: value")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Default)]
struct Seen {
    /// Seconds from when it was due, of each that was answered.
    latencies: Vec<f64>,
    /// 429, 503 or RESOURCE_EXHAUSTED.
    refused: usize,
    late: usize,
    failed: usize,
    first_failure: Option<String>,
    answer_bytes: usize,
}

enum Outcome {
    Answered(usize),
    Refused,
    Failed(String),
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Load {
    pub(crate) async fn run(self) -> Result<Value, Problem> {
        LocalSet::new().run_until(self.measure()).await
    }

    async fn measure(self) -> Result<Value, Problem> {
        let request = Rc::new(self.request()?);
        let load = Rc::new(self);
        load.closed(&request, load.warm_up).await?;
        let (before, start) = (Cost::of(load.pid)?, Instant::now());
        let seen = match load.rate {
            None => load.closed(&request, load.requests).await?,
            Some(rate) => load.open(&request, rate).await?,
        };
        let (after, took) = (Cost::of(load.pid)?, start.elapsed().as_secs_f64());
        Ok(report(seen, before, after, took))
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Problem> {
        // An origin server has the path alone (RFC 9112, section 3.2.1); HTTP/2 has the whole.
        let uri = if self.grpc { format!("http://{}{}", self.address, self.path) } else { self.path.clone() };
        let mut request = Request::post(uri).header("host", self.address.to_string());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if self.grpc {
            request = request.header("content-type", "application/grpc").header("te", "trailers");
        }
        Ok(request.body(Full::from(fs::read(&self.body)?))?)
    }

    async fn connect(&self, to: SocketAddr) -> Result<Connection, Problem> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        if self.grpc {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            return Ok(Connection::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Connection::Http1(sender))
    }

    async fn closed(self: &Rc<Self>, request: &Rc<Request<Full<Bytes>>>, requests: usize) -> Result<Seen, Problem> {
        let (left, seen) = (Rc::new(Cell::new(requests)), Rc::new(RefCell::new(Seen::default())));
        let ends = Instant::now() + Duration::from_secs(self.seconds);
        let mut clients = JoinSet::new();
        for _ in 0..self.connections {
            let mut connections = vec![(self.address, self.connect(self.address).await?)];
            if let Some(other) = self.other {
                connections.push((other, self.connect(other).await?));
            }
            let (load, request, left, seen) = (self.clone(), request.clone(), left.clone(), seen.clone());
            clients.spawn_local(async move {
                while left.get() > 0 && Instant::now() < ends {
                    left.set(left.get() - 1);
                    let at = if load.is_of_the_other(left.get()) { connections.len() - 1 } else { 0 };
                    let Some((to, connection)) = connections.get_mut(at) else { return };
                    let due = Instant::now();
                    let outcome = connection.ask(&request).await;
                    let broken = matches!(outcome, Outcome::Failed(_));
                    seen.borrow_mut().add(outcome, due);
                    if broken {
                        match load.connect(*to).await {
                            Ok(fresh) => *connection = fresh,
                            Err(_) => return,
                        }
                    }
                }
            });
        }
        while clients.join_next().await.is_some() {}
        Ok(seen.take())
    }

    /// Spread evenly over the requests.
    fn is_of_the_other(&self, n: usize) -> bool {
        (n + 1) * self.other_percent / 100 > n * self.other_percent / 100
    }

    async fn open(self: &Rc<Self>, request: &Rc<Request<Full<Bytes>>>, rate: f64) -> Result<Seen, Problem> {
        let (idle, seen) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Seen::default())));
        let (start, deadline) = (Instant::now(), Duration::from_millis(self.deadline_ms));
        let mut asking = JoinSet::new();
        for n in 0..self.requests {
            let due = start + Duration::from_secs_f64(n as f64 / rate);
            sleep_until(due.into()).await;
            let (load, request, idle, seen) = (self.clone(), request.clone(), idle.clone(), seen.clone());
            asking.spawn_local(async move {
                let ask = async {
                    let kept = idle.borrow_mut().pop();
                    let mut connection = match kept {
                        Some(connection) => connection,
                        None => match load.connect(load.address).await {
                            Ok(connection) => connection,
                            Err(e) => return Outcome::Failed(e.to_string()),
                        },
                    };
                    let outcome = connection.ask(&request).await;
                    if !matches!(outcome, Outcome::Failed(_)) {
                        idle.borrow_mut().push(connection);
                    }
                    outcome
                };
                let outcome = timeout(deadline.saturating_sub(due.elapsed()), ask).await;
                let mut seen = seen.borrow_mut();
                match outcome {
                    Ok(outcome) => seen.add(outcome, due),
                    Err(_) => seen.late += 1,
                }
            });
            while asking.try_join_next().is_some() {}
        }
        while asking.join_next().await.is_some() {}
        Ok(seen.take())
    }
}

impl Connection {
    async fn ask(&mut self, request: &Request<Full<Bytes>>) -> Outcome {
        self.try_ask(request.clone()).await.unwrap_or_else(|e| Outcome::Failed(e.to_string()))
    }

    async fn try_ask(&mut self, request: Request<Full<Bytes>>) -> Result<Outcome, hyper::Error> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        // A call that failed before it began has its status in the head.
        let trailers = body.trailers().cloned().unwrap_or_default();
        let code = trailers.get("grpc-status").or(parts.headers.get("grpc-status"));
        let code = code.and_then(|c| c.to_str().ok()).unwrap_or("0").to_owned();
        let bytes = body.to_bytes();
        Ok(match (parts.status, code.as_str()) {
            (StatusCode::OK, "0") => Outcome::Answered(bytes.len()),
            // RESOURCE_EXHAUSTED
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) | (_, "8") => Outcome::Refused,
            (status, code) => {
                let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(300)).unwrap_or_default()).into_owned();
                Outcome::Failed(format!("{status}, {code}: {text}"))
            }
        })
    }
}

impl Seen {
    fn add(&mut self, outcome: Outcome, due: Instant) {
        match outcome {
            Outcome::Answered(bytes) => {
                self.latencies.push(due.elapsed().as_secs_f64());
                self.answer_bytes = bytes;
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Failed(why) => {
                self.failed += 1;
                self.first_failure.get_or_insert(why);
            }
        }
    }
}

fn report(mut seen: Seen, before: Cost, after: Cost, seconds: f64) -> Value {
    let answered = seen.latencies.len();
    seen.latencies.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let at = ((answered as f64 * q) as usize).min(answered.saturating_sub(1));
        seen.latencies.get(at).map(|s| s * 1000.0)
    };
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0;
    json!({
        "answered": answered, "refused": seen.refused, "late": seen.late, "failed": seen.failed,
        "first_failure": seen.first_failure, "answer_bytes": seen.answer_bytes, "seconds": seconds,
        "per_second": answered as f64 / seconds, "cpu_ms": cpu / answered.max(1) as f64,
        "p50_ms": quantile(0.5), "p99_ms": quantile(0.99),
        "pss_mb_before": before.pss_mb, "pss_mb": after.pss_mb,
    })
}
