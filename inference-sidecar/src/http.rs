//! The Open Inference Protocol over HTTP.

mod exchange;
mod feedback;
mod image;
mod infer;
mod multipart;
mod openapi;
mod page;
mod predict;
mod repository;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{ACCEPT_ENCODING, CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{StatusCode, Version};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::encoding::ACCEPTED;
use crate::error::ServeError;
use crate::serve::{App, Current, EXTENSIONS, PLATFORM, REVISION_HEADER, SERVER_NAME, SERVER_VERSION};
pub(crate) use exchange::unasked;

/// A smaller answer is in one packet anyway.
const COMPRESSED_FROM: u64 = 1024;

pub(crate) fn router(current: Current, with_page: bool) -> Router {
    let held = || middleware::from_fn_with_state(current.clone(), hold_answer);
    let model = Router::new()
        .route("/", get(metadata))
        .route("/stats", get(repository::statistics))
        .route_layer(held())
        .route("/ready", get(model_ready))
        .route("/infer", post(infer::infer));
    let predict = get(predict::status).post(predict::call);
    // Only who asks, and only what is worth it.
    let compression =
        CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(SizeAbove::new(COMPRESSED_FROM));
    let page = if with_page { Router::new().route("/", get(page::page)) } else { Router::new() };
    page.route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/openapi.json", get(openapi::document))
        .route("/v2/models/stats", get(repository::all_statistics))
        .route("/v2/repository/index", post(repository::index))
        .route_layer(held())
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v1/models/{model}", predict.clone())
        .route("/v1/models/{model}/versions/{version}", predict)
        // Not behind a version: it names the revision itself, and any of the stable pods takes it.
        .route("/v2/models/{model}/feedback", post(feedback::take))
        .nest("/v2/models/{model}", model.clone())
        .nest("/v2/models/{model}/versions/{version}", model)
        .fallback(|| async { error(StatusCode::NOT_FOUND, "no such path; GET /v2 names what is served") })
        .method_not_allowed_fallback(|| async {
            error(
                StatusCode::METHOD_NOT_ALLOWED,
                "infer, predict, feedback and the repository's index are POST, all else is GET",
            )
        })
        .layer(middleware::from_fn_with_state(current.clone(), finish))
        .layer(compression)
        .with_state(current)
}

/// Answers in the place of [`router`] where there are too many connections: 503, and the connection is closed. Probes are answered as
/// ever: a full pod must be neither restarted nor taken for one that has failed.
pub(crate) fn full_router(current: Current, limit: u32) -> Router {
    Router::new()
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .fallback(move || async move { ServeError::TooManyConnections { limit } })
        .layer(middleware::from_fn_with_state(current.clone(), finish))
        .layer(middleware::map_response(async |response: Response| ([(CONNECTION, "close")], response).into_response()))
        .with_state(current)
}

/// Which model the path names.
#[derive(Clone, Debug, Deserialize)]
struct ModelPath {
    model: String,
    #[serde(default)]
    version: String,
}

#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [i64],
}

pub(crate) async fn live() -> Response {
    Json(json!({"live": true})).into_response()
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    (ready_status(ready), Json(json!({"ready": ready}))).into_response()
}

async fn server_metadata() -> Response {
    Json(json!({"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS})).into_response()
}

async fn model_ready(State(app): State<Arc<App>>, Path(path): Path<ModelPath>) -> Result<Response, ServeError> {
    app.model.check(&path.model, &path.version)?;
    let ready = app.is_ready();
    Ok((ready_status(ready), Json(json!({"name": app.model.name, "ready": ready}))).into_response())
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metadata(State(app): State<Arc<App>>, Path(path): Path<ModelPath>) -> Result<Response, ServeError> {
    let model = &app.model;
    model.check(&path.model, &path.version)?;
    let tensors = |side: &[drydock_contract::TensorSignature]| {
        let tensor = |t: &drydock_contract::TensorSignature| {
            json!(TensorMetadata { name: &t.name, datatype: t.datatype.as_str(), shape: &t.shape })
        };
        side.iter().map(tensor).collect::<Vec<_>>()
    };
    Ok(Json(json!({
        "name": model.name,
        "versions": [model.revision],
        "platform": PLATFORM,
        "inputs": tensors(&model.signature.inputs),
        "outputs": tensors(&model.signature.outputs),
        "properties": {"digest": model.digest.to_string(), "execution_provider": model.provider},
    }))
    .into_response())
}

/// What was asked besides inference is answered from memory that all such answers have together, until the client has read it: one that asks and
/// does not read would take as much as it likes.
async fn hold_answer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = next.run(request).await.into_parts();
    // It is in memory already: this cannot wait, nor fail.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match app.questions.share().keep(body) {
        Ok(body) => Response::from_parts(parts, Body::from(body)),
        Err(e) => e.into_response(),
    }
}

/// What every response carries, whoever wrote it.
async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    name_revision(headers, &app.model.revision);
    // A client that keeps its connection would never look for another pod.
    let sends_away = !app.is_ready() || app.lifecycle.sends_away();
    if sends_away && version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Names the revision that answered, unless the answer does so itself.
fn name_revision(headers: &mut HeaderMap, revision: &str) {
    if let (false, Ok(revision)) = (headers.contains_key(REVISION_HEADER), HeaderValue::from_str(revision)) {
        headers.insert(REVISION_HEADER, revision);
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}

impl IntoResponse for ServeError {
    fn into_response(self) -> Response {
        let mut response = error(self.status(), &self.told());
        if self.may_pass() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Self::Encoded(_)) {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        }
        response
    }
}

#[cfg(test)]
mod tests;
