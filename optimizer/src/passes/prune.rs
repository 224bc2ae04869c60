//! Taking out channels: which belong together, which matter least, and the smaller model.

mod eliminate;
mod groups;
mod remove;
mod rules;
mod share;

pub use eliminate::{Consumer, Elimination, Score, eliminate};
pub use groups::{Family, Groups, Slice};
pub use remove::{Kept, kept, remove};
pub use share::{Product, products, share};
