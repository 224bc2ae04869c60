use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use hyper::body::Frame;

use super::{read as read_from, *};
use crate::budget::Budget;

const KIB: usize = 1 << 10;

/// A body of zeros that comes in chunks of these lengths, and then ends or hangs.
struct Chunks {
    lengths: Vec<usize>,
    hangs: bool,
    read: Arc<AtomicUsize>,
    /// Says when nobody has the body any more.
    _dropped: Option<mpsc::Sender<()>>,
}

impl Chunks {
    fn new(lengths: &[usize]) -> Self {
        let lengths = lengths.iter().rev().copied().collect();
        Self { lengths, hangs: false, read: Arc::default(), _dropped: None }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.lengths.pop() {
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(None),
            Some(length) => {
                self.read.fetch_add(length, Ordering::SeqCst);
                Poll::Ready(Some(Ok(Frame::data(vec![0; length].into()))))
            }
        }
    }
}

fn content_length(length: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !length.is_empty() {
        headers.insert(CONTENT_LENGTH, length.parse().unwrap());
    }
    headers
}

#[tokio::test]
async fn bodies_are_held_against_the_limit_and_the_budget() {
    let limit = 8 * KIB;
    let (large, spent) = (Err("larger than 8192 bytes"), Err("try again later"));
    // Bytes that others hold of 10 KiB; what is announced; the chunks; the outcome, and how many bytes were read for it.
    for (others, length, chunks, expected, read) in [
        (0, "", &[][..], Ok(0), 0),
        (0, "", &[KIB, 1, KIB], Ok(2 * KIB + 1), 2 * KIB + 1),
        (0, "2048", &[KIB, KIB], Ok(2 * KIB), 2 * KIB),
        (0, "8192", &[8 * KIB], Ok(8 * KIB), 8 * KIB),
        (0, "", &[8 * KIB], Ok(8 * KIB), 8 * KIB),
        (0, "8193", &[8 * KIB, 1], large, 0),
        (0, "18446744073709551616", &[8 * KIB, 1], large, 8 * KIB + 1),
        (0, "", &[4 * KIB, 4 * KIB, 1, KIB], large, 8 * KIB + 1),
        (8 * KIB, "2048", &[KIB, KIB], Ok(2 * KIB), 2 * KIB),
        (8 * KIB, "2049", &[KIB, KIB, 1], spent, 0),
        (8 * KIB, "", &[KIB, KIB, 1, KIB], spent, 2 * KIB + 1),
    ] {
        let budget = Budget::new(10 * KIB);
        let (mut held, mut share) = (budget.share(), budget.share());
        held.hold(others).unwrap();
        let mut body = Chunks::new(chunks);
        let found = read_from(&mut body, &content_length(length), Framing::Http, limit, &mut share).await;
        match (found, expected) {
            (Ok(body), Ok(length)) => assert_eq!(body.len(), length),
            (Err(e), Err(message)) => assert!(e.to_string().contains(message), "{e}"),
            (found, _) => panic!("{length:?} {chunks:?}: {found:?}"),
        }
        assert_eq!(body.read.load(Ordering::SeqCst), read, "{length:?} {chunks:?}");
    }
}

/// A gRPC message announces its length itself: too long a one is refused at its first bytes. A second one behind it is
/// refused too: tonic would decode it, and nobody has asked what that costs.
#[tokio::test]
async fn a_grpc_message_is_as_long_as_it_says() {
    for (prefix, chunks, expected) in [
        (&[0, 0, 0, 4, 0][..], &[1024][..], Ok(1029)),
        (&[0, 0, 0, 4, 0], &[1023], Err("ended after 1028 bytes; expected 1029")),
        (&[0, 0, 0, 4, 1], &[], Err("larger than 1024 bytes")),
        (&[0, 255, 255, 255, 255], &[], Err("larger than 1024 bytes")),
        (&[0, 0, 0, 0, 0], &[], Ok(5)),
        (&[0, 0, 0, 0, 0], &[1024], Err("ended after 1029 bytes; expected 5")),
        (&[0, 0, 0, 0, 0], &[1025], Err("larger than 1024 bytes")),
        (&[0, 0], &[], Ok(2)),
        (&[], &[], Ok(0)),
    ] {
        let mut share = Budget::new(1 << 20).share();
        let mut body = http_body_util::Full::new(Bytes::from([prefix, &vec![0; chunks.iter().sum()]].concat()));
        let found = read_from(&mut body, &HeaderMap::new(), Framing::Grpc, 1024, &mut share).await;
        match (found, expected) {
            (Ok(body), Ok(length)) => assert_eq!(body.len(), length),
            (Err(e), Err(message)) => assert!(e.to_string().contains(message), "{e}"),
            (found, _) => panic!("{prefix:?} {chunks:?}: {found:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hangs_is_given_up() {
    for framing in [Framing::Http, Framing::Grpc] {
        let mut body = Chunks { hangs: true, ..Chunks::new(&[KIB]) };
        let mut share = Budget::new(10 * KIB).share();
        let start = tokio::time::Instant::now();
        let error = read_from(&mut body, &HeaderMap::new(), framing, KIB, &mut share).await.unwrap_err();
        assert_eq!((error, start.elapsed().as_secs()), (ServeError::SlowBody { seconds: 30 }, 30));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_goes_by_within_bounds() {
    let (most, piece) = (DRAIN_BYTES, DRAIN_BYTES / 4);
    for (chunks, hangs, expect, read) in [
        (vec![1, 2, 3], false, false, 6),
        (vec![1, 2, 3], true, false, 6),
        (vec![piece; 9], false, false, most + piece),
        (vec![1, 2, 3], false, true, 0),
    ] {
        let (dropped, is_dropped) = mpsc::channel();
        let body = Chunks { hangs, _dropped: Some(dropped), ..Chunks::new(&chunks) };
        let (count, mut headers) = (body.read.clone(), HeaderMap::new());
        if expect {
            headers.insert(EXPECT, "100-continue".parse().unwrap());
        }
        drain(body, &headers);
        // Time moves on when all else waits.
        tokio::time::sleep(2 * DRAIN_TIMEOUT).await;
        assert_eq!(is_dropped.try_recv(), Err(mpsc::TryRecvError::Disconnected), "{chunks:?}");
        assert_eq!(count.load(Ordering::SeqCst), read, "{chunks:?}");
    }
}

/// A tensor at the end of a body is where the engine can take it, whatever is in front of it.
#[tokio::test]
async fn the_end_of_an_announced_body_is_aligned() {
    let budget = Budget::new(1 << 20);
    for length in [1, 5, 64, 100_003, 602_112] {
        let (headers, mut grpc) = (content_length(&length.to_string()), vec![0; 5 + length]);
        let (head, _) = grpc.split_at_mut(5);
        head[1..].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        let mut chunks = Chunks::new(&[length / 2, length - length / 2]);
        let http = read_from(&mut chunks, &headers, Framing::Http, length, &mut budget.share()).await.unwrap();
        let mut frames = http_body_util::Full::from(grpc);
        let grpc = read_from(&mut frames, &HeaderMap::new(), Framing::Grpc, length, &mut budget.share()).await.unwrap();
        for (body, expected) in [(http, length), (grpc, 5 + length)] {
            let end = body.as_ptr_range().end;
            assert_eq!((body.len(), end.align_offset(ALIGNMENT)), (expected, 0), "{length}");
        }
    }
}
