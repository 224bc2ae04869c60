//! The inference call without tonic's buffers: it copies a message that is whole already, page by page of fresh memory, before it
//! decodes it. Here the tensors are slices of what was received.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::gate::{FRAME, written};
use super::infer;
use super::proto::{ModelInferRequest, ModelInferResponse};
use crate::budget::Share;
use crate::serve::App;

/// What the protocol itself says in the head of a response, so that nobody else may: a canary's answer comes with its own.
const RESERVED: [HeaderName; 6] = [
    HeaderName::from_static("te"),
    CONTENT_TYPE,
    CONTENT_LENGTH,
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-message-type"),
    STATUS,
];
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// `message`: without its frame, not compressed. `share` holds what it takes.
pub(super) async fn answer(app: Arc<App>, parts: Parts, message: Bytes, share: Arc<Share>) -> Response {
    respond(app, parts, message, share).await.unwrap_or_else(Status::into_http)
}

async fn respond(app: Arc<App>, mut parts: Parts, message: Bytes, share: Arc<Share>) -> Result<Response, Status> {
    // As tonic tells it.
    let message = ModelInferRequest::decode(message).map_err(|e| Status::internal(e.to_string()))?;
    parts.extensions.insert(share);
    let request = Request::from_parts(MetadataMap::from_headers(parts.headers), parts.extensions, message);
    let (metadata, message, mut extensions) = infer::infer(&app, request).await?.into_parts();

    let mut data = framed(&message)?;
    if let Some(share) = extensions.remove::<Arc<Share>>() {
        data = written(data, share);
    }
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    // A stream: of what has a length, hyper would say it in a header, which a stable pod would hand on beside an answer of another length.
    let frames = [Frame::data(data), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(stream::iter(frames))));
    *response.headers_mut() = head(metadata);
    Ok(response)
}

fn head(metadata: MetadataMap) -> HeaderMap {
    let mut headers = metadata.into_headers();
    for name in RESERVED {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, GRPC);
    headers
}

/// "Length-Prefixed-Message" of the gRPC protocol over HTTP/2, not compressed.
fn framed(message: &ModelInferResponse) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let prefix = u32::try_from(length).map_err(|_| {
        Status::out_of_range(format!("the answer has {length} bytes; gRPC has room for {} in a message", u32::MAX))
    })?;
    let mut data = BytesMut::with_capacity(FRAME + length);
    data.put_u8(0);
    data.put_u32(prefix);
    // There is room for all of it.
    message.encode(&mut data).map_err(|e| Status::internal(e.to_string()))?;
    Ok(data.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer that is written has another length: a client would take it for broken.
    #[test]
    fn a_canarys_length_is_not_handed_on() {
        let list = [("content-length", "7"), ("grpc-status", "5"), ("content-type", "text/plain"), ("x-trace", "1")];
        let canarys: HeaderMap = list
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let headers = head(MetadataMap::from_headers(canarys));
        assert_eq!(
            (headers.len(), &headers["x-trace"], &headers[CONTENT_TYPE]),
            (2, &HeaderValue::from_static("1"), &GRPC)
        );
    }
}
