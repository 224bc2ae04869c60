//! Finds a recipe within a time budget.
//!
//! ```text
//!  space ─▶ make ─▶ measure on few images ─▶ drop what has surely lost ─▶ … on more ─▶ … on all ─▶ choose ─▶ publish
//!  recipes  workshop  estimate               halving
//! ```
//!
//! Everything but [`run`], the workshop and the bench is pure; time is an argument.

mod answered;
mod bench;
mod budget;
mod estimate;
mod halving;
mod lessons;
mod prefixes;
mod record;
mod run;
mod space;
mod trial;
mod verdict;
mod workshop;

pub use estimate::{Bounds, Estimate};
pub use record::{Record, Tried};
pub use run::run;
pub use verdict::Verdict;
