use drydock_contract::{Failure, FailureReason};

use crate::dataset::DatasetError;
use crate::engine::EngineError;
use crate::fetch::FetchError;
use crate::onnx::ModelError;
use crate::store::StoreError;

/// Everything that ends a run, each with the reason that the operator is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the recipe's result is not usable: {0}")]
    Candidate(#[source] EngineError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Recipe(String),
    #[error("{0}")]
    Task(String),
    #[error("the recipe reads calibration data and the task has no data set")]
    NoDataset,
    #[error("output {output:?} has shape {found:?}; top-1 accuracy needs (N, classes)")]
    NotClassifier { output: String, found: Vec<i64> },
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Model(_)
            | Self::NotClassifier { .. }
            | Self::Engine(EngineError::Load(_) | EngineError::Run(_) | EngineError::Output { .. }) => {
                FailureReason::InvalidModel
            }
            Self::Dataset(_) | Self::NoDataset => FailureReason::InvalidDataset,
            Self::Engine(EngineError::NoLibrary | EngineError::Library { .. }) | Self::Internal(_) => {
                FailureReason::Internal
            }
            Self::Recipe(_) | Self::Candidate(_) => FailureReason::InvalidRecipe,
            Self::Task(_) => FailureReason::InvalidTask,
            Self::Fetch(e) => e.reason(),
            Self::Store(_) => FailureReason::StoreUnavailable,
        }
    }

    pub fn failure(&self) -> Failure {
        Failure { reason: self.reason(), message: self.to_string() }
    }
}
