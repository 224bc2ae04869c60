//! The operator's shell: it watches ModelDeployments, reads what is there, lets `drydock-operator-core` decide, and
//! writes what was decided.
//!
//! ```text
//! watch ─▶ observe ─▶ resolve ─▶ plan ─▶ apply ─▶ status ─▶ publish ─▶ wake
//!          I/O read   core       core    I/O write  core     I/O write
//! ```
//!
//! `reconcile` is the pipe, `cluster` the edge that all its I/O passes, `run` what surrounds it: election, HTTP, signals.
//! `kubectl drydock` reads with the same `observe`.

mod admin;
mod apply;
mod backoff;
mod claim;
mod cluster;
mod config;
mod gateway_api;
mod index;
mod lease;
mod metrics;
mod named;
mod observe;
mod publish;
mod reconcile;
mod run;
mod seen;
mod shard;
mod sources;
mod target;
mod telemetry;
mod watch;

pub use cluster::{ClusterError, Kind, Kubernetes, ReadCluster};
pub use config::{Config, LeaseName};
pub use observe::observe;
pub use run::run;
pub use shard::Shard;
pub use sources::Hosts;
pub use target::Target;
pub use telemetry::init as init_telemetry;

#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
