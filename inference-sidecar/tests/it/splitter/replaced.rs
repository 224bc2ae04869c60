//! A pod whose Service leads to another revision by now.

use std::time::Duration;

use drydock_contract::Split;
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Canary, Stable, start_canary};

type Body = Empty<bytes::Bytes>;
/// For what takes no time at all on a machine that has nothing else to do.
const SOON: Duration = Duration::from_secs(60);

fn question() -> http::Request<Body> {
    http::Request::get("http://x/v2").header("host", "x").body(Body::new()).unwrap()
}

/// Kept connections stay with their pod: its clients are asked to connect again, it stays ready, and loses no request. Called back, it
/// keeps them.
#[tokio::test]
async fn its_clients_are_asked_to_connect_again_until_it_is_called_back() {
    let (canary, _) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(canary).await;
    let server = &stable.running.server;
    let (mut kept, connection) =
        http1::handshake::<_, Body>(TokioIo::new(TcpStream::connect(server.http).await.unwrap())).await.unwrap();
    let closed = tokio::spawn(connection);
    let mut streams = Vec::new();
    for address in [server.http, server.grpc] {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), stream).await.unwrap();
        let told = tokio::spawn(connection);
        assert_eq!(sender.send_request(question()).await.unwrap().status(), 200);
        streams.push((sender, told));
    }
    let first = kept.send_request(question()).await.unwrap();
    assert!(first.status() == 200 && !first.headers().contains_key("connection"));

    stable.put(Split::replaced("r2")).await;
    stable.until(|w| w.revision == "r2").await;
    let last = kept.send_request(question()).await.unwrap();
    assert_eq!((last.status().as_u16(), &last.headers()["connection"]), (200, &"close".parse().unwrap()));
    timeout(SOON, closed).await.expect("the connection is kept").unwrap().unwrap();
    for (_sender, told) in streams {
        timeout(SOON, told).await.expect("the connection is kept").unwrap().unwrap();
    }
    // It answers by itself, and Kubernetes keeps it.
    assert_ne!(stable.send_with(&[]).await, "r2");
    let ready = stable.running.client.get(stable.running.admin("/v2/health/ready")).send().await.unwrap();
    assert_eq!(ready.status(), 200);

    std::fs::write(&stable.split_file, "").unwrap();
    let stream = || async { TokioIo::new(TcpStream::connect(server.http).await.unwrap()) };
    timeout(SOON, async {
        loop {
            let (mut sender, connection) = http1::handshake::<_, Body>(stream().await).await.unwrap();
            tokio::spawn(connection);
            if !sender.send_request(question()).await.unwrap().headers().contains_key("connection") {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it still sends its clients away");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream().await).await.unwrap();
    let told = tokio::spawn(connection);
    assert_eq!(sender.send_request(question()).await.unwrap().status(), 200);
    sleep(Duration::from_secs(2)).await;
    assert!(!told.is_finished(), "it is told to go");
}
