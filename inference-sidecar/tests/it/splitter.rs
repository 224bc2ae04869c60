//! A stable pod and its canary, as the tests of the splitter have them.

mod failures;
mod feedback;
mod grpc;
mod keys;
mod replaced;
mod shadow;
mod shares;
mod synthetic;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use drydock_contract::{Split, SplitWindow};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{MODEL, Package, REVISION, Running, image, json_body};

/// What the canary does with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    /// Answers with this class.
    Class(usize),
    Fails,
    /// Answers with these outputs.
    Outputs(&'static str),
    Hangs,
    /// Takes the connection and closes it.
    Closes,
    /// Nothing listens.
    Absent,
}

/// Nothing to r2 yet.
fn to_r2(window: &str) -> Split {
    Split { revision: "r2".into(), window: window.into(), timeout_milliseconds: 60_000, ..Split::default() }
}

#[derive(Clone)]
struct Fake {
    canary: Canary,
    seen: Arc<AtomicUsize>,
}

async fn fake_answer(State(fake): State<Fake>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(uri.path(), format!("/v2/models/{MODEL}/infer"));
    fake.seen.fetch_add(1, Ordering::SeqCst);
    assert_eq!(headers["drydock-hop"], "1");
    match fake.canary {
        Canary::Class(class) => {
            let request: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(headers["traceparent"], "00-1-2-3");
            let logits: Vec<f32> = (0..10).map(|i| if i == class { 1.0 } else { 0.0 }).collect();
            let body = json!({"model_name": MODEL, "model_version": "r2", "id": request["id"], "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [1, 10], "data": logits}]});
            ([("drydock-revision", "r2")], axum::Json(body)).into_response()
        }
        Canary::Outputs(outputs) => {
            axum::Json(json!({"outputs": serde_json::from_str::<Value>(outputs).unwrap()})).into_response()
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
        Self::with(canary, &[]).await
    }

    async fn with(canary: SocketAddr, more: &[&str]) -> Self {
        Self::of(Package::new(), canary, more).await
    }

    /// With this package.
    async fn of(package: Package, canary: SocketAddr, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        let (split_file, url) = (directory.join("split"), format!("http://{canary}"));
        let path = split_file.display().to_string();
        let flags = ["--split-file", &path, "--canary-http", &url, "--canary-grpc", &url];
        let running = Running::serve(package, &[&flags, more].concat()).await;
        Self { running, split_file }
    }

    pub(crate) async fn window(&self) -> SplitWindow {
        let response = self.running.client.get(self.running.admin("/drydock/split")).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Puts a split in force.
    pub(crate) async fn split(&self, weight: u8, window: &str, timeout_milliseconds: u32) {
        self.put(Split { weight, compare: 100, timeout_milliseconds, ..to_r2(window) }).await;
    }

    pub(crate) async fn put(&self, split: Split) {
        // As the kubelet does it: a new file takes the old one's place.
        let new = self.split_file.with_extension("new");
        std::fs::write(&new, serde_json::to_string(&split).unwrap()).unwrap();
        std::fs::rename(&new, &self.split_file).unwrap();
        self.until(|w| w.window == split.window && w.weight == split.weight).await;
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

    /// How often the stable model has been run.
    pub(crate) async fn inferences(&self) -> u64 {
        let url = self.running.url(&format!("/v2/models/{MODEL}/stats"));
        let body: Value = self.running.client.get(url).send().await.unwrap().json().await.unwrap();
        body["model_stats"][0]["inference_count"].as_u64().unwrap()
    }

    /// Sends a good request with these headers; the revision that answered.
    pub(crate) async fn send_with(&self, headers: &[(&str, &str)]) -> String {
        let mut request = self.running.client.post(self.running.infer_url()).header("traceparent", "00-1-2-3");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.json(&json_body(&image(1))).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers()["drydock-revision"].to_str().unwrap().to_owned()
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
