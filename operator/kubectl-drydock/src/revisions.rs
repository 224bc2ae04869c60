//! The revisions that there are: those of the rollout, and those that are recorded.

use drydock_crds::{ModelDeployment, RECORD_ANNOTATION, Record, RevisionStatus, RolloutStatus};
use drydock_operator_core::REVISION_LABEL;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::Value;

use crate::tell::short;

#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub name: String,
    pub candidate: String,
    /// Digest of the model package.
    pub package: String,
    /// `stable`, `canary`, `previous`, `failed`; `recorded` without a part.
    pub part: &'static str,
    /// How many were recorded before it.
    pub number: i64,
    pub record: Record,
}

/// Those with a part in the rollout, then those that are recorded, the newest first.
pub fn revisions(md: &ModelDeployment, recorded: &[ControllerRevision]) -> Vec<Revision> {
    let rollout = md.status.as_ref().and_then(|s| s.rollout.clone()).unwrap_or_default();
    let mut all: Vec<Revision> = recorded.iter().filter(|c| is_of(md, c)).filter_map(|c| read(c, &rollout)).collect();
    for (status, part) in parts(&rollout) {
        // Its record is lost, or not written yet.
        if !all.iter().any(|r| r.name == status.revision) {
            let RevisionStatus { revision: name, candidate, package } = status;
            all.push(Revision { name, candidate, package, part, number: 0, record: Record::default() });
        }
    }
    let rank = |r: &Revision| parts_in_order().iter().position(|part| *part == r.part);
    all.sort_by_key(|r| (rank(r), std::cmp::Reverse(r.number)));
    all
}

/// One line each, for who has named another.
pub fn list(all: &[Revision]) -> String {
    let line = |r: &Revision| format!("\n  {}  {:<8}  {}  {}", r.name, r.part, r.candidate, short(&r.package));
    if all.is_empty() { "; there are none".to_owned() } else { all.iter().map(line).collect() }
}

fn parts_in_order() -> [&'static str; 5] {
    ["stable", "canary", "previous", "failed", "recorded"]
}

fn parts(rollout: &RolloutStatus) -> Vec<(RevisionStatus, &'static str)> {
    let failed = rollout.failed.as_ref().map(|f| RevisionStatus {
        revision: f.revision.clone(),
        candidate: f.candidate.clone(),
        package: String::new(),
    });
    [
        (rollout.stable.clone(), "stable"),
        (rollout.canary.clone(), "canary"),
        (rollout.previous.clone(), "previous"),
        (failed, "failed"),
    ]
    .into_iter()
    .filter_map(|(status, part)| Some((status?, part)))
    .collect()
}

fn is_of(md: &ModelDeployment, c: &ControllerRevision) -> bool {
    let mut owners = c.metadata.owner_references.iter().flatten();
    owners.any(|o| o.controller == Some(true) && Some(&o.uid) == md.metadata.uid.as_ref())
}

fn read(c: &ControllerRevision, rollout: &RolloutStatus) -> Option<Revision> {
    let name = c.metadata.labels.as_ref()?.get(REVISION_LABEL)?.clone();
    let text = |field: &str| c.data.0.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let record = c.metadata.annotations.as_ref().and_then(|a| a.get(RECORD_ANNOTATION));
    let part = parts(rollout).into_iter().find(|(status, _)| status.revision == name).map_or("recorded", |(_, p)| p);
    Some(Revision {
        candidate: text("candidate"),
        package: text("package"),
        part,
        number: c.revision.unwrap_or_default(),
        record: record.and_then(|r| serde_json::from_str(r).ok()).unwrap_or_default(),
        name,
    })
}
