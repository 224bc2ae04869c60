use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use drydock_contract::{Digest, Target};

use crate::backend::{ExecutionProvider, Options, Provider};
use crate::budget::Budget;
use crate::package::{self, PackageError};
use crate::profile::{self, Plan, Profile};
use crate::queue::Batching;
use crate::{cores, memory};

#[derive(Debug, Parser)]
#[command(name = "inference-sidecar", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve one model package until SIGTERM.
    Serve(Box<Config>),
}

const UNLIMITED: usize = 256 << 20;

/// The operator gives a pod twice what the model takes, and some: of a quarter, the engine's copies and the answers have
/// their place beside the model too.
fn bytes_in_flight(memory_limit: Option<usize>) -> usize {
    memory_limit.map_or(UNLIMITED, |limit| limit / 4)
}

/// Every flag can come from the environment too.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Directory of the model package: package.json and model.onnx.
    #[arg(long, env = "DRYDOCK_PACKAGE")]
    pub package: PathBuf,

    /// Digest of the package; any other package is refused.
    #[arg(long, env = "DRYDOCK_DIGEST", required_unless_present = "digest_file")]
    pub digest: Option<Digest>,

    /// File with the digest, in the place of --digest. On SIGHUP it is read again, and the package that it names is served in the place
    /// of the one before, without a break.
    #[arg(long, env = "DRYDOCK_DIGEST_FILE", conflicts_with_all = ["digest", "revision"])]
    pub digest_file: Option<PathBuf>,

    /// Name of the model in paths and messages.
    #[arg(long, env = "DRYDOCK_MODEL_NAME")]
    pub model_name: String,

    /// Revision of the ModelDeployment that this pod is; the model's version. Default: 12 digits of the digest.
    #[arg(long, env = "DRYDOCK_REVISION")]
    pub revision: Option<String>,

    /// Address to listen on; `::` for IPv6 and dual-stack clusters.
    #[arg(long, env = "DRYDOCK_ADDRESS", default_value = "0.0.0.0")]
    pub address: IpAddr,

    #[arg(long, env = "DRYDOCK_HTTP_PORT", default_value_t = 8080)]
    pub http_port: u16,

    #[arg(long, env = "DRYDOCK_GRPC_PORT", default_value_t = 8081)]
    pub grpc_port: u16,

    /// Metrics and the split's counts.
    #[arg(long, env = "DRYDOCK_ADMIN_PORT", default_value_t = 8082)]
    pub admin_port: u16,

    /// File with the split in force, as JSON; read again when it changes.
    #[arg(long, env = "DRYDOCK_SPLIT_FILE")]
    pub split_file: Option<PathBuf>,

    /// Where HTTP requests of the canary's share go: http://host:port.
    #[arg(long, env = "DRYDOCK_CANARY_HTTP")]
    pub canary_http: Option<String>,

    /// Where gRPC requests of the canary's share go: http://host:port.
    #[arg(long, env = "DRYDOCK_CANARY_GRPC")]
    pub canary_grpc: Option<String>,

    /// Larger requests are refused with 400.
    #[arg(long, env = "DRYDOCK_MAX_BODY_BYTES", default_value_t = 16 << 20)]
    pub max_body_bytes: usize,

    /// Bytes that the bodies of all requests in progress, and the tensors read from them, may hold together; what comes
    /// beyond is refused with 429. Default: a quarter of the cgroup's memory limit, or 256 MiB where there is none.
    #[arg(long, env = "DRYDOCK_MAX_BYTES_IN_FLIGHT")]
    pub max_bytes_in_flight: Option<usize>,

    /// Rows of one request (its first dimension, where the model leaves that open); more are refused with 400.
    #[arg(long, env = "DRYDOCK_MAX_ROWS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rows: u32,

    /// Rows that requests waiting together may be joined to; 1: each alone. It is fewer where the measurement before the server is ready
    /// says that more do not pay. Needs a model with an open first dimension.
    #[arg(long, env = "DRYDOCK_BATCH_MAX_SIZE", default_value_t = 1)]
    pub batch_max_size: usize,

    /// How long the first request of a batch waits for others.
    #[arg(long, env = "DRYDOCK_BATCH_MAX_DELAY_MILLISECONDS", default_value_t = 0)]
    pub batch_max_delay_milliseconds: u64,

    /// What the cores of the cgroup are for: `throughput`, a session of one thread on each; `latency`, one session with all; `auto`, the
    /// latter where a short measurement before the server is ready says that it gives nearly as many answers.
    #[arg(long, env = "DRYDOCK_PROFILE", value_enum, default_value_t = Profile::Auto)]
    pub profile: Profile,

    /// Threads of one inference, in the place of what the profile says.
    #[arg(long, env = "DRYDOCK_THREADS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Inferences at one time, each with its own copy of the model, in the place of what the profile says: cores / threads, where only
    /// those are given.
    #[arg(long, env = "DRYDOCK_SESSIONS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub sessions: Option<u16>,

    /// A page at `/` where a person drops an image and sees the answer. For trying out: it is off unless asked for.
    #[arg(long, env = "DRYDOCK_PAGE", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub page: bool,

    /// Requests that may wait; more are refused with 429. The default is half a second of 500 requests a second: less would
    /// turn a short burst, or the wait for one more pod, into errors. What they hold is bounded by --max-bytes-in-flight.
    #[arg(long, env = "DRYDOCK_QUEUE_SIZE", default_value_t = 256)]
    pub queue_size: u16,

    /// How long requests may have to wait for a session, by what the last ones took; who would wait longer, or longer than three quarters of what its
    /// deadline leaves, is refused with 429 at once. Many a client that says nothing of a deadline waits for 30 s; with less, a burst to a slow
    /// model would be refused in part.
    #[arg(long, env = "DRYDOCK_MAX_WAIT_MILLISECONDS", default_value_t = 10_000)]
    pub max_wait_milliseconds: u64,

    /// Connections that may be open, to the HTTP and the gRPC port together. The next ones are answered 503,
    /// RESOURCE_EXHAUSTED, and closed. Less where the process may not have so many file descriptors and 256 more.
    #[arg(long, env = "DRYDOCK_MAX_CONNECTIONS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// How long an HTTP/1.1 connection may go without a whole request's head before it is closed. Longer than clients and
    /// load balancers keep an idle connection, or they send requests on one that is being closed: Go and reqwest 90 s, AWS's
    /// ALB and nginx 60 s. Google's load balancer keeps its own for 600 s: behind it, say 620.
    #[arg(long, env = "DRYDOCK_KEEP_ALIVE_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub keep_alive_seconds: u64,

    /// How long requests are still taken after SIGTERM, until the Services have forgotten this pod.
    #[arg(long, env = "DRYDOCK_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,

    /// Who computes. `auto`: what the package's target names (docs/targets.md), else the CPU. One that the library has not is an error.
    #[arg(long, env = "DRYDOCK_EXECUTION_PROVIDER", value_enum, default_value_t = ExecutionProvider::Auto)]
    pub execution_provider: ExecutionProvider,

    /// OpenVINO's device: CPU, GPU, NPU, AUTO.
    #[arg(long, env = "DRYDOCK_OPENVINO_DEVICE", default_value = "CPU")]
    pub openvino_device: String,

    /// The ONNX Runtime library.
    #[arg(long, env = "ORT_DYLIB_PATH", default_value = "libonnxruntime.so")]
    pub onnxruntime: PathBuf,

    /// Where the reason goes if the server cannot start; written only if the file exists.
    #[arg(long, env = "DRYDOCK_TERMINATION_LOG", default_value = "/dev/termination-log")]
    pub termination_log: PathBuf,
}

impl Config {
    pub(crate) fn revision(&self, digest: &Digest) -> String {
        self.revision.clone().filter(|r| !r.is_empty()).unwrap_or_else(|| digest.short().to_owned())
    }

    /// Which package is to be served, as it stands now.
    pub(crate) fn expected(&self) -> Result<Digest, PackageError> {
        match (&self.digest, &self.digest_file) {
            (Some(digest), _) => Ok(digest.clone()),
            (None, Some(file)) => package::read_digest(file),
            (None, None) => unreachable!("one of both is required"),
        }
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.max_bytes_in_flight.unwrap_or_else(|| bytes_in_flight(memory::limit())))
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds)
    }

    pub(crate) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_milliseconds)
    }

    pub(crate) fn engine(&self, target: Option<Target>) -> Options {
        let (library, openvino_device) = (self.onnxruntime.clone(), self.openvino_device.clone());
        Options { library, provider: self.execution_provider, target, openvino_device }
    }

    pub(crate) fn plan(&self, provider: Provider) -> Plan {
        // On an accelerator the processor's cores have no part in it.
        let cores = if provider.is_on_cpu() { cores::available() } else { 1 };
        profile::plan(self.profile, cores, self.sessions.map(usize::from), self.threads.map(usize::from))
    }

    pub(crate) fn batching(&self) -> Option<Batching> {
        let max_delay = Duration::from_millis(self.batch_max_delay_milliseconds);
        (self.batch_max_size > 1).then_some(Batching { max_size: self.batch_max_size, max_delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_limit_bounds_what_is_in_flight() {
        for (limit, expected) in [(Some(128 << 20), 32 << 20), (None, 256 << 20)] {
            assert_eq!(bytes_in_flight(limit), expected, "{limit:?}");
        }
    }
}
