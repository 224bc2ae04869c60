//! The readers of what strangers can send, each as a function of bytes. It panics where a reader does, and where what was read does
//! not hold together; it says whether the bytes were taken.

mod image;
mod onnx;
mod package;
mod spec;

pub type Target = fn(&[u8]) -> bool;

/// By the names of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 7] = [
    ("onnx", onnx::onnx),
    ("json", inference_sidecar::untrusted::json),
    ("binary", inference_sidecar::untrusted::binary),
    ("grpc", inference_sidecar::untrusted::grpc),
    ("image", image::image),
    ("package", package::package),
    ("spec", spec::spec),
];
