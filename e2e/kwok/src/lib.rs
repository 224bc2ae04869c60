//! A real API server whose nodes are kwok's (`e2e/kwok/control-plane`), and what is done to the operator on it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

pub mod clock;
pub mod ground;
pub mod operator;
pub mod process;
pub mod proxy;
pub mod sidecars;
