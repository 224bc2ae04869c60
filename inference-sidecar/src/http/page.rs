//! A page to try the model with: drop an image, see the answer.

use axum::response::{Html, IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};

/// Nothing from elsewhere, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob:; \
                      connect-src 'self'; frame-ancestors 'none'";

pub(super) async fn page() -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, Html(include_str!("page.html"))).into_response()
}
