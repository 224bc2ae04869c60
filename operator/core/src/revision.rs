use std::collections::BTreeMap;

use drydock_crds::RevisionStatus;
use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hash::hash;

/// Everything that shapes the serving pods of a revision, kept in its ControllerRevision: a revision's Deployment can be made
/// again from it alone, long after the spec has moved on.
///
/// A field that is added later must be left out where it has its default, or every revision gets another name, and every
/// model a rollout, when the operator is upgraded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionTemplate {
    /// Digest of the model package.
    pub package: String,
    pub candidate: String,
    /// Request and limit where `resources` is not given.
    pub memory_bytes: u64,
    pub image: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<BatchingTemplate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlay>,
    /// The claim that holds the package.
    pub claim: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchingTemplate {
    pub max_size: i32,
    pub max_delay_milliseconds: i32,
}

/// What is laid over the pod template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overlay {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub spec: Map<String, Value>,
}

const MIB: u64 = 1024 * 1024;
/// Two runs never measure the same peak; in steps of this size they mostly ask for the same memory, and so make the same
/// revision of the same package.
const MEMORY_STEP: u64 = 16 * MIB;

/// Of a process that serves nothing yet.
pub const BASE_MEMORY: u64 = 64 * MIB;

/// Memory for a process that peaked at so much while it ran the model alone: as much again for requests in flight.
pub fn memory_bytes(peak_bytes: u64) -> u64 {
    peak_bytes
        .saturating_mul(2)
        .saturating_add(BASE_MEMORY)
        .div_ceil(MEMORY_STEP)
        .saturating_mul(MEMORY_STEP)
        .max(128 * MIB)
}

impl RevisionTemplate {
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub fn of_json(json: &Value) -> Option<Self> {
        Self::deserialize(json).ok()
    }

    /// The revision's name; a label's value.
    pub fn revision(&self) -> String {
        hash(&self.to_json(), 10)
    }

    pub fn status(&self) -> RevisionStatus {
        RevisionStatus { revision: self.revision(), candidate: self.candidate.clone(), package: self.package.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_twice_the_peak_and_some_and_steady() {
        assert_eq!(memory_bytes(0), 128 * MIB);
        assert_eq!(memory_bytes(100 * MIB), 272 * MIB);
        assert_eq!(memory_bytes(101 * MIB), 272 * MIB);
    }
}
