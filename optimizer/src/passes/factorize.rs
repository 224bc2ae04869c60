//! Low rank: a layer becomes two or three smaller ones.

mod choose;
mod decompose;
mod rewrite;
mod size;

pub use choose::{Candidate, Choice, Split, choose};
pub(super) use decompose::decompose;
pub use decompose::{Factors, kept_variance, project};
pub use rewrite::{set_weights, split};
pub use size::{LayerSize, RankError};
