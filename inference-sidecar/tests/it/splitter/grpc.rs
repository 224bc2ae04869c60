//! The same over gRPC, whose connections outlive their requests.

use std::time::Duration;

use inference_sidecar::proto::InferParameter;
use inference_sidecar::proto::infer_parameter::ParameterChoice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Request;

use super::{Canary, Stable, start_canary};
use crate::support::{REVISION, Running, image, message};

#[tokio::test]
async fn grpc_requests_are_split_too() {
    // A sidecar of another revision as the canary: the same model, so they agree.
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.grpc).await;
    stable.split(20, "1", 60_000).await;
    let mut client = stable.running.grpc().await;
    let mut canarys = 0;
    for _ in 0..50 {
        let response = client.model_infer(message(&image(1))).await.unwrap();
        let revision = response.metadata().get("drydock-revision").unwrap().to_str().unwrap().to_owned();
        let response = response.into_inner();
        assert_eq!((response.id.as_str(), &response.model_version), ("42", &revision));
        if revision == "r2" {
            canarys += 1;
            stable.until(|w| w.compared == canarys).await;
        }
    }
    let window = stable.window().await;
    assert_eq!((canarys, window.requests, window.agreed, window.failures()), (10, 10, 10, 0));

    // And a canary that is gone.
    let stable = Stable::start(start_canary(Canary::Absent).await.0).await;
    stable.split(50, "1", 60_000).await;
    let mut client = stable.running.grpc().await;
    for _ in 0..20 {
        client.model_infer(message(&image(1))).await.unwrap();
    }
    let window = stable.window().await;
    assert_eq!((window.requests, window.unreachable), (10, 10));
}

#[tokio::test]
async fn a_grpc_canary_that_hangs_or_fails_costs_no_request() {
    for canary in [Canary::Hangs, Canary::Closes] {
        // No answer to HTTP/2 at all: it takes the bytes and is silent, or it closes.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if canary == Canary::Hangs {
                    open.push(stream);
                }
            }
        });
        let stable = Stable::start(address).await;
        stable.split(50, "1", if canary == Canary::Hangs { 30 } else { 60_000 }).await;
        let mut client = stable.running.grpc().await;
        for _ in 0..10 {
            let response = client.model_infer(message(&image(1))).await.unwrap();
            assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
        }
        let window = stable.window().await;
        let failures = if canary == Canary::Hangs { window.timeouts } else { window.unreachable };
        assert_eq!((window.requests, failures), (5, 5), "{canary:?}: {window:?}");
    }
}

/// As over HTTP, and by Triton's parameter too.
#[tokio::test]
async fn a_grpc_canary_that_hangs_leaves_the_stable_model_time_to_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Nobody takes the connections: the kernel does.
    let stable = Stable::start(listener.local_addr().unwrap()).await;
    stable.split(100, "1", 60_000).await;
    let mut client = stable.running.grpc().await;
    let mut by_metadata = Request::new(message(&image(1)));
    by_metadata.set_timeout(Duration::from_secs(4));
    let mut by_parameter = message(&image(1));
    let parameter_choice = Some(ParameterChoice::Int64Param(4_000_000));
    by_parameter.parameters.insert("timeout".into(), InferParameter { parameter_choice });
    for request in [by_metadata, Request::new(by_parameter)] {
        let response = client.model_infer(request).await.unwrap();
        assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
    }
    let window = stable.window().await;
    assert_eq!((window.requests, window.timeouts), (2, 2), "{window:?}");
}

/// A status of its own over HTTP/2 is no broken connection, and the stable model answers all the same.
#[tokio::test]
async fn a_grpc_canary_that_answers_with_an_error_costs_no_request() {
    // It does not know the model that it is asked for.
    let canary = Running::start(&["--revision", "r2", "--model-name", "another"]).await;
    let stable = Stable::start(canary.server.grpc).await;
    stable.split(50, "1", 60_000).await;
    let mut client = stable.running.grpc().await;
    for _ in 0..10 {
        let response = client.model_infer(message(&image(1))).await.unwrap();
        assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
    }
    let window = stable.window().await;
    assert_eq!((window.requests, window.errors, window.failures()), (5, 5, 5), "{window:?}");
}

/// As over HTTP: each request is run by the stable model once, however slow the canary is.
#[tokio::test]
async fn a_slow_grpc_canary_gives_the_stable_model_nothing_to_do_twice() {
    const REQUESTS: u64 = 40;
    // Nobody takes the connections: the kernel does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stable = Stable::start(listener.local_addr().unwrap()).await;
    stable.split(100, "1", 100).await;
    let client = stable.running.grpc().await;
    let sent = (0..REQUESTS).map(|_| {
        let mut client = client.clone();
        async move { client.model_infer(message(&image(1))).await.unwrap() }
    });
    for response in futures::future::join_all(sent).await {
        assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
    }
    assert_eq!(stable.inferences().await, REQUESTS);
    let window = stable.window().await;
    assert!(window.requests > 0 && window.timeouts == window.requests, "{window:?}");
}

/// Answers the first request with a GOAWAY that says it was not looked at, as a pod that drains may.
async fn go_away(mut stream: TcpStream) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // The last stream is 0, and the error is none.
    const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    stream.write_all(&SETTINGS).await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    stream.write_all(&GO_AWAY).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_canary_pod_that_drains_is_no_failure() {
    let canary = Running::start(&["--revision", "r2"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, behind) = (listener.local_addr().unwrap(), canary.server.grpc);
    tokio::spawn(async move {
        go_away(listener.accept().await.unwrap().0).await;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut pod = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut pod).await;
            });
        }
    });
    let stable = Stable::start(address).await;
    stable.split(100, "1", 60_000).await;
    let response = stable.running.grpc().await.model_infer(message(&image(1))).await.unwrap();
    assert_eq!(response.metadata().get("drydock-revision").unwrap(), "r2");
    let window = stable.window().await;
    assert_eq!((window.requests, window.failures()), (1, 0), "{window:?}");
}
