//! Low rank: a layer becomes two smaller ones.

mod rank;
mod rewrite;

pub use rank::{Candidate, Choice, choose};
pub use rewrite::{set_weights, split};
