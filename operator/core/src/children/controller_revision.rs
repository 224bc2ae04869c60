use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;

use super::metadata;
use crate::labels::serving_labels;
use crate::revision::RevisionTemplate;
use crate::{Resolved, names};

/// The record of a revision. One that exists keeps its data, which cannot change, and its number.
pub fn controller_revision(
    r: &Resolved,
    revision: &str,
    template: &RevisionTemplate,
    all: &[ControllerRevision],
) -> ControllerRevision {
    let name = names::revision(&r.name, revision);
    let existing = all.iter().find(|c| c.metadata.name.as_ref() == Some(&name));
    let next = all.iter().filter_map(|c| c.revision).max().unwrap_or(0).saturating_add(1);
    ControllerRevision {
        metadata: metadata(r, name, serving_labels(&r.name, revision)),
        data: existing.map_or_else(|| RawExtension(template.to_json()), |c| c.data.clone()),
        revision: existing.and_then(|c| c.revision).or(Some(next)),
    }
}
