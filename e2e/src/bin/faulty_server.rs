//! A server that is ready and wrong, for the tests of bad canaries. `MODE` says how: `errors` answers every inference with
//! HTTP 500 or gRPC INTERNAL, `slow` after 30 seconds, `crash` ends the process on the first one, `never-ready` is never ready, and `crash-loop`
//! ends at once.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tonic::service::Routes;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mode = std::env::var("MODE").unwrap_or_else(|_| "errors".into());
    if mode == "crash-loop" {
        anyhow::bail!("MODE=crash-loop: as asked");
    }
    let app = Router::new()
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}/infer", post(infer))
        .with_state(mode.clone());
    let grpc = Routes::from(Router::new().fallback(infer_over_grpc).with_state(mode));
    let grpc = tonic::transport::Server::builder().add_routes(grpc).serve(([0, 0, 0, 0], 8081).into());
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 8080)).await?;
    // The kubelet asks here.
    let admin = tokio::net::TcpListener::bind(("0.0.0.0", 8082)).await?;
    tokio::select! {
        ended = axum::serve(listener, app.clone()).into_future() => ended?,
        ended = axum::serve(admin, app).into_future() => ended?,
        ended = grpc => ended?,
    }
    Ok(())
}

async fn ready(State(mode): State<String>) -> StatusCode {
    if mode == "never-ready" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

async fn infer(State(mode): State<String>) -> (StatusCode, &'static str) {
    misbehave(&mode).await;
    (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"as asked"}"#)
}

/// A response of gRPC that is an error has a head only.
async fn infer_over_grpc(State(mode): State<String>) -> [(&'static str, &'static str); 3] {
    misbehave(&mode).await;
    [("content-type", "application/grpc"), ("grpc-status", "13"), ("grpc-message", "as asked")]
}

async fn misbehave(mode: &str) {
    match mode {
        "slow" => tokio::time::sleep(Duration::from_secs(30)).await,
        "crash" => std::process::abort(),
        _ => {}
    }
}
