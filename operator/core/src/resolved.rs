use std::collections::BTreeMap;

use drydock_contract::{Limits, Objective, Task};
use drydock_crds::{ArtifactStore, Autoscaling, CandidateFallback, Rollout};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::revision::Overlay;
use crate::rollout::{Rules, Step};

/// What the operator was installed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    pub optimizer_image: String,
    pub sidecar_image: String,
    pub image_pull_policy: Option<String>,
}

/// A ModelDeployment that can be worked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub name: String,
    pub namespace: String,
    /// The reference that makes the ModelDeployment the controller of a child.
    pub owner: OwnerReference,
    pub suspend: bool,
    pub optimization: OptimizationWork,
    pub selection: SelectionRules,
    pub serving: ServingWish,
    pub rollout: Rollout,
    /// The steps that `rollout` asks for.
    pub course: Vec<Step>,
    pub store: ArtifactStore,
}

impl Resolved {
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules { policy: &self.rollout, course: &self.course }
    }
}

/// Everything that the results of an optimization Job depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizationWork {
    /// Hash of the rest; names the Job.
    pub hash: String,
    pub task: Task,
    /// The task as the Job gets it.
    pub task_json: String,
    /// Name (`model`) to what is mounted under that name.
    pub mounts: BTreeMap<String, Mount>,
    pub image: String,
    pub image_pull_policy: Option<String>,
    pub resources: ResourceRequirements,
    /// The time budget of a search included.
    pub deadline_seconds: i64,
}

/// Where a file that the pod mounts comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    Claim(String),
    Image(String),
}

/// What decides between candidates that are measured already.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectionRules {
    pub limits: Limits,
    pub objective: Objective,
    pub fallback: CandidateFallback,
}

/// What the spec says of serving.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingWish {
    pub replicas: Replicas,
    pub image: String,
    pub image_pull_policy: Option<String>,
    /// `None`: from what was measured.
    pub resources: Option<ResourceRequirements>,
    pub batching: Option<crate::revision::BatchingTemplate>,
    pub overlay: Option<Overlay>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replicas {
    Fixed(i32),
    Automatic(Autoscaling),
    /// The spec does not say: however many there are.
    Unknown,
}
