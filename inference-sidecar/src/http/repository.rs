//! What the server has, and what it has done: the index of the model repository extension, and the statistics extension.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ModelPath;
use crate::body::{self, Framing};
use crate::error::ServeError;
use crate::serve::{App, Model};
use crate::statistics::{Compute, Total};

/// The request is a flag.
const INDEX_BYTES: usize = 4 << 10;

#[derive(Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

pub(super) async fn index(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut share = app.questions.share();
    match body::read(&mut body, &parts.headers, Framing::Http, INDEX_BYTES, &mut share).await {
        Ok(body) => read_index(&body).map(|r| Json(app.index(r.ready).into_iter().collect::<Vec<_>>())).into_response(),
        Err(e) => {
            body::drain(body, &parts.headers);
            e.into_response()
        }
    }
}

/// Clients with nothing to ask send nothing, or an empty object.
fn read_index(body: &[u8]) -> Result<IndexRequest, ServeError> {
    if body.trim_ascii().is_empty() {
        return Ok(IndexRequest::default());
    }
    serde_json::from_slice(body).map_err(|e| {
        ServeError::Invalid(format!("the body is not as expected: {e}; expected {{\"ready\": true}} or nothing"))
    })
}

pub(super) async fn all_statistics(State(app): State<Arc<App>>) -> Response {
    Json(json!({"model_stats": [of_model(&app.model)]})).into_response()
}

pub(super) async fn statistics(
    State(app): State<Arc<App>>,
    Path(path): Path<ModelPath>,
) -> Result<Response, ServeError> {
    app.model.check(&path.model, &path.version)?;
    Ok(Json(json!({"model_stats": [of_model(&app.model)]})).into_response())
}

fn of_model(model: &Model) -> Value {
    let counts = model.statistics.counts();
    let total = |t: Total| json!({"count": t.count, "ns": t.nanoseconds});
    let batch = |(rows, c): (&usize, &Compute)| {
        json!({
            "batch_size": rows,
            "compute_input": total(c.input),
            "compute_infer": total(c.infer),
            "compute_output": total(c.output),
        })
    };
    // There is no cache.
    let none = total(Total::default());
    json!({
        "name": model.name,
        "version": model.revision,
        "last_inference": counts.last_inference,
        "inference_count": counts.inferences,
        "execution_count": counts.executions,
        "inference_stats": {
            "success": total(counts.success),
            "fail": total(counts.fail),
            "queue": total(counts.queue),
            "compute_input": total(counts.compute.input),
            "compute_infer": total(counts.compute.infer),
            "compute_output": total(counts.compute.output),
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": counts.batches.iter().map(batch).collect::<Vec<_>>(),
    })
}
