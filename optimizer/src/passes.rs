//! What changes a model. Each pass is a function from a graph to a graph and a report of what it did.

mod clean;
mod constants;
mod cut;
mod drop_notes;
mod dynamic;
mod equalize;
mod extents;
mod factorize;
mod finite;
mod fit;
mod fold_batch_norm;
mod fold_constants;
mod half;
mod heads;
mod layer;
mod matmul;
mod names;
mod pool;
mod prune;
mod quantize;
mod remove_dead;
mod remove_noops;
mod sparsify;
mod unfold_batch_norm;
mod upgrade;
mod weight_only;

pub use clean::{CleanReport, clean};
pub use constants::{LiftReport, lift_constants};
pub use cut::{alone, cut};
pub use dynamic::{DynamicReport, dynamic};
pub use equalize::{EqualizeReport, equalize};
pub use extents::{Extent, Extents};
pub use factorize::{
    Candidate, Choice, Factors, LayerSize, RankError, Split, choose, kept_variance, project, set_weights, split,
};
pub use finite::finite;
pub use fit::{Fit, FitError, Moments, Problem, fit};
pub use fold_batch_norm::{FoldReport, fold_batch_norm};
pub use fold_constants::{ConstantsReport, fold_constants};
pub use half::{Half, HalfReport, halve};
pub use heads::heads;
pub use layer::{Form, Layer, Window};
pub use pool::{PoolReport, mean_to_pool};
pub use prune::{
    Consumer, Elimination, Family, Groups, Kept, Product, Score, Slice, eliminate, kept, products, remove, share,
};
pub use quantize::{
    Affine, ChannelAxis, Gram, Mean, QuantizeReport, Scheme, Selection, Tuning, Written, bias_shift, quantize,
    round_layer, select, shift_bias,
};
use remove_dead::drop_dead;
pub use remove_dead::{DeadReport, remove_dead};
pub use remove_noops::{NoopReport, remove_noops};
pub use sparsify::{Zeros, sparsify};
pub use unfold_batch_norm::{Spread, unfold_batch_norm, without_norm};
pub use upgrade::{UpgradeReport, upgrade};
pub use weight_only::{WeightOnlyReport, weight_only};
