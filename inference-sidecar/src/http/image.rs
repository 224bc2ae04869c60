//! A JPEG, PNG or WebP file as the body of an infer request.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::budget::Share;
use crate::deadline::Deadline;
use crate::error::ServeError;
use crate::images;
use crate::oip::{self, Encoding, HEADER_LENGTH};
use crate::serve::App;
use crate::tensor::Tensor;

/// The infer response, with the labels before the numbers; boxes are in their place.
#[derive(Serialize)]
struct Answer<B, L> {
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes: Option<B>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<L>,
    #[serde(flatten)]
    response: std::collections::BTreeMap<String, Box<RawValue>>,
}

/// By its first bytes, since `curl --data-binary` calls everything a form; or because it is called one.
pub(super) fn is_one(headers: &HeaderMap, body: &[u8]) -> bool {
    let called = headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"image/"));
    called || !headers.contains_key(HEADER_LENGTH) && images::is_image(body)
}

pub(super) async fn answer(
    app: &App,
    path: &PathAndQuery,
    body: Bytes,
    mut share: Share,
    deadline: Deadline,
) -> Result<http::Response<Bytes>, ServeError> {
    let top = top(path.query())?;
    let images = app.model.images.clone().map_err(ServeError::Invalid)?;
    let read = move || {
        share.hold(images.memory(&body)?)?;
        images.tensor(&body).map(|(tensor, placement)| (tensor, placement, share))
    };
    // A large photograph takes tens of milliseconds.
    let decoded = tokio::task::spawn_blocking(read).await;
    let (input, placement, share) = decoded.map_err(|e| ServeError::Engine(e.to_string()))??;
    let share = Arc::new(share);
    let outputs = app.model.infer(vec![input], &[], deadline, &share).await?;
    let boxes = app.model.boxes(&outputs, &[placement], top)?.and_then(|of_images| of_images.into_iter().next());
    let labels = outputs.first().filter(|_| boxes.is_none());
    let labels = labels.and_then(|o| images::top(o, &app.model.labels, top));
    write(app, &outputs, boxes, labels)
}

/// What a person reads of the outputs, and the outputs; a detector's can be a million numbers, and who wants them sends tensors.
pub(super) fn write(
    app: &App,
    outputs: &[Tensor],
    boxes: Option<impl Serialize>,
    labels: Option<impl Serialize>,
) -> Result<http::Response<Bytes>, ServeError> {
    let outputs = if boxes.is_some() { &[] } else { outputs };
    let outputs: Vec<_> = outputs.iter().cloned().map(|o| (o, Encoding::Json)).collect();
    let model = (app.model.name.as_str(), app.model.revision.as_str());
    let failed = |e: serde_json::Error| ServeError::Engine(e.to_string());
    let (response, _) = oip::write_response(model, None, &outputs).map_err(failed)?;
    let response = serde_json::from_slice(&response).map_err(failed)?;
    let body = serde_json::to_vec(&Answer { boxes, labels, response }).map_err(failed)?;
    let mut response = http::Response::new(Bytes::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `?top=3`: how many classes, or boxes.
pub(super) fn top(query: Option<&str>) -> Result<Option<usize>, ServeError> {
    let asked = query.into_iter().flat_map(|q| q.split('&')).find_map(|pair| pair.strip_prefix("top="));
    let number = |text: &str| {
        text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            ServeError::Invalid(format!("top is {text:?}; expected the number of classes or boxes to name, from 1"))
        })
    };
    asked.map(number).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_are_asked_for() {
        for (query, expected) in [(None, Ok(None)), (Some("a=b"), Ok(None)), (Some("a=b&top=3"), Ok(Some(3)))] {
            assert_eq!(top(query).map_err(|_| ()), expected, "{query:?}");
        }
        for query in ["top=0", "top=", "top=-1", "top=99999999999999999999999"] {
            assert!(top(Some(query)).is_err(), "{query}");
        }
    }
}
