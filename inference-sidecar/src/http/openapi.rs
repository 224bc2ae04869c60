//! What the server speaks, as an OpenAPI document.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use crate::serve::{App, SERVER_VERSION};

pub(super) async fn document(State(app): State<Arc<App>>) -> Response {
    let model = Value::from(app.model.name.as_str()).to_string();
    let document = include_str!("openapi.json").replace("\"$MODEL\"", &model).replace("$VERSION", SERVER_VERSION);
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
}
