//! Accepts connections, and lets go of them without losing a request.

mod lend;

use std::io::{self, Cursor};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, join, sink};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::lifecycle::{Lifecycle, Phase};
use lend::lend;

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
/// For a client that says nothing, or stops half-way through its first words. An HTTP/2 connection is asked for a sign of
/// life from then on.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_STREAMS: u32 = 256;
/// An HTTP/2 client keeps one connection, and so one pod, for ever: now and then it must look for others.
const MAX_AGE: Duration = Duration::from_mins(5);
/// A connection that was opened while the pod leaves the Service has come with a request.
const MIN_AGE: Duration = Duration::from_secs(1);
/// How long we read on when we have said all. A socket that is closed with something unread in it resets the connection, and
/// a reset throws away what the client has not read yet: our last answer, or that it is told to go (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// Serves until [`Phase::Stopping`], and returns; the connections end later, in `connections`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    kind: Kind,
    lifecycle: Lifecycle,
    connections: TaskTracker,
) {
    loop {
        tokio::select! {
            biased;
            // First, so that a connection the kernel has taken already is not thrown away at the end.
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Answers are written whole: waiting for more to send would only add latency. Failing is harmless.
                    let _ = stream.set_nodelay(true);
                    let (read, write) = stream.into_split();
                    connections.spawn(connection(read, write, router.clone(), kind, lifecycle.clone()));
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

async fn connection<R, W>(read: R, write: W, router: Router, kind: Kind, lifecycle: Lifecycle)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (lent, returned) = lend(read);
    converse(lent, write, router, kind, lifecycle).await;
    // The writing half is closed by now.
    if let Ok(mut read) = returned.await {
        let _ = timeout(LINGER, copy(&mut read, &mut sink())).await;
    }
}

/// Returns when all is said, and both halves are let go of.
async fn converse<R, W>(mut read: R, mut write: W, router: Router, kind: Kind, lifecycle: Lifecycle)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let first = tokio::select! {
        biased;
        first = timeout(HEADER_TIMEOUT, first_words(&mut read)) => first,
        // hyper would drop a connection that has not said a word when it is told to end: the word may be on its way.
        () = young_at_the_end(&lifecycle) => Ok(Err(io::ErrorKind::ConnectionAborted.into())),
    };
    let Ok(Ok((version, words))) = first else {
        let _ = write.shutdown().await;
        return;
    };
    let version = if kind == Kind::Grpc { Version::Http2 } else { version };

    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    builder = match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
    };
    let stream = TokioIo::new(join(Cursor::new(words).chain(read), write));
    let mut connection = pin!(builder.serve_connection(stream, TowerToHyperService::new(router)));
    tokio::select! {
        biased;
        // First, so that a request which is here already is read before the connection is told to end.
        result = connection.as_mut() => return log(result),
        () = must_leave(version, &lifecycle) => {}
    }
    connection.as_mut().graceful_shutdown();
    log(connection.await);
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
async fn must_leave(version: Version, lifecycle: &Lifecycle) {
    if version == Version::Http1 {
        return lifecycle.reached(Phase::Stopping).await;
    }
    let lame_duck = async {
        sleep(MIN_AGE).await;
        lifecycle.reached(Phase::LameDuck).await;
    };
    tokio::select! {
        () = lame_duck => {}
        () = lifecycle.reached(Phase::Stopping) => {}
        () = sleep(MAX_AGE) => {}
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
