//! The traffic splitter of a stable pod.
//!
//! ```text
//!  request ─▶ match, hash or rotation ──no──▶ stable model ─▶ answer ─▶ (some: a copy to the canary, to compare)
//!                 │yes
//!                 ▼
//!              canary ──OK──▶ answer ─▶ (some: stable model too, to compare)
//!                 │failed
//!                 ▼
//!            stable model ─▶ answer, and the failure counts against the canary
//!
//!  nobody asks for a while ─▶ recorded input ─▶ stable model ─OK─▶ canary; counted apart
//! ```

mod exchange;
mod grpc;
mod http;
mod key;
mod rotation;
mod synthetic;
mod tolerance;
mod watch;
mod window;

use std::time::Duration;

pub(crate) use exchange::{Exchange, answer};
pub(crate) use grpc::GrpcCanary;
pub use grpc::was_never_sent;
pub(crate) use http::HttpCanary;
pub(crate) use synthetic::send_synthetic;
pub(crate) use watch::watch;
pub(crate) use window::Splitter;

/// A request with this header or metadata came from another sidecar, and is never sent on again.
pub(crate) const HOP_HEADER: &str = "drydock-hop";
/// A pod that does not even take a connection within this time is given up, and the next connection asks for another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A larger answer of the canary is a failure.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why the canary's answer could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it broke.
    Unreachable,
    /// It answered that it failed.
    Error,
    Timeout,
    /// It answered something else than the model's outputs.
    Form,
}

impl Failure {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Form => "form",
        }
    }
}
