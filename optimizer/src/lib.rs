//! Takes a trained ONNX model and a recipe to a smaller, faster, measured model package.
//!
//! ```text
//!  fetch ─▶ onnx ─▶ passes (calibrate between) ─▶ measure: evaluate, benchmark, study ─▶ report ─▶ store
//!           Graph   Graph → (Graph, report)       Measurements                                     PackageManifest
//! ```
//!
//! [`job`] does it for one index of the optimization Job, [`candidate::make`] for any caller. The same inputs give the
//! same `model.onnx`, bit for bit. [`search`] looks for the recipe.

pub mod benchmark;
pub mod calibrate;
pub mod candidate;
pub mod dataset;
pub mod diff;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod fetch;
pub mod file;
pub mod folder;
pub mod inspect;
pub mod interrupt;
pub mod job;
pub mod measure;
pub mod memory;
pub mod onnx;
pub mod passes;
pub mod progress;
pub mod proto;
pub mod recorded;
pub mod report;
pub mod search;
mod softmax;
pub mod store;
pub mod strict;
pub mod technique;
pub mod train;

pub use error::Error;
