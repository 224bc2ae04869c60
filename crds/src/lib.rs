//! The API of Drydock: `ModelDeployment`, `drydock.dev/v1alpha1`.
//!
//! Validation is CEL in the schema and defaults are in the schema, so that there is no admission webhook
//! (docs/adr/0003-no-webhook.md). `yaml/` is generated from these types by `make gen`.

mod ab_test;
mod artifact_store;
mod conditions;
mod control;
mod external;
mod feedback;
mod gateway;
mod manifest;
mod model_deployment;
mod optimization;
mod quantity;
mod record;
mod rollout;
mod search;
mod serving;
mod source;
mod status;
mod strategy;

pub use ab_test::{AbTest, OnNoWinner, OnWinner};
pub use artifact_store::{AccessMode, ArtifactStore};
pub use conditions::{ConditionType, Reason};
pub use control::{Control, SaidBy};
pub use external::{CheckJob, ExternalMetric, PrometheusQuery, WebHook};
pub use feedback::{Better, FeedbackMetric, Tolerance};
pub use gateway::{Gateway, ParentKind, ParentRef, RouteParents, Router};
pub use manifest::{crd_yaml, generated};
pub use model_deployment::{Model, ModelDeployment, ModelDeploymentSpec};
// What the optimizer's search compares by is in the contract; it is a part of the API all the same.
pub use drydock_contract::Objective;
pub use optimization::{CandidateFallback, Dataset, FurtherModel, Gates, Optimization};
pub use quantity::Amount;
pub use record::{Decided, Decision, RECORD_ANNOTATION, Record, Unrecorded};
pub use rollout::{Analysis, CanaryStep, OnNotEnoughEvidence, Rollout};
pub use search::Search;
pub use serving::{Autoscaling, Batching, PodTemplate, Resources, Serving};
pub use source::{ImageSource, Source, UrlSource, VolumeSource};
pub use status::{
    AbTestStatus, AnalysisStatus, CandidateState, CandidateStatus, FailedRevision, GatewayStatus, Metric,
    MetricOutcome, MetricStatus, ModelDeploymentStatus, OptimizationStatus, Phase, RevisionStatus, RolloutStage,
    RolloutStatus, TrackStatus, Winner,
};
pub use strategy::{BlueGreen, RequestKey, RequestMatch, Shadow, Strategy};
