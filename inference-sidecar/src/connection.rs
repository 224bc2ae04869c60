//! Accepts connections, and lets go of them without losing a request.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::lifecycle::{Lifecycle, Phase};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP/1.1 and HTTP/2. A connection is asked to close by its next response, so it stays until the end.
    Http,
    /// HTTP/2 only. A connection is told to go at once, which HTTP/2 can do between two requests.
    Grpc,
}

const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_STREAMS: u32 = 256;
/// A gRPC client keeps one connection, and so one pod, for ever: now and then it must look for others.
const MAX_AGE: Duration = Duration::from_mins(5);
/// A connection that was opened while the pod leaves the Service has come with a request.
const MIN_AGE: Duration = Duration::from_secs(1);

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
                    connections.spawn(connection(stream, router.clone(), kind, lifecycle.clone()));
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

async fn connection(stream: TcpStream, router: Router, kind: Kind, lifecycle: Lifecycle) {
    // Answers are written whole: waiting for more to send would only add latency. Failing is harmless.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if kind == Kind::Grpc {
        builder = builder.http2_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        result = connection.as_mut() => return log(result),
        () = must_leave(kind, &lifecycle) => {}
    }
    connection.as_mut().graceful_shutdown();
    log(connection.await);
}

async fn must_leave(kind: Kind, lifecycle: &Lifecycle) {
    if kind == Kind::Http {
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
