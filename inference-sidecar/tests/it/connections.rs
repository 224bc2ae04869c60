//! What connections may take, held against the memory of a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use drydock_contract::Datatype;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use inference_sidecar::proto::{ModelInferRequest, ServerLiveRequest, ServerReadyRequest};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::onnx::identities;
use crate::process::start;
use crate::support::{MODEL, Package, Running, client, image, json_body, message};

const MIB: usize = 1 << 20;
/// For what takes no time at all on a machine that has nothing else to do.
const SOON: Duration = Duration::from_secs(60);

/// Resident memory, in bytes.
fn memory(child: &Child) -> usize {
    let path = format!("/proc/{}/status", child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// A connection on which one request was answered.
pub(crate) async fn asked(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_refused() {
    let running = Running::start(&["--max-connections", "2"]).await;
    let held = [asked(running.server.http).await, asked(running.server.http).await];
    let response = running.client.post(running.infer_url()).json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(response.headers().contains_key("drydock-revision") && response.headers()["connection"] == "close");
    let body: Value = response.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("2 connections are open"), "{body}");
    let status = running.grpc().await.model_infer(message(&image(1))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("2 connections are open"), "{status}");

    let metrics = running.client.get(running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("drydock_connections_refused_total 2\n"), "{metrics}");

    // A full pod is neither dead nor unready, and the operator and the kubelet are answered.
    let admin = ["/metrics", "/v2/health/ready", "/v2/health/live"].map(|path| running.admin(path));
    for url in [running.url("/v2/health/ready"), running.url("/v2/health/live")].into_iter().chain(admin) {
        assert_eq!(running.client.get(url).send().await.unwrap().status(), 200);
    }
    assert!(running.grpc().await.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(running.grpc().await.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let channel = Endpoint::new(format!("http://{}", running.server.grpc)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    drop(held);
    let served = async {
        while running.client.post(running.infer_url()).json(&json_body(&image(1))).send().await.unwrap().status() != 200
        {
        }
        while running.grpc().await.model_infer(message(&image(1))).await.is_err() {}
    };
    timeout(SOON, served).await.expect("the places are kept");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The fields of a POST to the path, in HPACK without tables (RFC 7541): method and scheme, then names of the static table.
fn head() -> Vec<u8> {
    let path = b"/inference.GRPCInferenceService/ModelInfer";
    [&[0x83, 0x86, 0x04, path.len() as u8], &path[..], &[0x01, 1, b'x']].concat()
}

/// Sends as much of it as the server takes within two seconds. What it says, to the end if it closes the connection.
async fn flood(address: SocketAddr, frames: impl Fn(u32) -> Vec<u8>, count: u32) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    write.write_all(&begin).await.unwrap();
    let send = async {
        for piece in (0..count).collect::<Vec<_>>().chunks(100) {
            let data: Vec<u8> = piece.iter().flat_map(|i| frames(*i)).collect();
            if write.write_all(&data).await.is_err() {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_secs(2), send).await;
    let mut said = Vec::new();
    let _ = timeout(Duration::from_secs(2), read.read_to_end(&mut said)).await;
    said
}

/// The error of a GOAWAY among the frames that the server sent.
fn told_to_go(mut said: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = said.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return payload[4..8].try_into().ok().map(u32::from_be_bytes);
        }
        said = rest;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_are_cut_off_or_slowed_down() {
    type Frames<'a> = &'a (dyn Fn(u32) -> Vec<u8> + Sync);
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    let (child, http, grpc) = start(&Package::new(), &[]).await;
    let post = client().post(format!("http://{http}/v2/models/{MODEL}/infer")).json(&json_body(&image(1)));
    let before = {
        assert_eq!(post.try_clone().unwrap().send().await.unwrap().status(), 200);
        memory(&child)
    };
    let open_and_reset = |i: u32| {
        let stream = 2 * i + 1;
        let flags = END_HEADERS | END_STREAM;
        [frame(HEADERS, flags, stream, &head()), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let never_ending_head = |i: u32| {
        let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7c], vec![b'y'; 16_000].as_slice()].concat();
        if i == 0 { frame(HEADERS, END_STREAM, 1, &head()) } else { frame(CONTINUATION, 0, 1, &field) }
    };
    // A stream that is wrong (its window overflows), which the server resets: CVE-2025-8671.
    let open_and_err = |i: u32| {
        let stream = 2 * i + 1;
        [frame(HEADERS, END_HEADERS, stream, &head()), frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])]
            .concat()
    };
    let ping = |_: u32| frame(PING, 0, 0, &[7; 8]);
    let settings = |_: u32| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    for (what, frames, count, cut_off) in [
        ("rapid reset, CVE-2023-44487", &open_and_reset as Frames<'_>, 20_000, Some(ENHANCE_YOUR_CALM)),
        ("streams that err, CVE-2025-8671", &open_and_err, 20_000, Some(ENHANCE_YOUR_CALM)),
        ("CONTINUATION without end, CVE-2024-27316", &never_ending_head, 20_000, Some(ENHANCE_YOUR_CALM)),
        ("PING", &ping, 1_000_000, None),
        ("SETTINGS", &settings, 1_000_000, None),
    ] {
        for address in [http, grpc] {
            let said = flood(address, frames, count).await;
            if cut_off.is_some() {
                assert_eq!(told_to_go(&said), cut_off, "{what}");
            }
            let answered = timeout(SOON, post.try_clone().unwrap().send()).await.expect("others wait").unwrap();
            assert_eq!(answered.status(), 200, "{what}: no place is lost");
            let grown = memory(&child).saturating_sub(before);
            assert!(grown < 24 * MIB, "{what}: grown by {} KiB", grown >> 10);
        }
    }
}

/// Each of these clients sends 8 MiB, and reads nothing of the 8 MiB that it gets.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_read_are_held_against_the_budget() {
    const BYTES: usize = 8 * MIB;
    const BUDGET: usize = 24 * MIB;
    /// All of their answers would be eight times the budget.
    const CLIENTS: usize = 24;
    let (model, inputs, outputs) = identities(&[Datatype::Fp32]);
    let package = Package::of(&model, inputs, outputs, vec![]);
    let budget = BUDGET.to_string();
    let flags = ["--max-bytes-in-flight", &budget, "--max-rows", "10000000"];
    let (child, http, grpc) = start(&package, &flags).await;
    let rows = BYTES / 8;
    let json = json!({"parameters": {"binary_data_output": true}, "inputs": [{"name": "x_FP32", "datatype": "FP32",
                      "shape": [rows, 2], "parameters": {"binary_data_size": BYTES}}]});
    let json = json.to_string();
    let body = Bytes::from([json.as_bytes(), &vec![0; BYTES]].concat());
    let head = format!(
        "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: x\r\ninference-header-content-length: {}\r\ncontent-length: {}\r\n\r\n",
        json.len(),
        body.len()
    );
    let input = InferInputTensor {
        name: "x_FP32".into(),
        datatype: "FP32".into(),
        shape: vec![rows as i64, 2],
        ..Default::default()
    };
    let message = ModelInferRequest {
        model_name: MODEL.into(),
        inputs: vec![input],
        raw_input_contents: vec![vec![0; BYTES].into()],
        ..Default::default()
    };
    let message = message.encode_to_vec();
    let message = Bytes::from([&[0], (message.len() as u32).to_be_bytes().as_slice(), &message].concat());

    let url = format!("http://{http}/v2/models/{MODEL}/infer");
    let clients = client();
    let ask = || async {
        let request = clients.post(&url).header("inference-header-content-length", json.len()).body(body.clone());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.bytes().await.unwrap())
    };
    assert_eq!(ask().await.0, 200);
    let before = memory(&child);
    for over_grpc in [false, true] {
        let (mut streams, mut answers) = (Vec::new(), Vec::new());
        if over_grpc {
            // One connection, which is alive all the time: only its streams wait.
            let stream = TokioIo::new(TcpStream::connect(grpc).await.unwrap());
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(64 << 10);
            let (mut sender, connection) = builder.handshake(stream).await.unwrap();
            streams.push(tokio::spawn(connection));
            for _ in 0..CLIENTS {
                let request = http::Request::post(format!("http://{grpc}/inference.GRPCInferenceService/ModelInfer"));
                let request = request.header("content-type", "application/grpc").header("te", "trailers");
                answers.push(sender.send_request(request.body(Full::new(message.clone())).unwrap()).await.unwrap());
            }
        }
        let mut unread = Vec::new();
        for _ in 0..if over_grpc { 0 } else { CLIENTS } {
            let socket = TcpSocket::new_v4().unwrap();
            // Or the kernel would take it all.
            socket.set_recv_buffer_size(4096).unwrap();
            let mut stream = socket.connect(http).await.unwrap();
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            // One after another: at the same time they could all be refused for each other's sake. Nothing is read by that.
            let mut answer = [0; 12];
            while timeout(SOON, stream.peek(&mut answer)).await.unwrap().unwrap() < answer.len() {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(matches!(&answer, b"HTTP/1.1 200" | b"HTTP/1.1 429"), "{}", answer.escape_ascii());
            unread.push(stream);
        }
        let refused = async {
            loop {
                let (status, body) = ask().await;
                // Beside what is held there are the copies that the engine and the writing take, and what malloc keeps.
                assert!(memory(&child) < before + 5 * BUDGET, "{} KiB over {}", memory(&child) >> 10, before >> 10);
                if status == 429 {
                    break String::from_utf8(body.to_vec()).unwrap();
                }
            }
        };
        let refused = timeout(SOON, refused).await.expect("answers that are not read take nothing");
        assert!(refused.contains("25165824 bytes of memory; try again later"), "{refused}");
        drop((unread, answers));
        streams.iter().for_each(tokio::task::JoinHandle::abort);
        let served = async { while ask().await.0 != 200 {} };
        timeout(SOON, served).await.expect("what they held is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_little_take_little() {
    /// Both of their ends are in this process or its child, and a process may have 1024 descriptors.
    const CONNECTIONS: usize = 300;
    /// As the server lets them be.
    const HEAD: usize = 16 << 10;
    let (child, http, _) = start(&Package::new(), &[]).await;
    let post = client().post(format!("http://{http}/v2/models/{MODEL}/infer")).json(&json_body(&image(1)));
    assert_eq!(post.try_clone().unwrap().send().await.unwrap().status(), 200);
    let before = memory(&child);
    let mut open = Vec::new();
    // Heads that do not end, as long as they may be.
    let head = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD - 20));
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let answered = timeout(SOON, post.send()).await.expect("others wait").unwrap();
    assert_eq!(answered.status(), 200);
    let grown = memory(&child).saturating_sub(before);
    // The head, and what an idle connection takes.
    assert!(grown < CONNECTIONS * (HEAD + (32 << 10)), "grown by {} KiB", grown >> 10);
}
