//! What changes a model. Each pass is a function from a graph to a graph and a report of what it did.

mod constants;
mod cut;
mod factorize;
mod fit;
mod fold_batch_norm;
mod layer;
mod names;
mod prune;
mod quantize;

pub use constants::{LiftReport, lift_constants};
pub use cut::cut;
pub use factorize::{Candidate, Choice, choose, set_weights, split};
pub use fit::{Fit, FitError, Moments, Problem, fit};
pub use fold_batch_norm::{FoldReport, fold_batch_norm};
pub use layer::{Form, Layer, Window};
pub use prune::{
    Consumer, Elimination, Family, Groups, Kept, Product, Score, Slice, eliminate, kept, products, remove, share,
};
pub use quantize::{Affine, ChannelAxis, QuantizeReport, Ranges, Selection, quantize, select};
