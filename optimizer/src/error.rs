use std::io::ErrorKind;
use std::path::PathBuf;

use drydock_contract::{Failure, FailureReason};
use drydock_detection::DetectionError;

use crate::dataset::DatasetError;
use crate::engine::EngineError;
use crate::fetch::FetchError;
use crate::interrupt::Interrupted;
use crate::onnx::ModelError;
use crate::report::PackageError;
use crate::store::StoreError;
use crate::train::TrainError;

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
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("{0}")]
    Recipe(String),
    #[error(
        "a search needs {needed} seconds or more for one candidate of this model, measured on {images} images; found a time \
         budget of {given}"
    )]
    TimeBudget { needed: u64, given: u64, images: usize },
    #[error("{0}")]
    Task(String),
    #[error("the recipe reads calibration data and the task has no data set")]
    NoDataset,
    #[error(
        "{shared} of {images} images of {} are in the calibration data too, the first at {first}; expected none, or \
         the accuracy is measured on what the candidate was made with",
        evaluation.display()
    )]
    SharedImages { evaluation: PathBuf, shared: u64, images: u64, first: String },
    #[error("the candidate gives {candidate} numbers for an image; expected {original}, as the original gives")]
    Classes { original: usize, candidate: usize },
    #[error(
        "output {output:?} has shape {found:?}; top-1 accuracy needs (N, classes), and a comparison place by place (N, classes, height, width) \
         and images without labels"
    )]
    NotClassifier { output: String, found: Vec<i64> },
    #[error(transparent)]
    Detection(#[from] DetectionError),
    #[error(
        "{what} learns from one class for each image; expected a classifier, found a detector (detection is set): leave it out, and what the \
         original answers is learned"
    )]
    NoClasses { what: &'static str },
    #[error(
        "detectors are compared by what their last layers give, and this one has none before boxes are picked; expected a Conv, Gemm or \
         MatMul with constant float32 weights there: leave out distill, minSqnr and the importance Taylor"
    )]
    NoHeads,
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error("cannot write {what}: {source}")]
    Write { what: String, source: std::io::Error },
    #[error("{0}")]
    Internal(String),
}

/// No room on the disk, or none left of the quota.
pub(crate) fn is_full(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl Error {
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Model(_)
            | Self::Package(_)
            | Self::NotClassifier { .. }
            | Self::Detection(_)
            | Self::Engine(EngineError::Load(_) | EngineError::Run(_) | EngineError::Output { .. }) => {
                FailureReason::InvalidModel
            }
            Self::Interrupted(_) | Self::Dataset(DatasetError::Interrupted(_)) => FailureReason::Interrupted,
            // What it is now may be a good data set: a writer was at work.
            Self::Dataset(DatasetError::Changed { .. }) => FailureReason::SourceUnreachable,
            Self::Dataset(_) | Self::NoDataset | Self::SharedImages { .. } => FailureReason::InvalidDataset,
            Self::Write { source, .. } if is_full(source) => FailureReason::DiskFull,
            Self::Engine(EngineError::NoLibrary | EngineError::Library { .. })
            | Self::Write { .. }
            | Self::Internal(_) => FailureReason::Internal,
            Self::Recipe(_) | Self::NoClasses { .. } | Self::NoHeads | Self::Candidate(_) | Self::Classes { .. } => {
                FailureReason::InvalidRecipe
            }
            Self::TimeBudget { .. } => FailureReason::TimeBudgetTooShort,
            Self::Task(_) => FailureReason::InvalidTask,
            Self::Fetch(e) => e.reason(),
            Self::Store(e) => e.reason(),
        }
    }

    pub fn failure(&self) -> Failure {
        Failure { reason: self.reason(), message: self.to_string() }
    }
}

impl From<TrainError> for Error {
    fn from(e: TrainError) -> Self {
        match e {
            TrainError::Model(e) => Self::Model(e),
            TrainError::Engine(e) => Self::Engine(e),
            TrainError::Data(e) => Self::Dataset(e),
            TrainError::Interrupted(e) => Self::Interrupted(e),
            other => Self::Recipe(format!("distill: {other}")),
        }
    }
}
