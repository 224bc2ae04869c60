//! What changes a model. Each pass is a function from a graph to a graph and a report of what it did.

mod clean;
mod constants;
mod dynamic;
mod equalize;
mod extents;
mod fold_batch_norm;
mod fold_constants;
mod half;
mod matmul;
mod names;
mod pool;
mod quantize;
mod remove_dead;
mod remove_noops;
mod upgrade;
mod weight_only;

pub use clean::{CleanReport, clean};
pub use constants::{LiftReport, lift_constants};
pub use dynamic::{DynamicReport, dynamic};
pub use equalize::{EqualizeReport, equalize};
pub use extents::{Extent, Extents};
pub use fold_batch_norm::{FoldReport, fold_batch_norm};
pub use fold_constants::{ConstantsReport, fold_constants};
pub use half::{Half, HalfReport, halve};
pub use pool::{PoolReport, mean_to_pool};
pub use quantize::{
    Affine, ChannelAxis, Gram, Mean, QuantizeReport, Selection, Tuning, Written, bias_shift, quantize, round_layer,
    select, shift_bias,
};
use remove_dead::drop_dead;
pub use remove_dead::{DeadReport, remove_dead};
pub use remove_noops::{NoopReport, remove_noops};
pub use upgrade::{UpgradeReport, upgrade};
pub use weight_only::{WeightOnlyReport, weight_only};
