//! What changes a model. Each pass is a function from a graph to a graph and a report of what it did.

mod clean;
mod constants;
mod fold_batch_norm;
mod fold_constants;
mod names;
mod quantize;
mod remove_dead;
mod remove_noops;
mod upgrade;

pub use clean::{CleanReport, clean};
pub use constants::{LiftReport, lift_constants};
pub use fold_batch_norm::{FoldReport, fold_batch_norm};
pub use fold_constants::{ConstantsReport, fold_constants};
pub use quantize::{Affine, ChannelAxis, QuantizeReport, Ranges, Selection, quantize, select};
use remove_dead::drop_dead;
pub use remove_dead::{DeadReport, remove_dead};
pub use remove_noops::{NoopReport, remove_noops};
pub use upgrade::{UpgradeReport, upgrade};
