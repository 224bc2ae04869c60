//! What one request, and all of them together, may take.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use drydock_contract::Datatype;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use inference_sidecar::proto::{InferTensorContents, ModelInferRequest, ServerLiveRequest};
use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::onnx::identities;
use crate::support::{MODEL, Package, Running, image, json_body, message};

const KIB: usize = 1 << 10;

fn head(running: &Running, length: &str) -> Vec<u8> {
    let host = running.server.http;
    format!("POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: {host}\r\n{length}\r\n\r\n").into_bytes()
}

/// The next response on a connection that stays open: status, headers, body.
async fn response(stream: &mut TcpStream) -> (u16, String, Value) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.expect("the connection was closed before an answer came"));
    }
    let head = String::from_utf8(text).unwrap().to_lowercase();
    let length = head.split_once("content-length: ").unwrap().1.split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head[9..12].parse().unwrap(), head, serde_json::from_slice(&body).unwrap())
}

/// A client that sends everything before it reads anything has its answer, and its connection.
#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_connection_lives_on() {
    let running = Running::start(&["--max-body-bytes", "20000"]).await;
    // Far more than fits into the buffers between the two.
    let large = vec![b'x'; 16 << 20];
    let chunked = [format!("{:x}\r\n", large.len()).as_bytes(), &large, b"\r\n0\r\n\r\n"].concat();
    let good = json_body(&image(1)).to_string().into_bytes();
    let mut stream = TcpStream::connect(running.server.http).await.unwrap();
    for (length, body) in
        [(format!("content-length: {}", large.len()), large), ("transfer-encoding: chunked".to_owned(), chunked)]
    {
        stream.write_all(&head(&running, &length)).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let (status, _, body) = response(&mut stream).await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains("larger than 20000 bytes"), "{body}");

        stream.write_all(&head(&running, &format!("content-length: {}", good.len()))).await.unwrap();
        stream.write_all(&good).await.unwrap();
        assert_eq!(response(&mut stream).await.0, 200);
    }

    // A client that asks first is answered, and not told to go on.
    let asks = "content-length: 20001\r\nexpect: 100-continue";
    stream.write_all(&head(&running, asks)).await.unwrap();
    assert_eq!(response(&mut stream).await.0, 400);

    let mut client = running.grpc().await;
    for _ in 0..3 {
        let status = client.model_infer(message(&image(1).repeat(1000))).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("larger than 20000 bytes"), "{status}");
        client.model_infer(message(&image(1))).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_of_too_many_rows_is_refused() {
    let running = Running::start(&["--max-rows", "2"]).await;
    let mut client = running.grpc().await;
    for (rows, ok) in [(2, true), (3, false)] {
        let body = serde_json::json!({"inputs": [
            {"name": "input", "datatype": "FP32", "shape": [rows, 1, 28, 28], "data": image(1).repeat(rows)}]});
        let response = running.client.post(running.infer_url()).json(&body).send().await.unwrap();
        assert_eq!(response.status(), if ok { 200 } else { 400 });
        let body: Value = response.json().await.unwrap();
        let called = client.model_infer(message(&image(1).repeat(rows))).await;
        assert_eq!(called.is_ok(), ok);
        if let Err(status) = called {
            assert_eq!(status.code(), Code::InvalidArgument);
            for message in [status.message(), body["error"].as_str().unwrap()] {
                assert!(message.contains("3 rows; expected at most 2"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_in_flight_have_one_budget() {
    let running = Running::start(&["--max-bytes-in-flight", "65536"]).await;
    let good = json_body(&image(1)).to_string();
    // Two bodies that are announced, and of which nothing comes: one on each port.
    let mut slow = TcpStream::connect(running.server.http).await.unwrap();
    slow.write_all(&head(&running, &format!("content-length: {}", 40 * KIB))).await.unwrap();
    let refused = async {
        loop {
            let response = running.client.post(running.infer_url()).body(vec![b' '; 30 * KIB]).send().await.unwrap();
            // Until the server has read the head of the slow one, this one is only bad.
            if response.status() != 400 {
                break response;
            }
        }
    };
    let refused = timeout(Duration::from_secs(20), refused).await.expect("the slow body takes nothing");
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    let refused: Value = refused.json().await.unwrap();
    assert!(refused["error"].as_str().unwrap().contains("65536 bytes of memory; try again later"), "{refused}");

    let mut client = running.grpc().await;
    let status = client.model_infer(message(&image(1).repeat(9))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // What takes next to nothing is answered all the same.
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    client.model_infer(message(&image(1))).await.unwrap();

    // The slow one comes to its end, and gives back what it held.
    let rest = format!("{good}{}", " ".repeat(40 * KIB - good.len()));
    slow.write_all(rest.as_bytes()).await.unwrap();
    assert_eq!(response(&mut slow).await.0, 200);
    client.model_infer(message(&image(1).repeat(9))).await.unwrap();
}

/// The body of a call that never comes.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// What is admitted only when its body is here has its memory already.
#[tokio::test]
async fn a_grpc_call_takes_its_place_before_its_body_comes() {
    // Room for two: one that runs and one that waits.
    let running = Running::start(&["--queue-size", "1"]).await;
    let mut client = running.grpc().await;
    client.model_infer(message(&image(1))).await.unwrap();

    let stream = TokioIo::new(TcpStream::connect(running.server.grpc).await.unwrap());
    let (mut silent, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let calls: Vec<_> = std::iter::repeat_with(|| {
        let path = format!("http://{}/inference.GRPCInferenceService/ModelInfer", running.server.grpc);
        silent.send_request(http::Request::post(path).body(Silent).unwrap())
    })
    .take(2)
    .collect();
    // Until the server has read the heads of both, there is room.
    let refused = async {
        loop {
            if let Err(status) = client.model_infer(message(&image(1))).await {
                break status;
            }
        }
    };
    let status = timeout(Duration::from_secs(20), refused).await.expect("two silent calls take no place");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("2 requests are in progress"), "{status}");

    // They go away, and their places are free.
    drop(calls);
    connection.abort();
    let answered = async { while client.model_infer(message(&image(1))).await.is_err() {} };
    timeout(Duration::from_secs(20), answered).await.expect("the places are kept");
}

/// More than there ever is: "later" would be a lie.
#[tokio::test]
async fn a_request_that_can_never_fit_is_a_bad_one() {
    let running = Running::start(&["--max-bytes-in-flight", "65536"]).await;
    let response = running.client.post(running.infer_url()).body(vec![b' '; 65 * KIB]).send().await.unwrap();
    let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("larger than 65536 bytes"), "{body}");

    // Few bytes that become many: 20 KiB of text and 40 KiB of floats; 2 KiB of messages and 600 of them.
    let data = vec![1; 10 * KIB];
    let body = serde_json::json!({"inputs": [
        {"name": "input", "datatype": "FP32", "shape": [data.len()], "data": data}], "id": "x".repeat(8 * KIB)});
    let response = running.client.post(running.infer_url()).json(&body).send().await.unwrap();
    let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("of 65536 for all"), "{body}");

    let mut client = running.grpc().await;
    let inputs = vec![InferInputTensor::default(); 600];
    let many = ModelInferRequest { model_name: MODEL.into(), inputs, ..Default::default() };
    let contents = InferTensorContents { int64_contents: vec![1; 10 * KIB], ..Default::default() };
    let wide = InferInputTensor { contents: Some(contents), ..Default::default() };
    let wide = ModelInferRequest { model_name: MODEL.into(), inputs: vec![wide], ..Default::default() };
    for request in [many, wide] {
        let status = client.model_infer(Request::new(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("of 65536 for all"), "{status}");
    }
}

/// Four bytes of an empty string become a hundred in the engine.
#[tokio::test]
async fn strings_are_held_as_what_the_engine_makes_of_them() {
    let (model, inputs, outputs) = identities(&[Datatype::Bytes]);
    let package = Package::of(&model, inputs, outputs, vec![]);
    let running = Running::serve(package, &["--max-bytes-in-flight", "65536"]).await;
    let mut client = running.grpc().await;
    for (rows, fits) in [(10, true), (1000, false)] {
        let data = vec![0; rows * 2 * 4];
        let json = serde_json::json!({"inputs": [{"name": "x_BYTES", "datatype": "BYTES", "shape": [rows, 2],
                                                  "parameters": {"binary_data_size": data.len()}}]})
        .to_string();
        let request = running.client.post(running.infer_url()).header("inference-header-content-length", json.len());
        let response = request.body([json.as_bytes(), &data].concat()).send().await.unwrap();
        let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
        assert_eq!(status, if fits { 200 } else { 400 }, "{body}");

        let shape = vec![rows as i64, 2];
        let input = InferInputTensor { name: "x_BYTES".into(), datatype: "BYTES".into(), shape, ..Default::default() };
        let called = client
            .model_infer(ModelInferRequest {
                model_name: MODEL.into(),
                inputs: vec![input],
                raw_input_contents: vec![data.into()],
                ..Default::default()
            })
            .await;
        assert_eq!(called.is_ok(), fits);
        if let Err(status) = called {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            for message in [status.message(), body["error"].as_str().unwrap()] {
                assert!(message.contains("of 65536 for all"), "{message}");
            }
        }
    }
}

/// What a client waits for begins with the head of its call.
#[tokio::test]
async fn a_grpc_body_that_comes_slowly_is_in_the_duration() {
    const LATE: Duration = Duration::from_millis(400);
    let running = Running::start(&[]).await;
    let stream = TcpStream::connect(running.server.grpc).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let message = message(&image(1)).encode_to_vec();
    let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let uri = format!("http://{}/inference.GRPCInferenceService/ModelInfer", running.server.grpc);
    let head = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    let (answer, mut body) = client.ready().await.unwrap().send_request(head.body(()).unwrap(), false).unwrap();
    tokio::time::sleep(LATE).await;
    body.send_data(frame.into(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let text = running.client.get(running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    let line =
        text.lines().find(|l| l.starts_with("drydock_request_duration_seconds_sum") && l.contains("grpc")).unwrap();
    let seconds: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    // The head itself may be some time on its way.
    assert!(seconds >= LATE.as_secs_f64() / 2.0, "{line}");
}
