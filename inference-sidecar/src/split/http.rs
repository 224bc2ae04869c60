use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{CONNECT_TIMEOUT, Failure, HOP_HEADER, MAX_ANSWER_BYTES};
use crate::deadline;
use crate::error::StartError;

/// Headers that belong to one connection, and not to the request.
const CONNECTION_HEADERS: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
];
/// The canary's Service stands for several pods that come and go: idle connections would keep to the old ones.
const IDLE: Duration = Duration::from_secs(5);

/// The canary's HTTP side.
#[derive(Debug)]
pub(crate) struct HttpCanary {
    client: Client<HttpConnector, Full<Bytes>>,
    authority: Authority,
}

impl HttpCanary {
    pub(crate) fn new(url: &str) -> Result<Self, StartError> {
        let wrong = |why: String| StartError::Canary(url.to_owned(), why);
        let uri: Uri = url.parse().map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
        let authority = uri.authority().cloned().ok_or_else(|| wrong("it has no host".into()))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("it is not http".into()));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, authority })
    }

    /// Sends the user's own request on, and returns a 2xx answer as it came.
    pub(crate) async fn send(
        &self,
        path: &PathAndQuery,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, Failure> {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path.clone());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.build().map_err(|_| Failure::Unreachable)?;
        *request.headers_mut() = end_to_end(headers);
        request.headers_mut().remove(HOST);
        // The user's deadline is kept here: the canary's own error would hide that it was a timeout.
        for name in &deadline::HEADERS {
            request.headers_mut().remove(name);
        }
        request.headers_mut().insert(HOP_HEADER, HeaderValue::from_static("1"));

        // Connection errors, and connections that broke: the pool drops either, so that the next request opens a new one.
        let response = self.client.request(request).await.map_err(|_| Failure::Unreachable)?;
        match response.status() {
            status if status.is_success() => {}
            // A deadline in the body.
            StatusCode::GATEWAY_TIMEOUT => return Err(Failure::Timeout),
            _ => return Err(Failure::Error),
        }
        let (mut parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|e| {
            if e.is::<http_body_util::LengthLimitError>() { Failure::Error } else { Failure::Unreachable }
        })?;
        parts.headers = end_to_end(&parts.headers);
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in &CONNECTION_HEADERS {
        headers.remove(name);
    }
    headers
}
