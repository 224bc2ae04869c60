//! A connection's writing half, for a client that does not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

/// What is to be written has so long for each [`PIECE`].
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A client that reads less than this in that time holds memory that others need.
const PIECE: usize = 64 << 10;

/// Writes as the half does, and fails when the other side takes too little.
pub(super) struct Patient<W> {
    write: W,
    /// Runs while something waits to be written.
    ends: Option<Pin<Box<Sleep>>>,
    /// Bytes that were written since it runs.
    taken: usize,
}

impl<W> Patient<W> {
    pub(super) fn new(write: W) -> Self {
        Self { write, ends: None, taken: 0 }
    }

    /// What `polled` says, or that it has taken too long.
    fn hurried<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
        bytes: fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = polled {
            self.taken += done.as_ref().map_or(0, bytes);
            if self.taken >= PIECE {
                self.rest();
            }
            return Poll::Ready(done);
        }
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(ends.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }

    fn rest(&mut self) {
        (self.ends, self.taken) = (None, 0);
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Patient<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.write).poll_write(cx, data);
        self.hurried(polled, cx, |n| *n)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.write).poll_write_vectored(cx, data);
        self.hurried(polled, cx, |n| *n)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    /// hyper and h2 come here when they have written all that they have.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.write).poll_flush(cx);
        if polled.is_ready() {
            self.rest();
        }
        self.hurried(polled, cx, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.write).poll_shutdown(cx);
        self.hurried(polled, cx, |()| 0)
    }
}
