//! A server that is ready and wrong, for the tests of bad canaries. `MODE` says how: `errors` answers every inference with
//! HTTP 500, `slow` after 30 seconds, `crash` ends the process on the first one, `never-ready` is never ready, and `crash-loop`
//! ends at once.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};

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
        .with_state(mode);
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 8080)).await?;
    Ok(axum::serve(listener, app).await?)
}

async fn ready(State(mode): State<String>) -> StatusCode {
    if mode == "never-ready" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

async fn infer(State(mode): State<String>) -> (StatusCode, &'static str) {
    match mode.as_str() {
        "slow" => tokio::time::sleep(Duration::from_secs(30)).await,
        "crash" => std::process::abort(),
        _ => {}
    }
    (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"as asked"}"#)
}
