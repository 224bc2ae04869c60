//! The server as its users see it: real HTTP and gRPC clients on loopback, a real model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside of #[test] functions")]

mod browser;
mod canary;
mod clients;
mod compression;
mod connections;
mod deadlines;
mod detection;
mod extensions;
mod hostile;
mod image_batches;
mod images;
mod limits;
mod onnx;
mod openapi;
mod page;
mod predict;
mod process;
mod protocols;
mod providers;
mod reload;
mod samples;
mod splitter;
mod support;
