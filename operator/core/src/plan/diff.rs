use serde_json::{Map, Value};

use crate::hash::hash;
use crate::labels::{self, APPLIED};
use crate::{Child, ChildKind, ChildRef, Observed, Resolved, names};

/// What differs between what should be there and what is.
pub struct Diff {
    pub writes: Vec<Child>,
    pub prune: Vec<ChildRef>,
    /// In the way: a child's name, taken by something that is not ours.
    pub foreign: Vec<String>,
    /// Wanted, and being deleted.
    pub ending: Vec<String>,
}

/// `live` are the revisions that have a part in the rollout: what belongs to them is never pruned, also where it could
/// not be made again because its record cannot be read.
pub fn diff(r: &Resolved, observed: &Observed, desired: Vec<Child>, live: &[&str]) -> Diff {
    let existing = observed.children();
    let wanted: Vec<(ChildKind, String)> = desired.iter().map(|c| (c.kind(), c.name().to_owned())).collect();
    let mut diff = Diff { writes: Vec::new(), prune: Vec::new(), foreign: Vec::new(), ending: Vec::new() };
    for child in desired {
        let (child, json) = marked(child);
        let there = existing.iter().find(|e| e.kind == child.kind() && e.name() == child.name());
        match there {
            Some(there) if !labels::is_controlled_by(there.metadata, &r.owner.uid) => {
                diff.foreign.push(format!("{child} exists and belongs to something else"));
            }
            // Its end wakes us, and it comes back.
            Some(there) if there.metadata.deletion_timestamp.is_some() => diff.ending.push(ending(&child)),
            Some(there) if there.holds(&json) => {}
            None | Some(_) => diff.writes.push(child),
        }
    }
    diff.prune = existing
        .iter()
        .filter(|e| labels::is_controlled_by(e.metadata, &r.owner.uid))
        .filter(|e| e.metadata.deletion_timestamp.is_none())
        .filter(|e| !wanted.iter().any(|(kind, name)| *kind == e.kind && name == e.name()))
        .filter(|e| !(is_serving(e.kind) && live.iter().any(|of| names::revision(&r.name, of) == e.name())))
        .map(|e| ChildRef { kind: e.kind, name: e.name().to_owned(), uid: e.metadata.uid.clone().unwrap_or_default() })
        .collect();
    diff
}

fn ending(child: &Child) -> String {
    let once = match child.kind() {
        // Held by a finalizer for as long as a pod uses it.
        ChildKind::Claim => "no new pod can use it, and it is made again once the pods that use it are gone",
        _ => "it is made again once it is gone",
    };
    format!("{child} is being deleted: {once}")
}

fn is_serving(kind: ChildKind) -> bool {
    matches!(kind, ChildKind::Deployment | ChildKind::Revision)
}

/// With the hash of itself, and as JSON. It tells apart what the API server has added from what we no longer want.
fn marked(mut child: Child) -> (Child, Value) {
    let mut json = child.to_json();
    let mut aside = Vec::new();
    if matches!(child.kind(), ChildKind::Claim | ChildKind::Job | ChildKind::Revision)
        && let Some(map) = json.as_object_mut()
    {
        // Cannot change, and is taken from what is there.
        aside.extend(["spec", "data", "revision"].into_iter().filter_map(|field| map.remove_entry(field)));
    }
    // What was decided is history, and compared as it is.
    let record = annotations(&mut json).and_then(|a| a.remove_entry(drydock_crds::RECORD_ANNOTATION));
    if annotations(&mut json).is_some_and(|a| a.is_empty())
        && let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
    let applied = hash(&json, 16);
    if let Some(map) = json.as_object_mut() {
        map.extend(aside);
    }
    if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        let mark = (APPLIED.to_owned(), Value::from(applied.as_str()));
        let all = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if let Some(all) = all.as_object_mut() {
            all.extend(record.into_iter().chain([mark]));
        }
    }
    child.metadata_mut().annotations.get_or_insert_default().insert(APPLIED.to_owned(), applied);
    (child, json)
}

fn annotations(json: &mut Value) -> Option<&mut Map<String, Value>> {
    json.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
}
