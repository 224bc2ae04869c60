//! The server as its users see it: real HTTP and gRPC clients on loopback, a real model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside of #[test] functions")]

mod canary;
mod compression;
mod detection;
mod extensions;
mod images;
mod limits;
mod onnx;
mod predict;
mod process;
mod protocols;
mod splitter;
mod support;
mod triton;
