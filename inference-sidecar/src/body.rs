//! Takes the bodies of requests in, bounded in bytes and in time, and lets refused ones go by.

use std::fmt::Display;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::timeout;

use crate::budget::Share;
use crate::error::ServeError;

/// A body that takes longer would keep its place from others.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a refused body is read, and for how long. A client that sends on is cut off.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a cache line, and so of every datatype.
const ALIGNMENT: usize = 64;

/// Where a body says how long it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In the header `Content-Length`, or nowhere.
    Http,
    /// In its own first five bytes, a flag and a length: "Length-Prefixed-Message" of the gRPC protocol over HTTP/2.
    Grpc,
}

impl Framing {
    /// Bytes of a body that are not of the message.
    fn prefix(self) -> usize {
        match self {
            Self::Http => 0,
            Self::Grpc => 5,
        }
    }

    fn length(self, headers: &HeaderMap, start: &[u8]) -> Option<usize> {
        let length = match (self, start) {
            (Self::Http, _) => headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?,
            (Self::Grpc, [_, length @ ..]) => u64::from(u32::from_be_bytes(*length.first_chunk()?)),
            (Self::Grpc, []) => return None,
        };
        // What does not fit is over every limit.
        Some(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(self.prefix()))
    }
}

/// The whole body, for which `share` holds as much. `limit`: bytes of the message in it.
pub(crate) async fn read(
    body: &mut (impl Body<Data = Bytes, Error: Display> + Unpin),
    headers: &HeaderMap,
    framing: Framing,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, ServeError> {
    let read = timeout(TIMEOUT, collect(body, headers, framing, limit, share)).await;
    read.unwrap_or(Err(ServeError::SlowBody { seconds: TIMEOUT.as_secs() }))
}

async fn collect(
    body: &mut (impl Body<Data = Bytes, Error: Display> + Unpin),
    headers: &HeaderMap,
    framing: Framing,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, ServeError> {
    let (mut data, mut announced) = (BytesMut::new(), None);
    let most = limit.saturating_add(framing.prefix());
    loop {
        if announced.is_none() {
            announced = framing.length(headers, &data);
            if let Some(length) = announced {
                // All at once: whoever says how much is coming is refused before, not after, it has come.
                check(length, most, limit)?;
                share.hold(length)?;
                let read = std::mem::replace(&mut data, ending_aligned(length));
                data.extend_from_slice(&read);
            }
        }
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|e| ServeError::Invalid(format!("the body could not be read to its end: {e}")))?;
        // Trailers say nothing to us.
        let Ok(chunk) = frame.into_data() else { continue };
        let length = data.len().saturating_add(chunk.len());
        check(length, most, limit)?;
        if length > data.capacity() {
            let capacity = length.next_power_of_two().min(most);
            share.hold(capacity)?;
            data.reserve(capacity - data.len());
        }
        data.extend_from_slice(&chunk);
        // A body that is in memory already, to be decompressed, never waits by itself.
        tokio::task::coop::consume_budget().await;
    }
    match announced {
        // More is a second gRPC message, which tonic would decode without anyone having held it against the budget.
        Some(announced) if data.len() != announced => Err(ServeError::Invalid(format!(
            "the body ended after {} bytes; expected {announced}, as it says itself",
            data.len()
        ))),
        _ => Ok(data.freeze()),
    }
}

fn check(length: usize, most: usize, limit: usize) -> Result<(), ServeError> {
    if length > most { Err(ServeError::TooLarge { limit }) } else { Ok(()) }
}

/// Room for a body of this length, with its end aligned. Tensors are the last thing in the binary form of both protocols, so that they are
/// aligned too, whatever the length of what is before them: the engine takes them as they are, and else a copy of each element.
fn ending_aligned(length: usize) -> BytesMut {
    let mut data = BytesMut::with_capacity(length.saturating_add(ALIGNMENT));
    let skipped = data.as_ptr().wrapping_add(length).align_offset(ALIGNMENT).min(ALIGNMENT);
    data.resize(skipped, 0);
    data.advance(skipped);
    data
}

/// Reads the rest of a refused body and throws it away, in the background. Many clients send everything before they read
/// anything: a connection that is closed under them takes the answer with it.
pub(crate) fn drain<B>(mut body: B, headers: &HeaderMap)
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send,
{
    // A client that waits for our word before it sends the body has read the refusal instead; reading would give it.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    let drain = async move {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    tokio::spawn(timeout(DRAIN_TIMEOUT, drain));
}

#[cfg(test)]
mod tests;
