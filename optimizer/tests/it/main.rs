//! Tests against ONNX Runtime and real models; one binary, so that they are linked once.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions only, and these have helpers")]

mod boxes;
mod by_hand;
mod common;
mod compress;
mod datasets;
mod datasets_bad;
mod detection;
mod distill;
mod factorize;
mod graphs;
mod hostile;
mod inspect;
mod job;
mod making;
mod models;
mod node_tests;
mod passes;
mod report;
mod search;
mod shapes;
mod smaller_detectors;
mod sparse;
mod targets;
mod walk;
