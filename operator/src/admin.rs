//! `/metrics`, `/livez` and `/readyz`.

use std::io;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use kube::Client;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::metrics::Metrics;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Admin {
    client: Client,
    metrics: Metrics,
}

/// Serves until the process ends. IPv4 alone where the node has no IPv6.
pub async fn serve(port: u16, client: Client, metrics: Metrics) -> io::Result<()> {
    let listener = match TcpListener::bind(("::", port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await?,
    };
    axum::serve(listener, router(client, metrics)).await
}

fn router(client: Client, metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(Admin { client, metrics })
}

/// Ready: the API server answers. A standby is ready too, so that a rollout of the operator does not wait for the Lease.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    match timeout(ANSWER_WITHIN, admin.client.apiserver_version()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("the API server: {error}")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("the API server: no answer within {ANSWER_WITHIN:?}")),
    }
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, admin.metrics.registry()) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
