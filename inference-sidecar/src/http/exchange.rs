//! A request that the model, or the canary in its place, answers.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http_body_util::BodyExt as _;

use super::{ModelPath, infer, name_revision, predict};
use crate::body::{self, Framing};
use crate::budget::Share;
use crate::deadline::Deadline;
use crate::encoding::Encoding;
use crate::error::ServeError;
use crate::metrics::Protocol;
use crate::oip;
use crate::serve::{App, REVISION_HEADER};
use crate::split::{self, Exchange, Failure, HOP_HEADER, Splitter};
use crate::tensor::{Decision, Tensor};

/// JSON above this size takes milliseconds to read: it must not hold up a thread that others wait for.
const LARGE_JSON: usize = 128 << 10;

/// What the path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The Open Inference Protocol's.
    Infer,
    /// TensorFlow Serving's.
    Predict,
}

/// `uri`: as it came, since the canary needs all of it.
pub(super) async fn answer(app: &Arc<App>, call: Call, uri: &Uri, path: &ModelPath, request: Request) -> Response {
    let start = Instant::now();
    let (parts, mut body) = request.into_parts();
    let answered = split_answer(app, call, uri, path, (&parts.headers, start), &mut body).await;
    let (mut response, canary) = answered.unwrap_or_else(|e| {
        body::drain(body, &parts.headers);
        (e.into_response(), None)
    });
    let revision = canary.as_deref().unwrap_or(&app.model.revision);
    app.metrics.request(revision, Protocol::http, response.status().as_str().to_owned(), start.elapsed());
    // Another may be serving by now.
    name_revision(response.headers_mut(), revision);
    response
}

async fn split_answer(
    app: &Arc<App>,
    call: Call,
    uri: &Uri,
    path: &ModelPath,
    (headers, start): (&HeaderMap, Instant),
    body: &mut Body,
) -> Result<(Response, Option<String>), ServeError> {
    app.model.check(&path.model, &path.version)?;
    let deadline = Deadline::of(headers, start)?;
    let _permit = app.admit(deadline, start)?;
    let mut share = app.budget.share();
    let limit = app.max_body_bytes;
    let body = match Encoding::of(headers, &CONTENT_ENCODING)? {
        None => body::read(body, headers, Framing::Http, limit, &mut share).await?,
        Some(encoding) => encoding.read(body, limit, &mut share).await?,
    };
    // Compression is between the client and this pod: a canary may be a server that knows none.
    let mut headers = headers.clone();
    headers.remove(CONTENT_ENCODING);
    headers.remove(ACCEPT_ENCODING);

    // A canary's time depends on it.
    let timeout =
        if app.splitter.is_some() && call == Call::Infer { infer::timeout(&headers, &body).await } else { None };
    let deadline = deadline.or_after(start, timeout);

    let share = Arc::new(share);
    let exchange = HttpExchange {
        app: app.clone(),
        call,
        pinned: !path.version.is_empty(),
        path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        headers: Arc::new(headers),
        start,
        deadline: Some(deadline),
        body,
        share: share.clone(),
    };
    let answered = split::answer(app.splitter.as_ref(), exchange).await;
    let (parts, body) = answered.answer.into_parts();
    // A client that does not read its answer holds it against the others'.
    let body = share.beside().keep(body)?;
    let mut response = Response::from_parts(parts, Body::from(body));
    if let Some(canary) = answered.canary.as_deref().and_then(|c| HeaderValue::from_str(c).ok()) {
        response.headers_mut().entry(REVISION_HEADER).or_insert(canary);
    }
    Ok((response, answered.canary))
}

/// A request for these inputs that no user waits for, in the form that takes the least; `None` while there is no memory for it.
pub(crate) fn unasked(app: &Arc<App>, inputs: &[Tensor]) -> Option<impl Exchange + use<>> {
    let (head, body) = oip::write_request(inputs).ok()?;
    let mut share = app.budget.share();
    share.hold(body.len()).ok()?;
    let path = PathAndQuery::try_from(format!("/v2/models/{}/infer", app.model.name)).ok()?;
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HeaderName::from_static(oip::HEADER_LENGTH), HeaderValue::from(head)),
    ]);
    Some(HttpExchange {
        app: app.clone(),
        call: Call::Infer,
        pinned: false,
        path,
        headers: Arc::new(headers),
        start: Instant::now(),
        deadline: None,
        body,
        share: Arc::new(share),
    })
}

#[derive(Clone)]
struct HttpExchange {
    app: Arc<App>,
    call: Call,
    /// The path names this revision: no other may answer.
    pinned: bool,
    path: PathAndQuery,
    headers: Arc<HeaderMap>,
    start: Instant,
    /// `None`: nobody waits, whatever the request says.
    deadline: Option<Deadline>,
    body: Bytes,
    /// For as long as anyone has the body.
    share: Arc<Share>,
}

impl Exchange for HttpExchange {
    type Answer = http::Response<Bytes>;

    fn may_forward(&self) -> bool {
        !self.pinned && !self.headers.contains_key(HOP_HEADER)
    }

    fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn deadline(&self) -> Deadline {
        self.deadline.unwrap_or_default()
    }

    fn unhurried(self) -> Self {
        Self { deadline: None, ..self }
    }

    async fn forward(&self, splitter: &Splitter) -> Result<Self::Answer, Failure> {
        let canary = splitter.http.as_ref().ok_or(Failure::Unreachable)?;
        canary.send(&self.path, &self.headers, self.body.clone()).await
    }

    async fn serve(&self) -> Self::Answer {
        let (body, share) = (self.body.clone(), Share::of_body(&self.share));
        let answer = match self.call {
            Call::Infer => {
                let deadline = self.deadline.map(|deadline| (self.start, deadline));
                infer::answer(&self.app, &self.path, &self.headers, body, share, deadline).await
            }
            Call::Predict => predict::answer(&self.app, body, share, self.deadline()).await,
        };
        match answer {
            Ok(response) => response,
            Err(e) => {
                let (parts, body) = e.into_response().into_parts();
                // An error's body is in memory already: this cannot wait, nor fail.
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                http::Response::from_parts(parts, body)
            }
        }
    }

    async fn has_form(&self, answer: &Self::Answer) -> bool {
        let (app, call, answer) = (self.app.clone(), self.call, answer.clone());
        let json_length = infer::json_part(&answer);
        let look = move || match call {
            Call::Infer => infer::has_form(&app, &answer),
            Call::Predict => crate::predict::is_response(answer.body()),
        };
        off_the_way(json_length, move || Ok(look())).await.unwrap_or(false)
    }

    fn is_ok(answer: &Self::Answer) -> bool {
        answer.status().is_success()
    }

    fn is_mistake(answer: &Self::Answer) -> bool {
        let status = answer.status();
        status.is_client_error() && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
    }

    fn is_failure(answer: &Self::Answer) -> bool {
        answer.status().is_server_error()
    }

    fn outputs(&self, answer: &Self::Answer) -> Option<Vec<Tensor>> {
        match self.call {
            Call::Infer => infer::outputs(answer),
            Call::Predict => predict::outputs(&self.app, answer),
        }
    }

    fn decisions(&self, answer: &Self::Answer) -> Option<Vec<Decision>> {
        match self.call {
            Call::Infer => infer::decisions(&self.app, answer),
            Call::Predict => predict::decisions(&self.app, answer),
        }
    }

    fn is_busy(&self) -> bool {
        self.app.model.queue.is_busy()
    }

    fn may_stay(&self) -> bool {
        self.app.budget.has_room()
    }
}

/// Reads a body with so many bytes of JSON in it where reading it holds nobody up.
pub(super) async fn off_the_way<T: Send + 'static>(
    json_length: usize,
    read: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    if json_length > LARGE_JSON {
        tokio::task::spawn_blocking(read).await.map_err(|e| ServeError::Engine(e.to_string()))?
    } else {
        read()
    }
}
