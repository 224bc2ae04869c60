use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use drydock_contract::{Split, SplitWindow};
use inference_sidecar::proto::ModelInferRequest;
use inference_sidecar::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{MODEL, REVISION, Running, bytes, image, json_body, largest};

/// What the canary does with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    /// Answers with this class.
    Class(usize),
    Fails,
    Hangs,
    /// Takes the connection and closes it.
    Closes,
    /// Nothing listens.
    Absent,
}

#[derive(Clone)]
struct Fake {
    canary: Canary,
    seen: Arc<AtomicUsize>,
}

async fn fake_answer(State(fake): State<Fake>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    assert_eq!(uri.path(), format!("/v2/models/{MODEL}/infer"));
    fake.seen.fetch_add(1, Ordering::SeqCst);
    assert_eq!(headers["drydock-hop"], "1");
    let request: Value = serde_json::from_str(&body).unwrap();
    match fake.canary {
        Canary::Class(class) => {
            assert_eq!(headers["traceparent"], "00-1-2-3");
            let logits: Vec<f32> = (0..10).map(|i| if i == class { 1.0 } else { 0.0 }).collect();
            let body = json!({"model_name": MODEL, "model_version": "r2", "id": request["id"], "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [1, 10], "data": logits}]});
            ([("drydock-revision", "r2")], axum::Json(body)).into_response()
        }
        Canary::Hangs => std::future::pending().await,
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn start_canary(canary: Canary) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    match canary {
        Canary::Absent => drop(listener),
        Canary::Closes => drop(tokio::spawn(async move {
            loop {
                let _ = listener.accept().await.unwrap();
            }
        })),
        _ => {
            let router = Router::new().fallback(fake_answer).with_state(Fake { canary, seen: seen.clone() });
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        }
    }
    (address, seen)
}

pub(crate) struct Stable {
    pub(crate) running: Running,
    split_file: PathBuf,
}

impl Stable {
    pub(crate) async fn start(canary: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        let (split_file, url) = (directory.join("split"), format!("http://{canary}"));
        let path = split_file.display().to_string();
        let running = Running::start(&["--split-file", &path, "--canary-http", &url, "--canary-grpc", &url]).await;
        Self { running, split_file }
    }

    pub(crate) async fn window(&self) -> SplitWindow {
        let response = self.running.client.get(self.running.admin("/drydock/split")).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Puts a split in force.
    pub(crate) async fn split(&self, weight: u8, window: &str, timeout_milliseconds: u32) {
        let (revision, name) = ("r2".to_owned(), window.to_owned());
        let split = Split { weight, revision, window: name, compare: 100, timeout_milliseconds };
        // As the kubelet does it: a new file takes the old one's place.
        let new = self.split_file.with_extension("new");
        std::fs::write(&new, serde_json::to_string(&split).unwrap()).unwrap();
        std::fs::rename(&new, &self.split_file).unwrap();
        self.until(|w| w.window == window && w.weight == weight).await;
    }

    pub(crate) async fn until(&self, reached: impl Fn(&SplitWindow) -> bool) -> SplitWindow {
        loop {
            let window = self.window().await;
            if reached(&window) {
                return window;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends good requests, one after another, all of which must be answered; how many the canary answered.
    async fn send(&self, requests: usize) -> usize {
        let mut canarys = 0;
        for _ in 0..requests {
            let request = self.running.client.post(self.running.infer_url()).header("traceparent", "00-1-2-3");
            let response = request.json(&json_body(&image(1))).send().await.unwrap();
            assert_eq!(response.status(), 200);
            let by_canary = response.headers()["drydock-revision"] == "r2";
            assert!(by_canary || response.headers()["drydock-revision"] == REVISION);
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["id"], "42");
            if by_canary {
                canarys += 1;
                // Comparisons are dropped when there are too many at once: wait for each.
                self.until(|w| w.compared == canarys as u64).await;
            }
        }
        canarys
    }
}

/// The class that the stable model gives to `image(1)`.
async fn stable_class(running: &Running) -> usize {
    let url = running.url(&format!("/v2/models/{MODEL}/versions/{REVISION}/infer"));
    let response = running.client.post(url).json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!(response.headers()["drydock-revision"], REVISION, "a request that names a version stays here");
    let body: Value = response.json().await.unwrap();
    largest(&serde_json::from_value::<Vec<f32>>(body["outputs"][0]["data"].clone()).unwrap())
}

#[tokio::test]
async fn the_canary_gets_its_exact_share_and_is_compared() {
    for (agrees, weight) in [(true, 10), (false, 25)] {
        let class = stable_class(&Running::start(&[]).await).await;
        let (canary, seen) = start_canary(Canary::Class(if agrees { class } else { (class + 1) % 10 })).await;
        let stable = Stable::start(canary).await;
        assert_eq!(stable.send(3).await, 0, "no split, no canary");
        stable.split(weight, "1", 60_000).await;
        assert_eq!(stable_class(&stable.running).await, class);
        let answered = stable.send(100).await;
        assert_eq!((answered, seen.load(Ordering::SeqCst)), (usize::from(weight), usize::from(weight)));
        let expected = SplitWindow {
            revision: "r2".into(),
            window: "1".into(),
            weight,
            requests: u64::from(weight),
            compared: u64::from(weight),
            agreed: if agrees { u64::from(weight) } else { 0 },
            ..SplitWindow::default()
        };
        assert_eq!(stable.window().await, expected);

        stable.split(weight, "2", 60_000).await;
        assert_eq!(stable.window().await.requests, 0, "a new window counts anew");
        std::fs::write(&stable.split_file, "{").unwrap();
        stable.until(|w| *w == SplitWindow::default()).await;
        assert_eq!(stable.send(20).await, 0, "an invalid split is none");
    }
}

/// Anyone who may annotate pods can write the split.
#[tokio::test]
async fn a_split_that_is_none_costs_no_request() {
    // A request that reached this canary would wait for as long as the split says.
    let (canary, seen) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(canary).await;
    let split = |weight: &str, timeout: &str| {
        format!(r#"{{"weight":{weight},"revision":"r2","window":"1","timeoutMilliseconds":{timeout}}}"#).into_bytes()
    };
    for bad in [
        b"{".to_vec(),
        b"null".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[".repeat(200_000),
        split("101", "500"),
        split("-1", "500"),
        split("100", "0"),
        split("100", "4294967295"),
        split("\"100\"", "500"),
    ] {
        // A good one before it, so that it can be seen when the bad one is read.
        stable.split(0, "1", 60_000).await;
        std::fs::write(&stable.split_file, &bad).unwrap();
        stable.until(|w| *w == SplitWindow::default()).await;
        assert_eq!(stable.send(3).await, 0, "{}", bad.escape_ascii());
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_canary_that_fails_costs_no_request() {
    for canary in [Canary::Fails, Canary::Hangs, Canary::Closes, Canary::Absent] {
        let (address, _) = start_canary(canary).await;
        let stable = Stable::start(address).await;
        // Only one that hangs needs the timeout to come.
        stable.split(50, "1", if canary == Canary::Hangs { 30 } else { 60_000 }).await;
        assert_eq!(stable.send(20).await, 0);
        let counts = |w: SplitWindow| (w.requests, w.errors, w.timeouts, w.unreachable, w.compared);
        let expected = match canary {
            Canary::Fails => (10, 10, 0, 0, 0),
            Canary::Hangs => (10, 0, 10, 0, 0),
            _ => (10, 0, 0, 10, 0),
        };
        assert_eq!(counts(stable.window().await), expected, "{canary:?}");

        // The user's own mistake is no failure of the canary.
        let bad = json!({"inputs": []});
        for _ in 0..2 {
            let client = &stable.running.client;
            let response = client.post(stable.running.infer_url()).json(&bad).send().await.unwrap();
            assert_eq!(response.status(), 400);
        }
        let window = stable.window().await;
        assert_eq!((window.requests, window.failures()), (11, 10), "{canary:?}");
    }
}

#[tokio::test]
async fn a_forwarded_request_is_not_forwarded_again() {
    let (canary, seen) = start_canary(Canary::Class(0)).await;
    let stable = Stable::start(canary).await;
    stable.split(100, "1", 60_000).await;
    let request = stable.running.client.post(stable.running.infer_url()).header("drydock-hop", "1");
    let response = request.json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!(response.headers()["drydock-revision"], REVISION);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn binary_answers_are_compared_too() {
    // A sidecar of another revision as the canary: the same model, so they agree.
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.http).await;
    stable.split(50, "1", 60_000).await;
    let data = bytes(&[image(1), image(2)].concat());
    let header = json!({
        "parameters": {"binary_data_output": true},
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 1, 28, 28],
                    "parameters": {"binary_data_size": data.len()}}],
    })
    .to_string();
    let mut canarys = 0;
    for _ in 0..20 {
        let request = stable.running.client.post(stable.running.infer_url());
        let request = request.header("Inference-Header-Content-Length", header.len());
        let response = request.body([header.as_bytes(), &data].concat()).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/octet-stream".parse().unwrap())
        );
        if response.headers()["drydock-revision"] == "r2" {
            canarys += 1;
            stable.until(|w| w.compared == canarys).await;
        }
    }
    let window = stable.window().await;
    assert_eq!((canarys, window.requests, window.agreed, window.failures()), (10, 10, 10, 0), "{window:?}");
}

fn message() -> ModelInferRequest {
    let shape = vec![1, 1, 28, 28];
    let input = InferInputTensor { name: "input".into(), datatype: "FP32".into(), shape, ..Default::default() };
    ModelInferRequest {
        model_name: MODEL.into(),
        id: "42".into(),
        inputs: vec![input],
        raw_input_contents: vec![bytes(&image(1)).into()],
        ..Default::default()
    }
}

#[tokio::test]
async fn grpc_requests_are_split_too() {
    // A sidecar of another revision as the canary: the same model, so they agree.
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.grpc).await;
    stable.split(20, "1", 60_000).await;
    let url = format!("http://{}", stable.running.server.grpc);
    let mut client = GrpcInferenceServiceClient::connect(url.clone()).await.unwrap();
    let mut canarys = 0;
    for _ in 0..50 {
        let response = client.model_infer(message()).await.unwrap();
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
    let url = format!("http://{}", stable.running.server.grpc);
    let mut client = GrpcInferenceServiceClient::connect(url).await.unwrap();
    for _ in 0..20 {
        client.model_infer(message()).await.unwrap();
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
        let url = format!("http://{}", stable.running.server.grpc);
        let mut client = GrpcInferenceServiceClient::connect(url).await.unwrap();
        for _ in 0..10 {
            let response = client.model_infer(message()).await.unwrap();
            assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
        }
        let window = stable.window().await;
        let failures = if canary == Canary::Hangs { window.timeouts } else { window.unreachable };
        assert_eq!((window.requests, failures), (5, 5), "{canary:?}: {window:?}");
    }
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
    let url = format!("http://{}", stable.running.server.grpc);
    let response = GrpcInferenceServiceClient::connect(url).await.unwrap().model_infer(message()).await.unwrap();
    assert_eq!(response.metadata().get("drydock-revision").unwrap(), "r2");
    let window = stable.window().await;
    assert_eq!((window.requests, window.failures()), (1, 0), "{window:?}");
}

/// A client with less patience than the split must not hide a canary that hangs: its failure is counted all the same.
#[tokio::test]
async fn a_client_that_gives_up_first_is_counted() {
    let (address, _) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(address).await;
    stable.split(100, "1", 2_000).await;
    let request = stable.running.client.post(stable.running.infer_url()).timeout(Duration::from_millis(500));
    assert!(request.json(&json_body(&image(1))).send().await.unwrap_err().is_timeout());
    let counted = tokio::time::timeout(Duration::from_secs(20), stable.until(|w| w.requests == 1)).await;
    assert_eq!(counted.expect("the request was never counted").timeouts, 1);
}
