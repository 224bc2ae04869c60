//! What changes a model. Each pass is a function from a graph to a graph and a report of what it did.

mod constants;
mod fold_batch_norm;
mod names;
mod quantize;

pub use constants::{LiftReport, lift_constants};
pub use fold_batch_norm::{FoldReport, fold_batch_norm};
pub use quantize::{Affine, ChannelAxis, QuantizeReport, Ranges, Selection, quantize, select};
