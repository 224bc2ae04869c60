//! Accepts connections, and lets go of them without losing a request.

mod lend;
mod patience;
mod places;

use std::future::pending;
use std::io::{self, Cursor};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, join, sink};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::lifecycle::{Lifecycle, Phase};
use lend::lend;
use patience::Patient;
use places::Place;
pub(crate) use places::Places;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// HTTP/2 only.
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// A connection is asked to close by its next response, so it stays until the end.
    Http1,
    /// A connection is told to go at once, which HTTP/2 can do between two requests.
    Http2,
}

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), and no HTTP/1 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For a client that says nothing, or stops half-way through its first words.
const FIRST_WORDS_TIMEOUT: Duration = Duration::from_secs(15);
/// How often an HTTP/2 client is asked for a sign of life, and how long it has for it.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 256;
/// What a client may have hyper keep before it has said its whole head (HTTP/1.1), and all header fields of a request (HTTP/2).
const HEAD_BYTES: usize = 16 << 10;
const HEADER_LIST_BYTES: u32 = 16 << 10;
/// How much of a body is read at once, and how long a frame of HTTP/2 may be. Each time, all that is between the socket and the reader of
/// the body is woken: with 16 KiB a body of 600 KB took a seventh more CPU time, over gRPC a quarter (docs/adr/0021-hot-path.md).
const READ_BYTES: usize = 64 << 10;
const FRAME_BYTES: u32 = 64 << 10;
/// Streams that the client opened and reset again before they were looked at (CVE-2023-44487), and those that we reset because
/// they were wrong (CVE-2025-8671). One more, and the connection is closed with `ENHANCE_YOUR_CALM`. These are h2's own defaults.
const RESETS_BEFORE_ACCEPTED: usize = 20;
const RESETS_FOR_ERRORS: usize = 1024;
/// An HTTP/2 client keeps one connection, and so one pod, for ever: now and then it must look for others.
const MAX_AGE: Duration = Duration::from_mins(5);
/// A connection that was opened while the pod leaves the Service has come with a request.
const MIN_AGE: Duration = Duration::from_secs(1);
/// How long an HTTP/2 client that was told to go has for its requests in progress, and again while one is being answered. A
/// stream whose answer it does not read would else stay.
const LAST_REQUESTS: Duration = Duration::from_mins(1);
/// How long a connection beyond the limit lasts, to be told so.
const REFUSAL: Duration = Duration::from_secs(2);
/// How long we read on when we have said all. A socket that is closed with something unread in it resets the connection, and
/// a reset throws away what the client has not read yet: our last answer, or that it is told to go (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// A port: what it speaks, who answers there, and how many connections it takes.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) kind: Kind,
    pub(crate) router: Router,
    /// Answers on the connections that find no place.
    pub(crate) full: Router,
    pub(crate) places: Places,
    /// How long an HTTP/1.1 connection may go without a whole request's head.
    pub(crate) keep_alive: Duration,
}

/// Serves until [`Phase::Stopping`], and returns; the connections end later, in `connections`.
pub(crate) async fn serve(listener: TcpListener, port: Port, lifecycle: Lifecycle, connections: TaskTracker) {
    loop {
        tokio::select! {
            biased;
            // First, so that a connection the kernel has taken already is not thrown away at the end.
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Some(place) = port.places.take() else { continue };
                    // Answers are written whole: waiting for more to send would only add latency. Failing is harmless.
                    let _ = stream.set_nodelay(true);
                    let (read, write) = stream.into_split();
                    connections.spawn(connection(read, write, port.clone(), place, lifecycle.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: some must be closed first.
                    sleep(Duration::from_millis(50)).await;
                }
            },
            () = lifecycle.reached(Phase::Stopping) => return,
        }
    }
}

async fn connection<R, W>(read: R, write: W, port: Port, place: Place, lifecycle: Lifecycle)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (lent, returned) = lend(read);
    let write = Patient::new(write);
    if place.refused {
        let refusing = Port { router: port.full.clone(), ..port };
        let _ = timeout(REFUSAL, converse(lent, write, refusing, MIN_AGE, lifecycle)).await;
    } else {
        converse(lent, write, port, MAX_AGE, lifecycle).await;
    }
    // The writing half is closed by now.
    if let Ok(mut read) = returned.await {
        let _ = timeout(LINGER, copy(&mut read, &mut sink())).await;
    }
}

/// Returns when all is said, and both halves are let go of.
async fn converse<R, W>(mut read: R, mut write: W, port: Port, max_age: Duration, lifecycle: Lifecycle)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let first = tokio::select! {
        biased;
        first = timeout(FIRST_WORDS_TIMEOUT, first_words(&mut read)) => first,
        // hyper would drop a connection that has not said a word when it is told to end: the word may be on its way.
        () = young_at_the_end(&lifecycle) => Ok(Err(io::ErrorKind::ConnectionAborted.into())),
    };
    let Ok(Ok((version, words))) = first else {
        let _ = write.shutdown().await;
        return;
    };
    let version = if port.kind == Kind::Grpc { Version::Http2 } else { version };

    let stream = TokioIo::new(join(Cursor::new(words).chain(read), write));
    let (router, at_work) = (TowerToHyperService::new(port.router), Arc::new(()));
    let counted = Arc::downgrade(&at_work);
    let service = service_fn(move |request| {
        let (answer, counted) = (router.call(request), counted.upgrade());
        async move {
            let answer = answer.await;
            drop(counted);
            answer
        }
    });
    let leave = must_leave(version, max_age, &lifecycle);
    match version {
        Version::Http1 => {
            let connection = http1(port.keep_alive).serve_connection(stream, service);
            lead(connection, http1::Connection::graceful_shutdown, leave, pending()).await;
        }
        Version::Http2 => {
            let connection = http2().serve_connection(stream, service);
            lead(connection, http2::Connection::graceful_shutdown, leave, last_requests(&at_work)).await;
        }
    }
}

/// Serves the connection, tells it to end when it must `leave`, and gives it up when its `last` requests have had their time.
async fn lead<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    tell: impl FnOnce(Pin<&mut C>),
    leave: impl Future<Output = ()>,
    last: impl Future<Output = ()>,
) {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // First, so that a request which is here already is read before the connection is told to end.
        result = connection.as_mut() => return log(result),
        () = leave => {}
    }
    tell(connection.as_mut());
    tokio::select! {
        result = connection => log(result),
        () = last => {
            tracing::debug!("connection given up: the client was told to go and has open streams");
        }
    }
}

/// Returns when what is left on a connection is answers that are not read. `at_work`: each request that is being answered has it too.
async fn last_requests(at_work: &Arc<()>) {
    let started = Instant::now();
    loop {
        sleep(LAST_REQUESTS).await;
        // A client that does not let go may ask on and on.
        if Arc::strong_count(at_work) == 1 || started.elapsed() >= MAX_AGE {
            return;
        }
    }
}

fn http1(keep_alive: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(keep_alive);
    builder.max_header_size(HEAD_BYTES).max_buf_size(READ_BYTES);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(RESETS_BEFORE_ACCEPTED)
        .max_local_error_reset_streams(RESETS_FOR_ERRORS)
        .max_frame_size(FRAME_BYTES)
        .keep_alive_interval(Some(PING_INTERVAL))
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// What the client says first, as far as it tells which version of HTTP it speaks.
async fn first_words<R: AsyncRead + Unpin>(read: &mut R) -> io::Result<(Version, Vec<u8>)> {
    let mut words = Vec::with_capacity(PREFACE.len());
    while let Some(rest) = PREFACE.strip_prefix(words.as_slice()).filter(|rest| !rest.is_empty()) {
        if (&mut *read).take(rest.len() as u64).read_buf(&mut words).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let version = if words == PREFACE { Version::Http2 } else { Version::Http1 };
    Ok((version, words))
}

async fn young_at_the_end(lifecycle: &Lifecycle) {
    lifecycle.reached(Phase::Stopping).await;
    sleep(MIN_AGE).await;
}

/// Returns when the connection must be told to end.
async fn must_leave(version: Version, max_age: Duration, lifecycle: &Lifecycle) {
    if version == Version::Http1 {
        return lifecycle.reached(Phase::Stopping).await;
    }
    let sent_away = async {
        sleep(MIN_AGE).await;
        lifecycle.sent_away().await;
    };
    tokio::select! {
        () = sent_away => {}
        () = lifecycle.reached(Phase::Stopping) => {}
        () = sleep(max_age) => {}
    }
}

fn log<E: std::fmt::Debug>(result: Result<(), E>) {
    // A client that went away is no event; whoever looks for it can raise the log level.
    if let Err(error) = result {
        tracing::debug!(?error, "connection ended");
    }
}

#[cfg(test)]
mod tests;
