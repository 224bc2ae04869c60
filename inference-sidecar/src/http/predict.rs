//! TensorFlow Serving's REST API, version 1, over the same layer as everything else.

use std::sync::Arc;

use axum::extract::{OriginalUri, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, body::Body};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;

use super::exchange::{self, Call, off_the_way};
use super::{ModelPath, error};
use crate::body;
use crate::budget::Share;
use crate::deadline::Deadline;
use crate::error::ServeError;
use crate::oip::Bounds;
use crate::predict;
use crate::serve::App;
use crate::tensor::{Decision, Tensor};

/// `POST /v1/models/{model}:predict`, and with `/versions/{version}` before the colon.
pub(super) async fn call(
    State(app): State<Arc<App>>,
    OriginalUri(uri): OriginalUri,
    Path(path): Path<ModelPath>,
    request: Request,
) -> Response {
    let last = if path.version.is_empty() { &path.model } else { &path.version };
    let Some((name, "predict")) = last.rsplit_once(':') else {
        let (parts, body): (_, Body) = request.into_parts();
        body::drain(body, &parts.headers);
        return error(StatusCode::NOT_FOUND, "no such call; expected POST /v1/models/MODEL:predict");
    };
    let name = name.to_owned();
    let path = if path.version.is_empty() {
        ModelPath { model: name, version: String::new() }
    } else {
        ModelPath { version: name, ..path }
    };
    exchange::answer(&app, Call::Predict, &uri, &path, request).await
}

/// What TensorFlow Serving answers, and what KServe's V1 protocol does: no member of one is in the other.
pub(super) async fn status(State(app): State<Arc<App>>, Path(path): Path<ModelPath>) -> Result<Response, ServeError> {
    app.model.check(&path.model, &path.version)?;
    let ready = app.is_ready();
    let version = json!({
        "version": app.model.revision,
        "state": if ready { "AVAILABLE" } else { "UNLOADING" },
        "status": {"error_code": "OK", "error_message": ""},
    });
    let body = json!({"name": app.model.name, "ready": ready, "model_version_status": [version]});
    Ok((super::ready_status(ready), Json(body)).into_response())
}

/// The first one: the others have no place in the answer that it could be told from.
pub(super) fn outputs(app: &App, answer: &http::Response<Bytes>) -> Option<Vec<Tensor>> {
    Some(vec![predict::read_response(answer.body(), &app.model.signature.outputs).ok()?])
}

pub(super) fn decisions(app: &App, answer: &http::Response<Bytes>) -> Option<Vec<Decision>> {
    app.model.decisions(&outputs(app, answer)?)
}

pub(super) async fn answer(
    app: &App,
    body: Bytes,
    mut share: Share,
    deadline: Deadline,
) -> Result<http::Response<Bytes>, ServeError> {
    let (expected, max_rows) = (app.model.signature.inputs.clone(), app.model.max_rows);
    let length = body.len();
    let read = move || {
        let mut bounds = Bounds { inputs: &expected, max_rows, encoded: None, share: &mut share };
        predict::read_request(&body, &mut bounds).map(|read| (read, share))
    };
    let ((inputs, form), share): ((Vec<Tensor>, _), _) = off_the_way(length, read).await?;
    let share = Arc::new(share);
    let outputs = app.model.infer(inputs, &[], deadline, &share).await?;
    let mut response = http::Response::new(predict::write_response(&outputs, form)?);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
