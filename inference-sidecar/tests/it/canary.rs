//! Every form of request through the splitter: what the canary is sent, how answers are compared, and whose failure is counted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;

use crate::compression::{compress, decompress};
use crate::predict::nested;
use crate::splitter::Stable;
use crate::support::{Running, image, json_body, message};

const INFER: &str = "/v2/models/fashion/infer";
const PREDICT: &str = "/v1/models/fashion:predict";

fn classes() -> Value {
    let mut body = json_body(&image(1));
    body["outputs"] = json!([{"name": "logits", "parameters": {"classification": 3}}]);
    body
}

/// So many rows that the answer is large enough to be compressed.
fn many() -> Value {
    let data = image(1).repeat(32);
    json!({"inputs": [{"name": "input", "datatype": "FP32", "shape": [32, 1, 28, 28], "data": data}]})
}

#[tokio::test]
async fn answers_of_every_form_are_compared() {
    // A sidecar of another revision as the canary: the same model, so they agree.
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.http).await;
    stable.split(100, "1", 60_000).await;
    let rows = json!({"instances": [nested(1), nested(2)]});
    let columns = json!({"inputs": {"input": [nested(1)]}});
    let mut compared = 0;
    for (path, body) in [(INFER, classes()), (INFER, many()), (PREDICT, rows), (PREDICT, columns)] {
        for encoding in ["identity", "gzip", "deflate", "zstd"] {
            let text = body.to_string().into_bytes();
            let text = if encoding == "identity" { text } else { compress(encoding, &text).await };
            let request = stable.running.client.post(stable.running.url(path)).header("content-encoding", encoding);
            let response = request.header("accept-encoding", encoding).body(text).send().await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["drydock-revision"]),
                (200, &"r2".parse().unwrap())
            );
            let found = response.headers().get("content-encoding").map(|v| v.to_str().unwrap().to_owned());
            let answer = response.bytes().await.unwrap();
            let answer = match found {
                Some(found) => decompress(&found, &answer).await,
                None => answer.to_vec(),
            };
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert!(answer.is_object(), "{path} {encoding}: {answer}");
            compared += 1;
            stable.until(|w| w.compared == compared).await;
        }
    }
    let window = stable.window().await;
    assert_eq!((window.requests, window.agreed, window.failures()), (compared, compared, 0), "{window:?}");
}

/// A canary that remembers what it was asked, and fails.
async fn failing() -> (SocketAddr, Arc<Mutex<Vec<(String, HeaderMap, Vec<u8>)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let remember = {
        let asked = asked.clone();
        async move |uri: Uri, headers: HeaderMap, body: axum::body::Bytes| {
            asked.lock().unwrap().push((uri.path().to_owned(), headers, body.to_vec()));
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let router = Router::new().fallback(remember);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, asked)
}

#[tokio::test]
async fn the_canary_is_sent_the_request_without_its_compression() {
    let (canary, asked) = failing().await;
    let stable = Stable::start(canary).await;
    stable.split(100, "1", 60_000).await;
    for (path, body) in [(INFER, many()), (PREDICT, json!({"instances": [nested(1)]}))] {
        let request = stable.running.client.post(stable.running.url(path)).header("content-encoding", "gzip");
        let body = body.to_string().into_bytes();
        let response =
            request.header("accept-encoding", "zstd").body(compress("gzip", &body).await).send().await.unwrap();
        assert_eq!(response.status(), 200, "the stable model answers in its place");
        let (found, headers, sent) = asked.lock().unwrap().pop().unwrap();
        assert_eq!((found.as_str(), sent), (path, body));
        assert!(!headers.contains_key("content-encoding") && !headers.contains_key("accept-encoding"), "{headers:?}");
    }
    let window = stable.window().await;
    assert_eq!((window.requests, window.errors), (2, 2), "{window:?}");
}

#[tokio::test]
async fn a_wrong_body_is_never_the_canarys_failure() {
    let (canary, asked) = failing().await;
    let stable = Stable::start(canary).await;
    stable.split(100, "1", 60_000).await;
    let bomb = compress("gzip", &vec![b' '; 20 << 20]).await;
    let with = |parameters: Value| {
        let mut body = classes();
        body["outputs"][0]["parameters"] = parameters;
        body.to_string().into_bytes()
    };
    let text = |body: &str| body.as_bytes().to_vec();
    for (path, encoding, body, status) in [
        (INFER, "identity", with(json!({"classification": "many"})), 400),
        (INFER, "identity", json_body(&image(1)).to_string().replace("FP32", "BYTES").into_bytes(), 400),
        (INFER, "identity", b"\xff\xfe".to_vec(), 400),
        (INFER, "gzip", text("not gzip"), 400),
        (INFER, "gzip", bomb.clone(), 400),
        (INFER, "br", text("{}"), 415),
        (PREDICT, "identity", text("{}"), 400),
        (PREDICT, "identity", text(r#"{"instances":[[1],[1,2]]}"#), 400),
        (PREDICT, "zstd", text("not zstd"), 400),
        (PREDICT, "gzip", bomb, 400),
    ] {
        let request = stable.running.client.post(stable.running.url(path)).header("content-encoding", encoding);
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path} {encoding}");
    }
    let window = stable.window().await;
    // What cannot even be taken in never gets to the canary, and the rest tells nothing of it.
    assert_eq!((window.requests, window.failures()), (0, 0), "{window:?}");
    assert_eq!(asked.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn compressed_grpc_calls_are_split_and_compared() {
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.grpc).await;
    stable.split(100, "1", 60_000).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let client = stable.running.grpc().await;
        let mut client = client.send_compressed(encoding).accept_compressed(encoding);
        let response = client.model_infer(message(&image(1))).await.unwrap();
        assert_eq!(response.metadata().get("drydock-revision").unwrap(), "r2");
        assert!(response.metadata().contains_key("grpc-encoding"));
    }
    stable.until(|w| w.compared == 2).await;
    let window = stable.window().await;
    assert_eq!((window.requests, window.agreed, window.failures()), (2, 2, 0), "{window:?}");
}

/// It would compress its answer, which the splitter does not read.
#[tokio::test]
async fn a_grpc_canary_is_not_told_what_the_client_takes() {
    let (canary, asked) = failing().await;
    let stable = Stable::start(canary).await;
    stable.split(100, "1", 60_000).await;
    let client = stable.running.grpc().await;
    let mut client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let mut request = tonic::Request::new(message(&image(1)));
    request.metadata_mut().insert("traceparent", tonic::metadata::MetadataValue::from_static("00-1-2-3"));
    let response = client.model_infer(request).await.unwrap();
    assert!(response.metadata().contains_key("grpc-encoding"), "the client has its answer as it asked");
    let (path, headers, _) = asked.lock().unwrap().pop().unwrap();
    assert_eq!(headers["traceparent"], "00-1-2-3");
    assert!(path.ends_with("ModelInfer") && headers.contains_key("drydock-hop"), "{path} {headers:?}");
    assert!(!headers.contains_key("grpc-encoding") && !headers.contains_key("grpc-accept-encoding"), "{headers:?}");
}
