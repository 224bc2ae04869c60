//! `kubectl drydock`: a plugin of kubectl.
//!
//! ```text
//! args ─▶ run ─▶ read the cluster ─▶ tree, why, forecast: objects in, text out
//!                                  ▶ word: objects in, a patch of spec.rollout.control out
//! ```
//!
//! `run` and `shell` are all of the I/O. What is read is read as the operator reads it, and what would be done is asked of the
//! operator's own planner.

mod args;
mod connect;
mod error;
mod forecast;
mod images;
mod manifest;
mod revisions;
mod run;
mod shell;
mod tell;
mod tree;
mod wait;
mod why;
mod word;

pub use args::Args;
pub use error::Error;
pub use run::{Outcome, run};

#[cfg(test)]
mod samples;
