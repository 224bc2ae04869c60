//! A server that is ready and wrong, for the tests of bad canaries. `MODE` says how: `errors` answers every inference with
//! HTTP 500 or gRPC INTERNAL, `slow` after 30 seconds, `wrong-shape` with three numbers where ten are expected, `wrong-answers` with ten that
//! name the same class whatever is asked, `ten-times-slower` as the server at `GOOD_HTTP` and `GOOD_GRPC` does, but later; `crash` ends the
//! process on the first one, `out-of-memory` takes all that there is; `never-ready` is never ready, and `crash-loop` ends at once. It writes a
//! line for each inference. `POST /gate/403` answers 403, in every mode, and `/drydock/split` what it has answered, as the sidecar does: behind a
//! gateway the operator asks the canary itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::uri::{Authority, Scheme};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::{BufMut as _, Bytes, BytesMut};
use drydock_contract::{Split, SplitWindow};
use drydock_e2e::fashion::CLASSES;
use drydock_e2e::grpc::proto::ModelInferResponse;
use drydock_e2e::grpc::proto::model_infer_response::InferOutputTensor;
use futures::stream;
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;

/// A good answer takes 1 to 2 ms in the cluster of the tests.
const TEN_TIMES: Duration = Duration::from_millis(20);
/// Longer than a canary may be asked after its verdict, so that such a request would be seen.
const DRAIN: Duration = Duration::from_secs(5);
/// The only one of the examples' models.
const OUTPUT: &str = "logits";

struct Faulty {
    mode: String,
    good: Option<Good>,
}

/// Where good answers come from.
struct Good {
    client: Client<HttpConnector, Body>,
    address: Authority,
}

impl Good {
    fn of(variable: &str, http2: bool) -> anyhow::Result<Option<Self>> {
        let Ok(address) = std::env::var(variable) else { return Ok(None) };
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        Ok(Some(Self { client, address: address.parse()? }))
    }

    async fn ask(&self, mut request: Request) -> anyhow::Result<Response> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.address.clone()));
        *request.uri_mut() = uri.try_into()?;
        Ok(self.client.request(request).await?.map(Body::new))
    }
}

/// What it has answered since the operator's last word, as that names it.
#[derive(Default)]
struct Answered(Mutex<SplitWindow>);

impl Answered {
    /// The counts begin again with each window.
    fn now(&self) -> MutexGuard<'_, SplitWindow> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = std::env::var("DRYDOCK_SPLIT_FILE").unwrap_or_default();
        let told = std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let Split { revision, window, weight, .. } = told.unwrap_or_default();
        if (&counts.revision, &counts.window) != (&revision, &window) {
            *counts = SplitWindow { revision, window, weight, ..SplitWindow::default() };
        }
        counts
    }
}

async fn count(State(answered): State<Arc<Answered>>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let failed = answer.headers().get("grpc-status").is_some_and(|status| status != "0");
    let mut counts = answered.now();
    let own = counts.stable.get_or_insert_default();
    own.requests += 1;
    own.errors += u64::from(failed || answer.status().is_server_error());
    drop(counts);
    answer
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mode = std::env::var("MODE").unwrap_or_else(|_| "errors".into());
    if mode == "crash-loop" {
        anyhow::bail!("MODE=crash-loop: as asked");
    }
    let (http, grpc) = (Good::of("GOOD_HTTP", false)?, Good::of("GOOD_GRPC", true)?);
    let answered = Arc::new(Answered::default());
    let counted = from_fn_with_state(answered.clone(), count);
    let app = Router::new()
        .route("/v2/models/{model}/infer", post(infer))
        .route_layer(counted.clone())
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/health/ready", get(ready))
        .route("/gate/{status}", post(gate))
        .route("/drydock/split", get(|| async move { Json(answered.now().clone()) }))
        .with_state(Arc::new(Faulty { mode: mode.clone(), good: http }));
    let faulty = Arc::new(Faulty { mode, good: grpc });
    let grpc = Router::new().fallback(infer_over_grpc).layer(counted).with_state(faulty);
    let grpc = tonic::transport::Server::builder().add_routes(Routes::from(grpc)).serve(([0, 0, 0, 0], 8081).into());
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 8080)).await?;
    // The kubelet asks here.
    let admin = tokio::net::TcpListener::bind(("0.0.0.0", 8082)).await?;
    tokio::select! {
        ended = axum::serve(listener, app.clone()).into_future() => ended?,
        ended = axum::serve(admin, app).into_future() => ended?,
        ended = grpc => ended?,
        ended = terminated() => ended?,
    }
    Ok(())
}

/// Told to end, it answers for a while, as who drains does: nobody may be sent to it any more by then.
async fn terminated() -> anyhow::Result<()> {
    signal(SignalKind::terminate())?.recv().await;
    tokio::time::sleep(DRAIN).await;
    Ok(())
}

async fn ready(State(faulty): State<Arc<Faulty>>) -> StatusCode {
    if faulty.mode == "never-ready" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

/// As a web hook of an analysis.
async fn gate(Path(status): Path<u16>) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND)
}

async fn infer(State(faulty): State<Arc<Faulty>>, request: Request) -> Response {
    if let Some(answer) = misbehave(&faulty, request).await {
        return answer;
    }
    match scores(&faulty.mode) {
        Some(scores) => {
            let output = json!({"name": OUTPUT, "datatype": "FP32", "shape": [1, scores.len()], "data": scores});
            Json(json!({"model_name": "model", "outputs": [output]})).into_response()
        }
        None => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"as asked"}"#).into_response(),
    }
}

async fn infer_over_grpc(State(faulty): State<Arc<Faulty>>, request: Request) -> Response {
    if let Some(answer) = misbehave(&faulty, request).await {
        return answer;
    }
    let grpc = ("content-type", "application/grpc");
    match scores(&faulty.mode) {
        Some(scores) => ([grpc], message(&scores)).into_response(),
        // A response of gRPC that is an error has a head only.
        None => [grpc, ("grpc-status", "13"), ("grpc-message", "as asked")].into_response(),
    }
}

/// What is answered instead of an error.
fn scores(mode: &str) -> Option<Vec<f32>> {
    match mode {
        "wrong-shape" => Some(vec![1.0, 2.0, 3.0]),
        "wrong-answers" => Some([vec![1.0], vec![0.0; CLASSES.len() - 1]].concat()),
        _ => None,
    }
}

fn message(scores: &[f32]) -> Body {
    let output = InferOutputTensor {
        name: OUTPUT.into(),
        datatype: "FP32".into(),
        shape: vec![1, scores.len() as i64],
        ..InferOutputTensor::default()
    };
    let raw: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    let message = ModelInferResponse {
        outputs: vec![output],
        raw_output_contents: vec![raw.into()],
        ..ModelInferResponse::default()
    };
    let message = message.encode_to_vec();
    let mut data = BytesMut::new();
    data.put_u8(0);
    data.put_u32(message.len() as u32);
    data.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames: [Frame<Bytes>; 2] = [Frame::data(data.freeze()), Frame::trailers(trailers)];
    Body::new(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))))
}

/// `None`: the answer itself is what is wrong.
async fn misbehave(faulty: &Faulty, request: Request) -> Option<Response> {
    println!("asked");
    match faulty.mode.as_str() {
        "slow" => tokio::time::sleep(Duration::from_secs(30)).await,
        "crash" => std::process::abort(),
        // Written to, or it would be no memory.
        "out-of-memory" => drop(std::hint::black_box(vec![1_u8; 4 << 30])),
        "ten-times-slower" => {
            tokio::time::sleep(TEN_TIMES).await;
            let good = faulty.good.as_ref()?;
            return good.ask(request).await.inspect_err(|e| eprintln!("no good answer: {e:#}")).ok();
        }
        _ => {}
    }
    None
}
