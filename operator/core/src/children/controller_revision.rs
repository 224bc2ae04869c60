use drydock_crds::{Decision, RECORD_ANNOTATION, Record};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;

use super::metadata;
use crate::labels::{annotation, serving_labels};
use crate::record;
use crate::revision::RevisionTemplate;
use crate::{Resolved, names};

/// The record of a revision. One that exists keeps its data, which cannot change, its number, how its candidate came to be, and what was
/// decided about it. `origin` has the former, where it is known.
pub fn controller_revision(
    r: &Resolved,
    revision: &str,
    template: &RevisionTemplate,
    all: &[ControllerRevision],
    origin: Option<Record>,
    decided: &[Decision],
) -> ControllerRevision {
    let name = names::revision(&r.name, revision);
    let existing = all.iter().find(|c| c.metadata.name.as_ref() == Some(&name));
    let next = all.iter().filter_map(|c| c.revision).max().unwrap_or(0).saturating_add(1);
    let mut metadata = metadata(r, name, serving_labels(&r.name, revision));
    let text = existing.and_then(|c| annotation(&c.metadata, RECORD_ANNOTATION));
    let text = if decided.is_empty() {
        text.map(str::to_owned)
    } else {
        let mut before: Record = text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
        if let Some(origin) = origin.filter(|_| before.measured.is_empty()) {
            before = Record { decisions: before.decisions, ..origin };
        }
        serde_json::to_string(&record::with(before, decided)).ok()
    };
    metadata.annotations = text.map(|t| [(RECORD_ANNOTATION.to_owned(), t)].into());
    ControllerRevision {
        metadata,
        data: existing.map_or_else(|| RawExtension(template.to_json()), |c| c.data.clone()),
        revision: existing.and_then(|c| c.revision).or(Some(next)),
    }
}
