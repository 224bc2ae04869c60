use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::ModelPath;
use crate::body::{self, Framing};
use crate::error::ServeError;
use crate::feedback;
use crate::serve::App;

/// A revision, an id and a few numbers.
const FEEDBACK_BYTES: usize = 8 << 10;

pub(super) async fn take(State(app): State<Arc<App>>, Path(path): Path<ModelPath>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut share = app.questions.share();
    match body::read(&mut body, &parts.headers, Framing::Http, FEEDBACK_BYTES, &mut share).await {
        Ok(body) => answer(&app, &path, &body).map(Json).into_response(),
        Err(e) => {
            body::drain(body, &parts.headers);
            e.into_response()
        }
    }
}

fn answer(app: &App, path: &ModelPath, body: &[u8]) -> Result<Value, ServeError> {
    app.model.check(&path.model, &path.version)?;
    Ok(json!({"counted": feedback::count(app, &feedback::read(body)?)?}))
}
