//! What a call must pass before tonic decodes it: tonic would take any number of messages of the largest size at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::HeaderName;
use http::request::Parts;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::OwnedSemaphorePermit;

use super::{cost, refuse, unary};
use crate::body::{self, Framing};
use crate::budget::{Budget, Share};
use crate::deadline::Deadline;
use crate::encoding::Encoding;
use crate::error::ServeError;
use crate::metrics::Protocol;
use crate::serve::App;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// A conversation, which is over when the client has had its answers: its body cannot be awaited. tonic bounds its messages.
const REFLECTION: &str = "/grpc.reflection.";
/// Readiness and metadata are asked for in a few bytes.
pub(super) const QUESTION_BYTES: usize = 4 << 10;
/// It must be answered when there is no room for anything.
const HEALTH: &str = "/grpc.health.";
/// A flag and the length of the message.
pub(super) const FRAME: usize = 5;
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

/// What the client has done to its message.
pub(super) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// What it takes.
pub(super) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

pub(super) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(REFLECTION) {
        return next.run(request).await;
    }
    let start = Instant::now();
    let (mut parts, mut body) = request.into_parts();
    parts.extensions.insert(Started(start));
    let infer = parts.uri.path() == INFER;
    let taken = if infer {
        take_in(&app, &parts, &mut body, start).await
    } else {
        take_question(&app, &parts, &mut body).await
    };
    match taken {
        Ok(Taken { head, message, share, compressed, place: _place }) => {
            parts.headers.remove(ENCODING);
            // Other flags are tonic's to refuse.
            if infer && !compressed && head.len() == FRAME && head.first() == Some(&PLAIN) {
                return unary::answer(app, parts, message, Arc::new(share)).await;
            }
            if !compressed {
                // Every client of the C core, Python's among them, takes compressed answers: that does not mean that it wants any.
                parts.headers.remove(ACCEPT_ENCODING);
            }
            parts.extensions.insert(Arc::new(share));
            let frames = Body::from_stream(futures::stream::iter([head, message].map(Ok::<_, Infallible>)));
            keep(next.run(Request::from_parts(parts, frames)).await)
        }
        Err(e) => {
            body::drain(body, &parts.headers);
            if infer {
                app.metrics.request(&app.model.revision, Protocol::grpc, format!("{:?}", e.code()), start.elapsed());
            }
            refuse(&app, &e).into_http()
        }
    }
}

/// When the call came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started(pub(super) Instant);

/// Has the answer hold its share until it is written.
fn keep(mut response: Response) -> Response {
    let Some(share) = response.extensions_mut().remove::<Arc<Share>>() else { return response };
    let kept = move |data: Bytes| written(data, share.clone());
    response.map(|body| Body::new(body.map_frame(move |frame| frame.map_data(&kept))))
}

/// The same bytes, which hold the share until the last of their copies is gone.
pub(super) fn written(data: Bytes, share: Arc<Share>) -> Bytes {
    Bytes::from_owner(Written { data, _share: share })
}

struct Written {
    data: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Written {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

struct Taken {
    /// What stands before the message; less than [`FRAME`] bytes where there is none.
    head: Bytes,
    message: Bytes,
    share: Share,
    /// Whether it came compressed.
    compressed: bool,
    /// Until the call is answered.
    place: Option<OwnedSemaphorePermit>,
}

async fn take_in(app: &App, parts: &Parts, body: &mut Body, start: Instant) -> Result<Taken, ServeError> {
    // What is wrong with a header is told when the call is read.
    let deadline = Deadline::of(&parts.headers, start).unwrap_or_default();
    let place = app.admit(deadline, start)?;
    let mut taken = take(parts, body, app.max_body_bytes, app.budget.share(), cost::of).await?;
    taken.place = Some(place);
    Ok(taken)
}

async fn take_question(app: &App, parts: &Parts, body: &mut Body) -> Result<Taken, ServeError> {
    // What decompresses a question takes more than the question.
    let plain = !parts.headers.contains_key(ENCODING);
    let budget = match plain {
        true if parts.uri.path().starts_with(HEALTH) => &Budget::new(2 * QUESTION_BYTES),
        true => &app.questions,
        false => &app.budget,
    };
    take(parts, body, QUESTION_BYTES, budget.share(), |_| 0).await
}

/// Takes a message in, and decompresses it. `cost`: what it takes, once decoded, beside its own bytes.
async fn take(
    parts: &Parts,
    body: &mut Body,
    limit: usize,
    mut share: Share,
    cost: fn(&[u8]) -> usize,
) -> Result<Taken, ServeError> {
    let encoding = Encoding::of(&parts.headers, &ENCODING)?;
    let mut message = body::read(body, &parts.headers, Framing::Grpc, limit, &mut share).await?;
    let length = message.len();
    let head = message.split_to(FRAME.min(length));
    if head.len() < FRAME || head.first() != Some(&COMPRESSED) {
        // Where there is nothing at all, tonic says what is missing.
        share.hold(length.saturating_add(cost(&message)))?;
        return Ok(Taken { head, message, share, compressed: false, place: None });
    }
    let encoding = encoding.ok_or_else(|| {
        ServeError::Invalid("the message is compressed, but grpc-encoding does not say how; expected it to".into())
    })?;
    let mut whole = share.beside();
    let message = encoding.read(&mut Full::new(message), limit, &mut whole).await?;
    whole.hold(message.len().saturating_add(cost(&message)))?;
    let length = u32::try_from(message.len()).map_err(|_| ServeError::TooLarge { limit })?;
    let head = Bytes::from([[PLAIN].as_slice(), &length.to_be_bytes()].concat());
    Ok(Taken { head, message, share: whole, compressed: true, place: None })
}
