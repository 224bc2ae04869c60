//! The REST form of the Open Inference Protocol V2: bytes in, tensors out, and back. No I/O.

mod cut;
mod data;
mod json;
mod list;
mod numbers;
mod request;
mod response;
mod tokens;

pub(crate) use data::{Dialect, most_bytes, read as read_data};
pub(crate) use json::Nested;
pub(crate) use request::{Bounds, InferMessage, OutputRequest, declared_outputs, read_request, read_response};
pub(crate) use response::{Encoding, write_request, write_response};
pub(crate) use tokens::shape_of;

/// Length of the JSON part of a body with binary tensors behind it.
pub(crate) const HEADER_LENGTH: &str = "inference-header-content-length";
