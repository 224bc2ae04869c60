use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Of everything that we make: the ModelDeployment's name.
pub const NAME: &str = "drydock.dev/name";
/// Of everything that serves.
pub const REVISION: &str = "drydock.dev/revision";
/// Hash of the object as it was applied.
pub const APPLIED: &str = "drydock.dev/applied";
/// Of a serving Deployment: its [`crate::revision::RevisionTemplate`], should the ControllerRevision be lost.
pub const TEMPLATE: &str = "drydock.dev/revision-template";
/// Of a Job's pod.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Of a Deployment's pod; its ReplicaSet's name ends with it.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Of a Job's pod.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    Optimization,
    Serving,
    /// What is asked of a canary by a Job.
    Check,
}

impl Component {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Optimization => "optimization",
            Self::Serving => "serving",
            Self::Check => "check",
        }
    }
}

pub fn labels(md: &str, component: Component) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "drydock"),
        ("app.kubernetes.io/instance", md),
        ("app.kubernetes.io/component", component.as_str()),
        ("app.kubernetes.io/part-of", "drydock"),
        ("app.kubernetes.io/managed-by", "drydock"),
        (NAME, md),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into()
}

pub fn serving_labels(md: &str, revision: &str) -> BTreeMap<String, String> {
    let mut labels = labels(md, Component::Serving);
    labels.insert(REVISION.to_owned(), revision.to_owned());
    labels
}

/// The pods of one revision.
pub fn revision_selector(md: &str, revision: &str) -> BTreeMap<String, String> {
    [(NAME, md), (REVISION, revision)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// Whether the object's controller is the owner with this uid.
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    let owners: &[OwnerReference] = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|o| o.controller == Some(true) && o.uid == uid)
}

/// A label's value.
pub fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation's value.
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
