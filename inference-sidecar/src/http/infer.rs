use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http_body_util::BodyExt as _;

use super::ModelPath;
use crate::body::{self, Framing};
use crate::budget::Share;
use crate::error::ServeError;
use crate::metrics::Protocol;
use crate::oip::{self, Bounds, Encoding, HEADER_LENGTH, OutputRequest};
use crate::serve::{App, REVISION_HEADER};
use crate::split::{self, Exchange, Failure, HOP_HEADER, Splitter};

/// JSON above this size takes milliseconds to read: it must not hold up a thread that others wait for.
const LARGE_JSON: usize = 128 << 10;

pub(super) async fn infer(
    State(app): State<Arc<App>>,
    // The request's own path has lost what the router has matched, and the canary needs all of it.
    OriginalUri(uri): OriginalUri,
    Path(path): Path<ModelPath>,
    request: Request,
) -> Response {
    let start = Instant::now();
    let (parts, mut body) = request.into_parts();
    let answered = answer(&app, &uri, path, &parts.headers, &mut body).await;
    let (response, canary) = answered.unwrap_or_else(|e| {
        body::drain(body, &parts.headers);
        (e.into_response(), None)
    });
    let revision = canary.as_deref().unwrap_or(&app.model.revision);
    app.metrics.request(revision, Protocol::http, response.status().as_str().to_owned(), start.elapsed());
    response
}

async fn answer(
    app: &Arc<App>,
    uri: &Uri,
    path: ModelPath,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(Response, Option<String>), ServeError> {
    app.model.check(&path.model, &path.version)?;
    let _permit = app.admit()?;
    let encoding = headers.get(CONTENT_ENCODING).filter(|e| *e != "identity");
    if let Some(encoding) = encoding {
        return Err(ServeError::Encoded(String::from_utf8_lossy(encoding.as_bytes()).into_owned()));
    }
    let mut share = app.budget.share();
    let body = body::read(body, headers, Framing::Http, app.max_body_bytes, &mut share).await?;

    let exchange = HttpExchange {
        app: app.clone(),
        pinned: !path.version.is_empty(),
        path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        headers: Arc::new(headers.clone()),
        body,
        share: Arc::new(share),
    };
    let answered = split::answer(app.splitter.as_ref(), exchange).await;
    let mut response = answered.answer.map(Body::from);
    if let Some(canary) = answered.canary.as_deref().and_then(|c| HeaderValue::from_str(c).ok()) {
        response.headers_mut().entry(REVISION_HEADER).or_insert(canary);
    }
    Ok((response, answered.canary))
}

#[derive(Clone)]
struct HttpExchange {
    app: Arc<App>,
    /// The path names this revision: no other may answer.
    pinned: bool,
    path: PathAndQuery,
    headers: Arc<HeaderMap>,
    body: Bytes,
    /// For as long as anyone has the body.
    share: Arc<Share>,
}

impl Exchange for HttpExchange {
    type Answer = http::Response<Bytes>;

    fn may_forward(&self) -> bool {
        !self.pinned && !self.headers.contains_key(HOP_HEADER)
    }

    async fn forward(&self, splitter: &Splitter) -> Result<Self::Answer, Failure> {
        let canary = splitter.http.as_ref().ok_or(Failure::Unreachable)?;
        canary.send(&self.path, &self.headers, self.body.clone()).await
    }

    async fn serve(&self) -> Self::Answer {
        let header_length = header_length(&self.headers);
        match infer_body(&self.app, self.body.clone(), header_length, self.share.beside()).await {
            Ok(response) => response,
            Err(e) => {
                let (parts, body) = e.into_response().into_parts();
                // An error's body is in memory already: this cannot wait, nor fail.
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                http::Response::from_parts(parts, body)
            }
        }
    }

    fn is_ok(answer: &Self::Answer) -> bool {
        answer.status().is_success()
    }

    fn classes(answer: &Self::Answer) -> Option<Vec<usize>> {
        let header_length = header_length(answer.headers());
        oip::read_response(answer.body(), header_length.as_deref()).ok()?.first()?.classes()
    }

    fn is_busy(&self) -> bool {
        self.app.model.queue.is_busy()
    }
}

/// A value that is no text is kept as something that the reader refuses.
fn header_length(headers: &HeaderMap) -> Option<String> {
    headers.get(HEADER_LENGTH).map(|v| v.to_str().unwrap_or("?").to_owned())
}

async fn infer_body(
    app: &App,
    body: Bytes,
    header_length: Option<String>,
    mut share: Share,
) -> Result<http::Response<Bytes>, ServeError> {
    let json_length = header_length.as_deref().and_then(|l| l.trim().parse().ok()).unwrap_or(body.len());
    let (expected, max_rows) = (app.model.signature.inputs.clone(), app.model.max_rows);
    let read = move || {
        let mut bounds = Bounds { inputs: &expected, max_rows, share: &mut share };
        oip::read_request(&body, header_length.as_deref(), &mut bounds).map(|message| (message, share))
    };
    let (message, _share) = if json_length > LARGE_JSON {
        tokio::task::spawn_blocking(read).await.map_err(|e| ServeError::Engine(e.to_string()))??
    } else {
        read()?
    };

    let names: Vec<&str> = message.outputs.iter().map(|o| o.name.as_str()).collect();
    let outputs = app.model.infer(message.inputs, &names).await?;
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
