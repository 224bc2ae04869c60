use std::collections::BTreeMap;

use drydock_crds::{OptimizationStatus, RevisionStatus, RolloutStatus};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::labels::{self, annotation, label};
use crate::revision::{RevisionTemplate, memory_bytes};
use crate::selection::Verdict;
use crate::{Observed, Resolved, names};

/// The revisions that can be made.
pub struct Revisions {
    /// What the spec asks for but for `rollBackTo`.
    pub asked: Option<RevisionStatus>,
    /// What is to be served.
    pub target: Option<RevisionStatus>,
    /// `rollBackTo`, where there is no record of it.
    pub unknown: Option<String>,
    known: BTreeMap<String, RevisionTemplate>,
}

impl Revisions {
    /// Those that are recorded, and what the spec asks for.
    pub fn gather(
        r: &Resolved,
        observed: &Observed,
        verdict: &Verdict,
        found: &OptimizationStatus,
        at: &RolloutStatus,
    ) -> Self {
        let Self { mut known, .. } = Self::recorded(r, observed);
        let template = asked(r, verdict, found, &known);
        if let Some(template) = &template {
            known.insert(template.revision(), template.clone());
        }
        let asked = template.map(|t| t.status());
        let Some(to) = &r.rollout.control.roll_back_to else {
            return Self { target: asked.clone(), asked, unknown: None, known };
        };
        let target = recorded_as(to, observed, at, &known);
        let unknown = target.is_none().then(|| to.clone());
        Self { asked, target, unknown, known }
    }

    /// From the ControllerRevisions; where one is lost, from its Deployment.
    pub fn recorded(r: &Resolved, observed: &Observed) -> Self {
        let mut known = BTreeMap::new();
        let mut learn = |metadata: &ObjectMeta, template: Option<RevisionTemplate>| {
            if let (Some(revision), Some(template)) = (label(metadata, labels::REVISION), template)
                && labels::is_controlled_by(metadata, &r.owner.uid)
            {
                known.insert(revision.to_owned(), template);
            }
        };
        for d in &observed.deployments {
            let json = annotation(&d.metadata, labels::TEMPLATE).and_then(|t| serde_json::from_str::<Value>(t).ok());
            learn(&d.metadata, json.and_then(|json| RevisionTemplate::of_json(&json)));
        }
        for c in &observed.revisions {
            learn(&c.metadata, RevisionTemplate::of_json(&c.data.0));
        }
        Self { asked: None, target: None, unknown: None, known }
    }

    pub fn template(&self, revision: &str) -> Option<&RevisionTemplate> {
        self.known.get(revision)
    }
}

/// The revision of this name, or the last one made of this package: the one that is served, if it is of it.
fn recorded_as(
    to: &str,
    observed: &Observed,
    at: &RolloutStatus,
    known: &BTreeMap<String, RevisionTemplate>,
) -> Option<RevisionStatus> {
    let status = |revision: &str| {
        let t = known.get(revision)?;
        Some(RevisionStatus {
            revision: revision.to_owned(),
            candidate: t.candidate.clone(),
            package: t.package.clone(),
        })
    };
    let number = |revision: &str| {
        let is_of = |c: &&ControllerRevision| label(&c.metadata, labels::REVISION) == Some(revision);
        observed.revisions.iter().find(is_of).and_then(|c| c.revision)
    };
    let of_package = known.iter().filter(|(_, t)| t.package == to).map(|(revision, _)| revision.as_str());
    let is_stable = |revision: &str| at.stable.as_ref().is_some_and(|s| s.revision == revision);
    status(to).or_else(|| status(of_package.max_by_key(|revision| (is_stable(revision), number(revision)))?))
}

fn asked(
    r: &Resolved,
    verdict: &Verdict,
    found: &OptimizationStatus,
    known: &BTreeMap<String, RevisionTemplate>,
) -> Option<RevisionTemplate> {
    let Verdict::Chosen(name) = verdict else { return None };
    let candidate = found.candidates.iter().find(|c| &c.name == name)?;
    // Not measured: a process needs the model, a copy of it in the engine's layout, and its work.
    let peak = candidate.memory_bytes.or_else(|| candidate.size_bytes.map(|b| b.saturating_mul(3))).unwrap_or(0);
    let package = candidate.package.clone()?;
    // No two runs measure the same peak: a package that is known keeps its first figure, or doing the same work again
    // would make another revision, and a rollout of nothing.
    let measured_before = known.values().find(|t| t.package == package).map(|t| t.memory_bytes);
    Some(RevisionTemplate {
        memory_bytes: measured_before.unwrap_or_else(|| memory_bytes(u64::try_from(peak).unwrap_or(0))),
        package,
        candidate: name.clone(),
        image: r.serving.image.clone(),
        image_pull_policy: r.serving.image_pull_policy.clone(),
        resources: r.serving.resources.clone(),
        batching: r.serving.batching.clone(),
        overlay: r.serving.overlay.clone(),
        claim: names::claim(&r.name),
    })
}
