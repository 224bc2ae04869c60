use std::path::PathBuf;

use drydock_operator::{ClusterError, Target};

use crate::images::UnknownImages;
use crate::manifest::BadManifest;
use crate::word::Refusal;

/// What was found, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no cluster: {0}; name one with --kubeconfig, --context or KUBECONFIG")]
    NoCluster(String),
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    #[error(
        "the cluster has no ModelDeployments (drydock.dev/v1alpha1): install Drydock (charts/drydock), or name another --context"
    )]
    NoCrd,
    #[error("there is no ModelDeployment {target}{others}")]
    NoObject { target: Target, others: String },
    #[error("ModelDeployment {0} is of another version than this plugin: {1}")]
    Unreadable(Target, #[source] serde_json::Error),
    #[error("{0}")]
    Refusal(#[from] Refusal),
    #[error("{}: {source}", .file.display())]
    File {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: {source}", .file.display())]
    Manifest {
        file: PathBuf,
        #[source]
        source: BadManifest,
    },
    #[error("the API server would refuse it: {0}")]
    Invalid(#[source] ClusterError),
    #[error("{0}")]
    UnknownImages(#[from] UnknownImages),
    #[error("the operator has not taken {0} out of its memory within {1} seconds: does it run? Nothing was said anew")]
    NotForgotten(&'static str, u64),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        ClusterError::from(error).into()
    }
}
