use std::sync::Arc;
use std::time::Instant;

use axum::extract::{OriginalUri, Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use memchr::memmem;
use serde::Deserialize;

use super::exchange::{self, Call, off_the_way};
use super::{ModelPath, image, multipart};
use crate::budget::Share;
use crate::deadline::Deadline;
use crate::detection::Detector;
use crate::error::ServeError;
use crate::oip::{self, Bounds, Encoding, HEADER_LENGTH, OutputRequest};
use crate::serve::{App, Wanted};
use crate::tensor::{Decision, Tensor};

pub(super) async fn infer(
    State(app): State<Arc<App>>,
    // The request's own path has lost what the router has matched.
    OriginalUri(uri): OriginalUri,
    Path(path): Path<ModelPath>,
    request: Request,
) -> Response {
    exchange::answer(&app, Call::Infer, &uri, &path, request).await
}

/// A value that is no text is kept as something that the reader refuses.
fn header_length(headers: &HeaderMap) -> Option<String> {
    headers.get(HEADER_LENGTH).map(|v| v.to_str().unwrap_or("?").to_owned())
}

pub(super) fn outputs(answer: &http::Response<Bytes>) -> Option<Vec<Tensor>> {
    oip::read_response(answer.body(), header_length(answer.headers()).as_deref()).ok()
}

/// A detector's boxes, which come in the place of its outputs where an image was asked about.
pub(super) fn boxes(app: &App, answer: &http::Response<Bytes>) -> Option<Vec<Decision>> {
    let may_be = app.model.detector.is_some() && header_length(answer.headers()).is_none();
    may_be.then(|| Detector::answered(answer.body())).flatten()
}

/// How many bytes of JSON an answer has.
pub(super) fn json_part(answer: &http::Response<Bytes>) -> usize {
    json_length(header_length(answer.headers()).as_deref(), answer.body())
}

pub(super) fn has_form(app: &App, answer: &http::Response<Bytes>) -> bool {
    let declared = oip::declared_outputs(answer.body(), header_length(answer.headers()).as_deref());
    declared.is_ok_and(|outputs| app.model.has_form(&outputs)) || boxes(app, answer).is_some()
}

pub(super) fn decisions(app: &App, answer: &http::Response<Bytes>) -> Option<Vec<Decision>> {
    boxes(app, answer).or_else(|| app.model.decisions(&outputs(answer)?))
}

/// Of a message, what is read before the rest of it.
#[derive(Deserialize)]
struct Head {
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    timeout: Option<u64>,
}

/// What a message says itself of its deadline, in microseconds. What is wrong with it is told when all of it is read.
pub(super) async fn timeout(headers: &HeaderMap, body: &Bytes) -> Option<u64> {
    let json = body.slice(..json_length(header_length(headers).as_deref(), body).min(body.len()));
    memmem::find(&json, b"\"timeout\"")?;
    let read = move || Ok(serde_json::from_slice::<Head>(&json).ok().and_then(|head| head.parameters?.timeout));
    off_the_way(body.len(), read).await.ok()?
}

fn json_length(header_length: Option<&str>, body: &Bytes) -> usize {
    header_length.and_then(|l| l.trim().parse().ok()).unwrap_or(body.len())
}

pub(super) async fn answer(
    app: &App,
    path: &PathAndQuery,
    headers: &HeaderMap,
    body: Bytes,
    mut share: Share,
    hurry: Option<(Instant, Deadline)>,
) -> Result<http::Response<Bytes>, ServeError> {
    // With the headers' word; a message of tensors may have its own.
    let deadline = hurry.map(|(_, deadline)| deadline).unwrap_or_default();
    if let Some(boundary) = multipart::boundary(headers) {
        return multipart::answer(app, path, boundary?, body, share, deadline).await;
    }
    if image::is_one(headers, &body) {
        return image::answer(app, path, body, share, deadline).await;
    }
    let header_length = header_length(headers);
    let json_length = json_length(header_length.as_deref(), &body);
    let (expected, max_rows, encoded) = (app.model.signature.inputs.clone(), app.model.max_rows, app.model.encoded());
    let read = move || {
        let mut bounds = Bounds { inputs: &expected, max_rows, encoded, share: &mut share };
        oip::read_request(&body, header_length.as_deref(), &mut bounds).map(|message| (message, share))
    };
    let (message, share) = off_the_way(json_length, read).await?;
    let (inputs, share) = app.model.decode(message.inputs, share).await?;

    let wanted: Vec<Wanted<'_>> = message.outputs.iter().map(OutputRequest::wanted).collect();
    let deadline = hurry.map_or(deadline, |(start, deadline)| deadline.or_after(start, message.timeout));
    let share = Arc::new(share);
    let outputs = app.model.infer(inputs, &wanted, deadline, &share).await?;
    let outputs: Vec<_> = outputs
        .into_iter()
        .map(|t| {
            let encoding = encoding(message.outputs.iter().find(|o| o.name == t.name), message.binary);
            (t, encoding)
        })
        .collect();
    let model = (app.model.name.as_str(), app.model.revision.as_str());
    let (body, header_length) =
        oip::write_response(model, message.id.as_deref(), &outputs).map_err(|e| ServeError::Engine(e.to_string()))?;
    let mut response = http::Response::new(body);
    let content_type = if header_length.is_some() { "application/octet-stream" } else { "application/json" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(length) = header_length {
        response.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

fn encoding(output: Option<&OutputRequest>, binary: bool) -> Encoding {
    if output.and_then(|o| o.binary).unwrap_or(binary) { Encoding::Binary } else { Encoding::Json }
}
