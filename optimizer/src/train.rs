//! Training of ONNX graphs: gradients, and fitting weights to a teacher's answers or to labels.
//!
//! ```text
//!  Graph ─▶ tape (steps with a forward and a backward pass) ─▶ loss ─▶ gradients ─▶ optimizer ─▶ Graph, new weights
//!                                             teacher (ONNX Runtime) ──▲
//! ```
//!
//! Any graph whose last part is made of known operators can be trained; what comes before the last node without a
//! gradient is run by ONNX Runtime and stays. Weights go back under their names: nothing else in the file changes. One
//! thread and one order of sums: equal inputs give an equal file on equal processors.

#![allow(
    clippy::many_single_char_names,
    clippy::similar_names,
    reason = "the letters of the formulas: (m, k)·(k, n); N, C, H, W"
)]
#![allow(
    clippy::inline_always,
    reason = "what is compiled for each instruction set must be inside the function that is"
)]
#![allow(clippy::type_complexity, reason = "shape and values, slot and gradient: pairs that live for a line")]
#![cfg_attr(test, allow(clippy::float_cmp, reason = "small whole numbers"))]

mod build;
mod data;
mod error;
mod fit;
mod gradients;
mod kernel;
mod learner;
mod loss;
mod ops;
mod optimizer;
mod options;
mod tape;
mod teacher;
mod tensor;

pub use data::{Augment, Samples};
pub use error::TrainError;
pub use fit::{Report, fit, shared_features};
pub use gradients::{Gradient, gradients, sensitivities};
pub use optimizer::Rule;
pub use options::{Feature, Options, Teacher};
