//! A connection's reading half, which comes back from whoever has read it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

/// Reads as the half does, and gives it back when it is dropped.
pub(super) struct Lent<R> {
    half: Option<R>,
    owner: Option<oneshot::Sender<R>>,
}

/// The half, and where it comes back.
pub(super) fn lend<R>(half: R) -> (Lent<R>, oneshot::Receiver<R>) {
    let (owner, returned) = oneshot::channel();
    (Lent { half: Some(half), owner: Some(owner) }, returned)
}

impl<R: AsyncRead + Unpin> AsyncRead for Lent<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.half {
            Some(half) => Pin::new(half).poll_read(cx, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<R> Drop for Lent<R> {
    fn drop(&mut self) {
        if let (Some(half), Some(owner)) = (self.half.take(), self.owner.take()) {
            // An owner that is gone does not want it.
            let _ = owner.send(half);
        }
    }
}
