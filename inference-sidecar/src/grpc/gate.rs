//! What a call must pass before tonic decodes it: tonic would take any number of messages of the largest size at once.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use super::{cost, refuse};
use crate::body::{self, Framing};
use crate::budget::{Budget, Share};
use crate::error::ServeError;
use crate::metrics::Protocol;
use crate::serve::App;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// Health, readiness and metadata are asked for in a few bytes, and must be answered when there is no room for more.
const QUESTION_BYTES: usize = 4 << 10;

pub(super) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (mut parts, mut body) = request.into_parts();
    let infer = parts.uri.path() == INFER;
    let taken = if infer { take_in(&app, &parts, &mut body).await } else { take_question(&parts, &mut body).await };
    match taken {
        Ok(Taken { message, share, place: _place }) => {
            parts.extensions.insert(Arc::new(share));
            next.run(Request::from_parts(parts, Body::from(message))).await
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

struct Taken {
    message: Bytes,
    share: Share,
    /// Until the call is answered.
    place: Option<OwnedSemaphorePermit>,
}

async fn take_in(app: &App, parts: &Parts, body: &mut Body) -> Result<Taken, ServeError> {
    let place = app.admit()?;
    let mut share = app.budget.share();
    let message = body::read(body, &parts.headers, Framing::Grpc, app.max_body_bytes, &mut share).await?;
    let decoded = cost::of_framed(&message);
    share.hold(message.len().saturating_add(decoded))?;
    Ok(Taken { message, share, place: Some(place) })
}

async fn take_question(parts: &Parts, body: &mut Body) -> Result<Taken, ServeError> {
    let mut share = Budget::new(2 * QUESTION_BYTES).share();
    let message = body::read(body, &parts.headers, Framing::Grpc, QUESTION_BYTES, &mut share).await?;
    Ok(Taken { message, share, place: None })
}
