//! From the outputs of a detector to boxes, as a [`Detection`] says.
//!
//! ```text
//!  outputs of a batch ─▶ decode ─▶ score threshold ─▶ non-maximum suppression ─▶ boxes of each image
//! ```
//!
//! Boxes are in pixels of the model's input; `drydock_preprocessing::Placement` takes them back to the image. Values in, values out:
//! no I/O.
//!
//! [`Detection`]: drydock_contract::Detection

mod bounds;
mod decode;
mod error;
mod layout;
mod suppress;

pub use bounds::{Bounds, Detected};
pub use decode::{Array, Decoder};
pub use error::DetectionError;
pub use suppress::{Most, suppress};
