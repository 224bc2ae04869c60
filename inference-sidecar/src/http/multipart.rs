//! `multipart/form-data` as the body of an infer request: each part is an image, as `curl -F` and a browser's forms send them.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::uri::PathAndQuery;
use multer::Multipart;

use super::image;
use crate::budget::Share;
use crate::deadline::Deadline;
use crate::error::ServeError;
use crate::images;
use crate::serve::App;
use crate::tensor::Tensor;

/// The boundary between the parts, where the body is such a form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<Result<String, ServeError>> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_form = text.trim_start().get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM));
    is_form.then(|| multer::parse_boundary(text).map_err(|e| wrong(&e)))
}

const FORM: &str = "multipart/form-data";

fn wrong(e: &multer::Error) -> ServeError {
    ServeError::Invalid(format!(
        "the form is not as expected: {e}; expected multipart/form-data with an image in each part"
    ))
}

/// `labels` or `boxes` are a list for each part: its type does not change with the number of parts.
pub(super) async fn answer(
    app: &App,
    path: &PathAndQuery,
    boundary: String,
    body: Bytes,
    share: Share,
    deadline: Deadline,
) -> Result<http::Response<Bytes>, ServeError> {
    let top = image::top(path.query())?;
    let images = app.model.images.clone().map_err(ServeError::Invalid)?;
    // One copy to find the parts in, one of the parts.
    let mut copies = share.beside();
    copies.hold(body.len().saturating_mul(2))?;
    // Beside the copies: what fits only without them never fits.
    let mut share = copies.beside();
    let parts = parts(body, boundary, app.model.max_rows).await?;
    let read = move || images.batch(&parts, &mut share).map(|(tensor, placements)| (tensor, placements, share));
    let decoded = tokio::task::spawn_blocking(read).await;
    let (input, placements, share) = decoded.map_err(|e| ServeError::Engine(e.to_string()))??;
    drop(copies);
    let share = Arc::new(share);
    let outputs = app.model.infer(vec![input], &[], deadline, &share).await?;
    let boxes = app.model.boxes(&outputs, &placements, top)?;
    let rows = outputs.first().filter(|_| boxes.is_none()).map(images::rows);
    let of_row = |row: Cow<'_, Tensor>| images::top(&row, &app.model.labels, top);
    let labels = rows.and_then(|rows| rows.into_iter().map(of_row).collect::<Option<Vec<_>>>());
    image::write(app, &outputs, boxes, labels)
}

async fn parts(body: Bytes, boundary: String, most: usize) -> Result<Vec<Bytes>, ServeError> {
    let mut form = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    let mut parts = Vec::new();
    while let Some(part) = form.next_field().await.map_err(|e| wrong(&e))? {
        if parts.len() == most {
            let many = format!("the form has more than {most} parts; send less at once, or raise --max-rows");
            return Err(ServeError::Invalid(many));
        }
        parts.push(part.bytes().await.map_err(|e| wrong(&e))?);
    }
    Ok(parts)
}
