//! Connections in memory, and time that moves when nothing else can.

use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const KEEP_ALIVE: Duration = Duration::from_secs(120);

fn port(kind: Kind, router: Router) -> Port {
    let full = Router::new().fallback(|| async { http::StatusCode::SERVICE_UNAVAILABLE });
    Port { kind, router, full, places: Places::new(1, Counter::default()), keep_alive: KEEP_ALIVE }
}

/// The client's end of a connection, and the task that serves it.
fn connect(kind: Kind, lifecycle: &Lifecycle, router: Router) -> (DuplexStream, JoinHandle<()>) {
    connect_to(&port(kind, router), lifecycle)
}

fn connect_to(port: &Port, lifecycle: &Lifecycle) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(1 << 16);
    let (read, write) = split(server);
    let place = port.places.take().unwrap();
    (client, tokio::spawn(connection(read, write, port.clone(), place, lifecycle.clone())))
}

/// `/` answers, `/slow` answers when it is told to.
fn router(go_on: &Arc<Notify>) -> Router {
    let go_on = go_on.clone();
    let slow = move || async move {
        go_on.notified().await;
        "slow"
    };
    Router::new().route("/", get(|| async { "ok" })).route("/slow", get(slow))
}

async fn read_to_end(mut client: DuplexStream) -> String {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go() {
    for kind in [Kind::Http, Kind::Grpc] {
        for words in [&b""[..], b"P", &PREFACE[..20]] {
            let (mut client, server) = connect(kind, &Lifecycle::default(), router(&Arc::default()));
            client.write_all(words).await.unwrap();
            let start = Instant::now();
            assert_eq!(timeout(2 * FIRST_WORDS_TIMEOUT, read_to_end(client)).await.expect("it waits for ever"), "");
            assert_eq!(start.elapsed().as_secs(), FIRST_WORDS_TIMEOUT.as_secs(), "{kind:?} {words:?}");
            server.await.unwrap();
        }
    }
}

/// Between two requests, and half-way through the head of one.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_longer_than_clients_keep_theirs() {
    for more in [&b""[..], &REQUEST[..REQUEST.len() - 2]] {
        let (mut client, server) = connect(Kind::Http, &Lifecycle::default(), router(&Arc::default()));
        client.write_all(REQUEST).await.unwrap();
        let start = Instant::now();
        client.write_all(more).await.unwrap();
        let answer = timeout(2 * KEEP_ALIVE, read_to_end(client)).await.expect("it is kept for ever");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // A half of a pipe in memory closes nothing when hyper drops it, as a socket's does.
        assert!((KEEP_ALIVE..=KEEP_ALIVE + 2 * LINGER).contains(&start.elapsed()), "{:?}", start.elapsed());
        server.await.unwrap();
    }
}

/// Whatever it says meanwhile: byte after byte of a head that never ends.
#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let (mut client, server) = connect(Kind::Http, &Lifecycle::default(), router(&Arc::default()));
    client.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let start = Instant::now();
    while client.write_all(b"x").await.is_ok() && start.elapsed() < 2 * KEEP_ALIVE {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() <= KEEP_ALIVE + LINGER + Duration::from_secs(1), "{:?}", start.elapsed());
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused() {
    let (client, _server) = connect(Kind::Http, &Lifecycle::default(), router(&Arc::default()));
    let (mut read, mut write) = split(client);
    let head = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(HEAD_BYTES));
    tokio::spawn(async move { write.write_all(head.as_bytes()).await });
    let mut answer = [0; 12];
    read.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_let_go() {
    let large = || async { "x".repeat(1 << 20) };
    let (mut client, server) = connect(Kind::Http, &Lifecycle::default(), Router::new().route("/", get(large)));
    client.write_all(REQUEST).await.unwrap();
    timeout(patience::PATIENCE + 2 * LINGER, server).await.expect("it waits for ever").unwrap();
}

/// Its connection is alive all the time, and an answer waits on one of its streams.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_ends_with_its_connection() {
    let large = || async { "x".repeat(1 << 20) };
    let router = Router::new().route("/", get(large));
    let (client, server) = connect(Kind::Http, &Lifecycle::default(), router);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1024);
    let (mut sender, connection) = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let unread = sender.send_request(Request::get("http://x/").body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(unread.status(), 200);
    timeout(MAX_AGE + LAST_REQUESTS + 2 * LINGER, server).await.expect("it waits for ever").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_long_is_answered_though_the_client_was_told_to_go() {
    // A handler that hangs does not keep its connection for ever.
    for (minutes, answered) in [(4, true), (6, false)] {
        let go_on = Arc::new(Notify::new());
        let (client, server) = connect(Kind::Grpc, &Lifecycle::default(), router(&go_on));
        let (mut sender, connection) =
            http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        let slow = sender.send_request(Request::get("http://x/slow").body(Empty::new()).unwrap());
        let slow = tokio::spawn(slow);
        sleep(MAX_AGE + Duration::from_mins(minutes)).await;
        go_on.notify_one();
        let answer = timeout(LINGER, slow).await.expect("it waits for ever").unwrap();
        assert_eq!(answer.is_ok_and(|a| a.status() == 200), answered, "{minutes}");
        timeout(MIN_AGE + 2 * LINGER, server).await.expect("the connection is kept").unwrap();
    }
}

/// A little at a time is enough to go on with, but not for ever.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_has_its_answer_and_one_that_hardly_reads_has_not() {
    let large = || async { "x".repeat(1 << 20) };
    let router = Router::new().route("/", get(large));
    for (piece, whole) in [(64 << 10, true), (100, false)] {
        let (mut client, server) = connect(Kind::Http, &Lifecycle::default(), router.clone());
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let (mut read, mut buffer, start) = (0, vec![0; piece], Instant::now());
        while let Ok(n @ 1..) = client.read(&mut buffer).await {
            read += n;
            sleep(patience::PATIENCE / 3).await;
        }
        assert_eq!(read > 1 << 20, whole, "{piece}: {read}");
        if !whole {
            // What was in the buffers is read to its end by then.
            assert!(read < 3 << 16, "{read}");
        }
        drop(client);
        server.await.unwrap();
        assert!(whole || start.elapsed() > patience::PATIENCE);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_told_so_and_closed() {
    let port = port(Kind::Http, router(&Arc::default()));
    let lifecycle = Lifecycle::default();
    let (mut first, _) = connect_to(&port, &lifecycle);
    let (mut second, refused) = connect_to(&port, &lifecycle);
    second.write_all(REQUEST).await.unwrap();
    let start = Instant::now();
    let answer = read_to_end(second).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    refused.await.unwrap();
    // One that says nothing is kept no longer than another.
    let (silent, refused) = connect_to(&port, &lifecycle);
    refused.await.unwrap();
    drop(silent);
    assert!(start.elapsed() <= 2 * (REFUSAL + LINGER) + LINGER, "{:?}", start.elapsed());

    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(first).await.starts_with("HTTP/1.1 200"));
    sleep(LINGER).await;
    let (mut next, _) = connect_to(&port, &lifecycle);
    next.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(next).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_http2_client_is_let_go() {
    for kind in [Kind::Http, Kind::Grpc] {
        let (mut client, server) = connect(kind, &Lifecycle::default(), router(&Arc::default()));
        client.write_all(PREFACE).await.unwrap();
        timeout(MAX_AGE, server).await.expect("it waits for ever").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_on_its_way_at_the_end_is_answered() {
    let lifecycle = Lifecycle::default();
    lifecycle.advance(Phase::Stopping);
    // All of it is here, it comes a little later, or it comes in two parts.
    for (first, rest) in [(REQUEST, &b""[..]), (b"", REQUEST), (&REQUEST[..10], &REQUEST[10..])] {
        let (mut client, server) = connect(Kind::Http, &lifecycle, router(&Arc::default()));
        client.write_all(first).await.unwrap();
        sleep(MIN_AGE / 2).await;
        client.write_all(rest).await.unwrap();
        let answer = timeout(MIN_AGE, read_to_end(client)).await.expect("it is kept open");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer:?}");
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_with_nothing_to_ask_does_not_hold_up_the_end() {
    let lifecycle = Lifecycle::default();
    let (mut asked, _) = connect(Kind::Http, &lifecycle, router(&Arc::default()));
    asked.write_all(REQUEST).await.unwrap();
    // Its answer has come, and the connection is kept.
    let mut answer = [0; 12];
    asked.read_exact(&mut answer).await.unwrap();
    let (silent, _) = connect(Kind::Http, &lifecycle, router(&Arc::default()));
    lifecycle.advance(Phase::Stopping);
    let start = Instant::now();
    read_to_end(asked).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    read_to_end(silent).await;
    assert_eq!(start.elapsed().as_secs(), MIN_AGE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn http2_clients_are_told_to_go_when_draining_begins_or_others_have_the_service() {
    let ways: [fn(&Lifecycle); 2] = [|l| l.advance(Phase::LameDuck), |l| l.set_replaced(true)];
    for (kind, leave) in [Kind::Http, Kind::Grpc].into_iter().flat_map(|kind| ways.map(|leave| (kind, leave))) {
        let (lifecycle, go_on) = (Lifecycle::default(), Arc::new(Notify::new()));
        let (client, server) = connect(kind, &lifecycle, router(&go_on));
        let (mut sender, connection) =
            http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        let client = tokio::spawn(connection);
        let request = |path: &str| Request::get(format!("http://x{path}")).body(Empty::new()).unwrap();
        assert_eq!(sender.send_request(request("/")).await.unwrap().status(), 200);
        let slow = sender.send_request(request("/slow"));
        sleep(MIN_AGE).await;

        leave(&lifecycle);
        // What was asked before is answered; then both sides let go, long before the end.
        go_on.notify_one();
        assert_eq!(timeout(MIN_AGE, slow).await.expect("no answer").unwrap().status(), 200);
        timeout(MIN_AGE, server).await.expect("the connection is kept").unwrap();
        client.await.unwrap().unwrap();
        assert!(sender.send_request(request("/")).await.is_err(), "{kind:?}");
    }
}

/// What is on its way when we close must not take along what the client has not read yet.
#[tokio::test]
async fn a_client_that_writes_on_reads_the_last_words() {
    // Far more than is read at once.
    let rest = vec![b'x'; 4 << 20];
    let ends = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec();
    // Frames of RFC 9113: SETTINGS; later the acknowledgement of the PING that tells hyper that GOAWAY has arrived.
    let begins = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let acknowledges = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &SHUTDOWN_PING].concat();
    for (first, second, last_words) in [(ends, vec![], &b"\r\n\r\nok"[..]), (begins, acknowledges, &GO_AWAY[..])] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (read, write) = listener.accept().await.unwrap().0.into_split();
        let lifecycle = Lifecycle::default();
        let kind = if second.is_empty() { Kind::Http } else { Kind::Grpc };
        let port = port(kind, router(&Arc::default()));
        let place = port.places.take().unwrap();
        let server = tokio::spawn(connection(read, write, port, place, lifecycle.clone()));
        client.write_all(&first).await.unwrap();
        if kind == Kind::Grpc {
            sleep(MIN_AGE / 10).await;
            lifecycle.advance(Phase::Stopping);
            // Its SETTINGS, the acknowledgement of ours, GOAWAY, PING.
            sleep(MIN_AGE / 10).await;
        }
        // All at once, so that it is there when the server closes.
        client.write_all(&[second, rest.clone()].concat()).await.unwrap();
        sleep(MIN_AGE / 10).await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("the last words are lost");
        assert!(answer.windows(last_words.len()).any(|w| w == last_words), "{}", answer.escape_ascii());
        drop(client);
        timeout(LINGER, server).await.expect("it waits for nothing").unwrap();
    }
}

/// RFC 9113, section 6.8: that no more comes is said first, and which stream was the last one in the end.
const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// What h2 sends after GOAWAY, to know when it has arrived.
const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];
