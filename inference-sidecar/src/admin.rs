//! The port for the operator, Prometheus and the kubelet; it is in no Service.

use std::sync::Arc;

use ::http::StatusCode;
use ::http::header::CONTENT_TYPE;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use drydock_contract::SplitWindow;

use crate::http;
use crate::serve::{App, Current};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) fn router(current: Current) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        // For the kubelet: users can fill the other ports, and nothing of that is a reason to restart the pod.
        .route("/v2/health/live", get(http::live))
        .route("/v2/health/ready", get(http::ready))
        .route("/metrics", get(metrics))
        .route("/drydock/split", get(split))
        .with_state(current)
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics.text(&app.model.queue) {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn split(State(app): State<Arc<App>>) -> Json<SplitWindow> {
    Json(app.splitter.as_ref().map(|s| s.window()).unwrap_or_default())
}
