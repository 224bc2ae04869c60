use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::backend::Engine;
use crate::test_support::{Fragile, serving};

async fn call(router: &Router, path: &str, body: impl Into<Body>) -> (u16, Vec<u8>) {
    let request = Request::post(path).header("content-type", "application/grpc").body(body.into()).unwrap();
    let request =
        if path.starts_with("/v2/health") { Request::get(path).body(Body::empty()).unwrap() } else { request };
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// An empty message in gRPC's frame.
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse.status`: 1 serving, 2 not.
const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];
const NOT_SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 2];

#[tokio::test]
async fn a_pod_without_a_session_is_not_ready_over_any_protocol() {
    let fragile = Arc::new(Fragile::default());
    let engine: Arc<dyn Engine> = fragile.clone();
    let current = serving(&engine);
    let (http, grpc) = (router(current.clone(), false), crate::grpc::router(current.clone()).await);
    let ready = "/inference.GRPCInferenceService/ServerReady";
    assert_eq!(call(&http, "/v2/health/ready", Body::empty()).await.0, 200);
    assert_eq!(call(&grpc, HEALTH, EMPTY).await.1, SERVING);
    assert_eq!(call(&grpc, ready, EMPTY).await.1, [0, 0, 0, 0, 2, 8, 1]);

    let infer =
        |value: u8| format!(r#"{{"inputs": [{{"name": "x", "datatype": "UINT8", "shape": [1], "data": [{value}]}}]}}"#);
    assert_eq!(call(&http, "/v2/models/m/infer", infer(0)).await.0, 200);
    let (status, body) = call(&http, "/v2/models/m/infer", infer(1)).await;
    assert!(status == 500 && String::from_utf8_lossy(&body).contains("the engine panicked"), "{status}");
    let mut up = current.app().model.queue.sessions_up();
    up.wait_for(|n| *n == 0).await.unwrap();
    assert_eq!(call(&http, "/v2/health/ready", Body::empty()).await.0, 503);
    assert_eq!(call(&http, "/v2/health/live", Body::empty()).await.0, 200);
    assert_eq!(call(&http, "/v2/models/m/infer", infer(0)).await.0, 503);
    let (_, index) = call(&http, "/v2/repository/index", Body::empty()).await;
    assert!(String::from_utf8_lossy(&index).contains("the engine has no session"), "{index:?}");
    // A bool that is false is not written.
    assert_eq!(call(&grpc, ready, EMPTY).await.1, [0, 0, 0, 0, 0]);
    while call(&grpc, HEALTH, EMPTY).await.1 != NOT_SERVING {
        tokio::task::yield_now().await;
    }

    fragile.may_open.store(usize::MAX, Ordering::SeqCst);
    up.wait_for(|n| *n == 1).await.unwrap();
    assert_eq!(call(&http, "/v2/health/ready", Body::empty()).await.0, 200);
    assert_eq!(call(&http, "/v2/models/m/infer", infer(0)).await.0, 200);
    while call(&grpc, HEALTH, EMPTY).await.1 != SERVING {
        tokio::task::yield_now().await;
    }
}

/// One that asks and does not read would take as much as it likes. Who asks whether the pod is well is answered all the same.
#[tokio::test]
async fn answers_that_nobody_reads_have_an_end() {
    let engine: Arc<dyn Engine> = Arc::new(Fragile::default());
    let current = serving(&engine);
    let (http, grpc) = (router(current.clone(), true), crate::grpc::router(current.clone()).await);
    let app = current.app();
    let free = || app.questions.share().hold(app.questions.total()).is_ok();
    let metadata = "/inference.GRPCInferenceService/ServerMetadata";
    for (router, method, path) in [
        (&http, "GET", "/v2"),
        (&http, "GET", "/"),
        (&http, "GET", "/openapi.json"),
        (&http, "GET", "/v2/models/m"),
        (&http, "GET", "/v2/models/m/stats"),
        (&http, "POST", "/v2/repository/index"),
        (&grpc, "POST", metadata),
    ] {
        let request = || {
            let body = if path == metadata { Body::from(EMPTY) } else { Body::empty() };
            Request::builder().method(method).uri(path).header("content-type", "application/grpc").body(body).unwrap()
        };
        let response = TowerToHyperService::new(router.clone()).call(request()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(!free(), "{path}: the answer is not read, and takes nothing");
        drop(response);
        assert!(free(), "{path}");

        let mut all = app.questions.share();
        all.hold(app.questions.total()).unwrap();
        let response = TowerToHyperService::new(router.clone()).call(request()).await.unwrap();
        let refused = response.headers().get("grpc-status").map_or(response.status().as_u16(), |_| 429);
        assert_eq!(refused, 429, "{path}: {response:?}");
        for (router, path, body) in [(&http, "/v2/health/ready", Body::empty()), (&grpc, HEALTH, Body::from(EMPTY))] {
            assert_eq!(call(router, path, body).await.0, 200, "{path}");
        }
    }
}
