//! A watch: an event in each line, as JSON.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use tokio::time::{sleep, timeout};

use super::Fault;

/// How long an event waits for the one that is to come before it.
const PAIR: Duration = Duration::from_millis(500);

/// The events, with the fault that they suffer.
pub fn disturbed(body: Body, fault: Option<Fault>) -> Body {
    let (most, wait, times) = match fault {
        Some(Fault::Cut(most)) => (usize::from(most), Duration::ZERO, 1),
        Some(Fault::Delayed(wait)) => (usize::MAX, wait, 1),
        Some(Fault::Doubled) => (usize::MAX, Duration::ZERO, 2),
        Some(Fault::Swapped) => return Body::from_stream(swapped(lines(body))),
        _ => return body,
    };
    let events = lines(body).take(most).then(move |line| async move {
        sleep(wait).await;
        line
    });
    let events = events.flat_map(move |line| {
        let again = line.as_ref().ok().cloned().filter(|_| times > 1).map(Ok);
        stream::iter([Some(line), again].into_iter().flatten())
    });
    Body::from_stream(events)
}

fn swapped<L>(lines: impl Stream<Item = L>) -> impl Stream<Item = L> {
    stream::unfold((Box::pin(lines.fuse()), None), |(mut lines, held)| async move {
        if let Some(held) = held {
            return Some((held, (lines, None)));
        }
        let first = lines.next().await?;
        Some(match timeout(PAIR, lines.next()).await {
            Ok(Some(second)) => (second, (lines, Some(first))),
            _ => (first, (lines, None)),
        })
    })
}

fn lines(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    stream::unfold((body.into_data_stream(), BytesMut::new()), |(mut body, mut buffer)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                return Some((Ok(buffer.split_to(end + 1).freeze()), (body, buffer)));
            }
            match body.next().await? {
                Ok(more) => buffer.extend_from_slice(&more),
                Err(error) => return Some((Err(error), (body, buffer))),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn events_are_whole_lines() {
        let chunks = ["{\"a\":1}\n{\"b\"", ":2}\n", "{\"c\":3}\n"];
        for (fault, expected) in [
            (None, "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n"),
            (Some(Fault::Cut(2)), "{\"a\":1}\n{\"b\":2}\n"),
            (Some(Fault::Cut(0)), ""),
            (Some(Fault::Swapped), "{\"b\":2}\n{\"a\":1}\n{\"c\":3}\n"),
            (Some(Fault::Doubled), "{\"a\":1}\n{\"a\":1}\n{\"b\":2}\n{\"b\":2}\n{\"c\":3}\n{\"c\":3}\n"),
        ] {
            let body = Body::from_stream(stream::iter(chunks.map(|c| Ok::<_, std::io::Error>(Bytes::from(c)))));
            let seen = disturbed(body, fault).collect().await.unwrap().to_bytes();
            assert_eq!(seen, expected.as_bytes(), "{fault:?}");
        }
    }
}
