use std::time::Duration;

use http::StatusCode;
use tonic::Code;

use crate::backend::BackendError;
use crate::encoding::ACCEPTED;
use crate::package::PackageError;

/// Characters of a message's beginning and end that are told, where it is longer.
const HALF: usize = 250;

/// Why a request got no answer from the model. One place maps it to each protocol's status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The message names what was found and what was expected.
    #[error("{0}")]
    Invalid(String),
    #[error("no model {found:?} here; expected {expected:?}")]
    UnknownModel { found: String, expected: String },
    #[error("model {model:?} has no version {found:?}; expected {expected:?}, or none")]
    UnknownVersion { model: String, found: String, expected: String },
    #[error("no answer is of revision {found:?} now; expected one of {expected}, as the header drydock-revision said")]
    UnknownRevision { found: String, expected: String },
    #[error("the body is larger than {limit} bytes; send less, or raise --max-body-bytes")]
    TooLarge { limit: usize },
    #[error(
        "the body and the tensors in it take {needed} bytes of memory, of {limit} for all requests in progress; \
             send less, or raise --max-bytes-in-flight"
    )]
    TooMuchMemory { needed: usize, limit: usize },
    #[error("encoding {0:?} is not supported; expected one of {ACCEPTED}, or the body as it is")]
    Encoded(String),
    #[error("the body did not arrive within {seconds} s")]
    SlowBody { seconds: u64 },
    #[error("the request's deadline has passed; expected an answer sooner than there is one")]
    Deadline,
    #[error("{limit} requests are in progress or waiting already; try again later")]
    Overloaded { limit: usize },
    #[error("the request would wait for {} ms, and has {} ms for that; try again later, here or at another pod", .wait.as_millis(), .limit.as_millis())]
    TooLong { wait: Duration, limit: Duration },
    #[error("{limit} connections are open already; try again later, here or at another pod")]
    TooManyConnections { limit: u32 },
    #[error("requests in progress hold what they may of {limit} bytes of memory; try again later")]
    OutOfMemory { limit: usize },
    #[error("the model failed on this request: {0}")]
    Engine(String),
    #[error("the engine has no session, and is opening one; try again later")]
    NoSession,
    #[error("the server is stopping")]
    Stopping,
}

impl ServeError {
    pub fn status(&self) -> StatusCode {
        self.statuses().0
    }

    pub fn code(&self) -> Code {
        self.statuses().1
    }

    /// What the client is told. Names that it sent are in it, and a gRPC status has to fit into a header.
    pub(crate) fn told(&self) -> String {
        let text = self.to_string();
        let length = text.chars().count();
        if length <= 2 * HALF {
            return text;
        }
        let (first, last) = (text.chars().take(HALF), text.chars().skip(length - HALF));
        first.chain(['…']).chain(last).collect()
    }

    /// Whether the same request may be answered a little later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. }
                | Self::TooLong { .. }
                | Self::OutOfMemory { .. }
                | Self::TooManyConnections { .. }
                | Self::NoSession
        )
    }

    fn statuses(&self) -> (StatusCode, Code) {
        match self {
            Self::Invalid(_) | Self::TooLarge { .. } | Self::TooMuchMemory { .. } => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::UnknownModel { .. } | Self::UnknownVersion { .. } | Self::UnknownRevision { .. } => {
                (StatusCode::NOT_FOUND, Code::NotFound)
            }
            Self::Encoded(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented),
            Self::SlowBody { .. } => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Self::Overloaded { .. } | Self::TooLong { .. } | Self::OutOfMemory { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
            }
            Self::TooManyConnections { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted),
            Self::Deadline => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
            Self::Engine(_) => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
            Self::NoSession | Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        }
    }
}

/// Why the server does not start. Written for the termination message: found, expected, what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Package(#[from] PackageError),
    #[error("{0}")]
    Engine(#[from] crate::backend::BackendError),
    #[error("the model's {side} are {found}, but the package's manifest says {expected}; optimize the model again")]
    Signature { side: &'static str, found: String, expected: String },
    #[error("{0}; optimize the model again")]
    Detection(#[from] drydock_detection::DetectionError),
    #[error("the model failed on an input of zeros: {0}; check that it runs in ONNX Runtime at all")]
    WarmUp(String),
    #[error("cannot listen on {address}: {source}; another container of the pod may hold the port")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("cannot start a worker thread: {0}")]
    Thread(std::io::Error),
    #[error("{0:?} is no address of a canary: {1}; expected http://host:port")]
    Canary(String, String),
}

impl StartError {
    /// sysexits(3): 65 `EX_DATAERR` where no restart can help, else 75 `EX_TEMPFAIL`.
    pub fn exit_code(&self) -> u8 {
        match self {
            // Another library, or another wish.
            Self::Engine(BackendError::Provider { .. }) => 65,
            // Of a package that was written to meanwhile too: the next attempt finds it whole.
            Self::Package(PackageError::Read { .. } | PackageError::Changed { .. })
            | Self::Engine(_)
            | Self::Listen { .. }
            | Self::Thread(_) => 75,
            Self::Package(_) | Self::Detection(_) | Self::Signature { .. } | Self::WarmUp(_) | Self::Canary(..) => 65,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let path = PathBuf::from("model.onnx");
        let read = || std::io::Error::other("no");
        for (error, code) in [
            (PackageError::Read { path: path.clone(), source: read() }.into(), 75),
            (PackageError::Changed { path: path.clone() }.into(), 75),
            (PackageError::Schema { found: 9 }.into(), 65),
            (PackageError::External { path: path.clone(), tensor: "w".into() }.into(), 65),
            (PackageError::DigestFile { path, found: "r2".into() }.into(), 65),
            (BackendError::Load("no".into()).into(), 75),
            (StartError::Thread(read()), 75),
            (StartError::WarmUp("no".into()), 65),
        ] {
            let error: StartError = error;
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }

    #[test]
    fn both_ends_of_a_long_message_are_told() {
        let e = ServeError::UnknownModel { found: "é".repeat(1 << 20), expected: "fashion".into() };
        let told = e.told();
        assert!(told.starts_with("no model \"é") && told.ends_with("é\" here; expected \"fashion\""), "{told}");
        assert_eq!(told.chars().count(), 2 * HALF + 1);
        assert_eq!(ServeError::Stopping.told(), "the server is stopping");
    }
}
