//! The server that every serving pod runs: one model package over the Open Inference Protocol, and, in a stable pod, the
//! splitter that sends a share of the requests to the canary.
//!
//! ```text
//!  http ─┐                               ┌─▶ stable: serve ─▶ queue ─▶ backend (ONNX Runtime)
//!        ├─▶ split (whose turn is it?) ──┤
//!  grpc ─┘                               └─▶ canary: the same request, sent on
//! ```

mod admin;
mod backend;
mod body;
mod budget;
mod classification;
mod config;
mod connection;
mod cores;
mod deadline;
mod descriptors;
mod detection;
mod element;
mod encoding;
mod error;
mod feedback;
mod graph;
mod grpc;
mod http;
mod images;
mod lifecycle;
mod load;
mod memory;
mod metrics;
mod oip;
mod package;
mod predict;
mod profile;
mod queue;
mod run;
mod samples;
mod serve;
mod split;
mod statistics;
mod strings;
mod tensor;
#[cfg(test)]
mod test_support;
#[doc(hidden)]
pub mod untrusted;

pub use backend::{BackendError, ExecutionProvider};
pub use config::{Cli, Command, Config};
pub use error::{ServeError, StartError};
pub use grpc::proto;
pub use lifecycle::{Lifecycle, Phase};
pub use package::PackageError;
pub use profile::Profile;
pub use run::{Server, run};
pub use split::was_never_sent;
