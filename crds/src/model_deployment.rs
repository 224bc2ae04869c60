use drydock_contract::{Detection, Preprocessing};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{ArtifactStore, ModelDeploymentStatus, Optimization, Rollout, Serving, Source};

/// A trained ONNX model, how to make it better, and how to serve it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "drydock.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    plural = "modeldeployments",
    shortname = "mdep",
    category = "all",
    namespaced,
    status = "ModelDeploymentStatus",
    derive = "PartialEq",
    doc = "A trained ONNX model that Drydock optimizes, serves, scales and rolls out.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Candidate", type_ = "string", json_path = ".status.candidate"),
    printcolumn(name = "Accuracy", type_ = "string", json_path = ".status.accuracyChange"),
    printcolumn(name = "Speedup", type_ = "string", json_path = ".status.speedup"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.sizeRatio"),
    printcolumn(name = "Canary", type_ = "string", json_path = ".status.canaryWeight"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name names Services and pods: at most 40 characters, a-z, 0-9 and '-', beginning with a letter and not ending with '-'"),
    validation = Rule::new("!has(self.spec.model.detection) || !has(self.spec.optimization) || !has(self.spec.optimization.recipes) || self.spec.optimization.recipes.all(r, r.techniques.all(t, !has(t.distill) || t.distill.labels == 0.0))")
        .message("distill.labels is for classifiers: leave it out where model.detection is set, and what the original answers is learned"),
    validation = Rule::new("!self.metadata.name.endsWith('-canary')")
        .message("metadata.name must not end with '-canary': 'x-canary' is a Service of 'x'; write it another way, 'canary-x' say"),
    // Younger than the API: what was there before has a status, which nobody can create.
    validation = Rule::new("has(self.status) || !self.metadata.name.endsWith('-preview')")
        .message("metadata.name must not end with '-preview': 'x-preview' is a Service of 'x'; write it another way, 'preview-x' say"),
    validation = Rule::new("!has(self.spec.rollout.gateway) || ((!has(self.spec.rollout.gateway.http) || self.spec.rollout.gateway.http.parentRefs.all(r, r.kind != 'Service' || r.name == self.metadata.name)) && (!has(self.spec.rollout.gateway.grpc) || self.spec.rollout.gateway.grpc.parentRefs.all(r, r.kind != 'Service' || r.name == self.metadata.name)))")
        .message("rollout.gateway: a parent of kind Service is the ModelDeployment's own, so its name is metadata.name"),
)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentSpec {
    /// Freezes the optimization and the rollout where they are; what is served stays served.
    #[serde(default)]
    pub suspend: bool,
    pub model: Model,
    /// How to make candidates of the model and which of them to keep; without it the model is served as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimization: Option<Optimization>,
    #[serde(default)]
    pub serving: Serving,
    #[serde(default)]
    pub rollout: Rollout,
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("artifactStore cannot change while the ModelDeployment exists: delete it and create it again, or use another name"))]
    pub artifact_store: ArtifactStore,
}

/// The trained model.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.preprocessing) || !has(self.preprocessing.std) || self.preprocessing.std.all(s, s > 0.0)")
    .message("preprocessing.std divides: every value must be over 0; leave std out to divide by 1"))]
#[x_kube(validation = Rule::new("!has(self.preprocessing) || !has(self.preprocessing.resize) || (has(self.preprocessing.resize.shorterSide) ? !has(self.preprocessing.resize.width) && !has(self.preprocessing.resize.height) : has(self.preprocessing.resize.width) && has(self.preprocessing.resize.height))")
    .message("preprocessing.resize takes shorterSide alone, or both width and height"))]
#[x_kube(validation = Rule::new("!has(self.preprocessing) || !has(self.preprocessing.resize) || !has(self.preprocessing.resize.letterbox) || has(self.preprocessing.resize.width)")
    .message("preprocessing.resize.letterbox takes width and height, which it fills up"))]
pub struct Model {
    /// Where the ONNX file is.
    pub source: Source,
    /// How raw data becomes the model's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// Class names, by index of the model's first output, or of a detector's classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100_000))]
    pub labels: Vec<String>,
    /// The model is a detector; `{}` where its outputs tell how boxes lie in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detection>,
}
