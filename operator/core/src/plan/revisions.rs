use std::collections::BTreeMap;

use drydock_crds::{OptimizationStatus, RECORD_ANNOTATION, Record, RevisionStatus, RolloutStatus};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::labels::{self, annotation, label};
use crate::record::{OfPackage, served_last};
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

/// The revision of this name, or of this package as [`served_last`].
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
    let entry = |revision: &str| {
        let is_of = |c: &&ControllerRevision| label(&c.metadata, labels::REVISION) == Some(revision);
        observed.revisions.iter().find(is_of)
    };
    let decisions = |revision: &str| {
        let text = entry(revision).and_then(|c| annotation(&c.metadata, RECORD_ANNOTATION));
        let record: Record = text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
        record.decisions
    };
    status(to).or_else(|| {
        let of_package = known.iter().filter(|(_, t)| t.package == to);
        let all: Vec<_> = of_package.map(|(revision, _)| (revision.as_str(), decisions(revision))).collect();
        let all = all.iter().map(|(revision, decisions)| OfPackage {
            revision,
            is_stable: at.stable.as_ref().is_some_and(|s| s.revision == *revision),
            decisions,
            number: entry(revision).and_then(|c| c.revision).unwrap_or_default(),
        });
        status(served_last(all)?)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use drydock_crds::{Decided, Decision};
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    /// A revision, what was decided about it, and when.
    type Told = (&'static str, &'static [(Decided, i64)]);

    #[test]
    fn of_a_package_the_one_that_was_served_last() {
        use Decided::{Deployed, Promoted, RolledBack, Started, Superseded};
        // Those of the package by number, the stable one, and which it is.
        let cases: [(&[Told], Option<&str>, Option<&str>); 7] = [
            (&[("a", &[(Deployed, 1)]), ("b", &[(Started, 2), (RolledBack, 3)])], None, Some("a")),
            (&[("a", &[(Deployed, 1)]), ("b", &[(Started, 2), (Promoted, 3)])], None, Some("b")),
            (&[("a", &[(Deployed, 1), (Promoted, 9)]), ("b", &[(Promoted, 3)])], None, Some("a")),
            (&[("a", &[(Deployed, 1)]), ("b", &[(Started, 2), (Superseded, 3)])], None, Some("a")),
            (&[("a", &[]), ("b", &[])], None, Some("b")),
            (&[("a", &[(Deployed, 1)]), ("b", &[(Promoted, 3)])], Some("a"), Some("a")),
            (&[("a", &[(Started, 1), (RolledBack, 2)])], None, None),
        ];
        for (all, stable, expected) in cases {
            let mut observed = Observed::default();
            let mut known = BTreeMap::new();
            for (number, (revision, decided)) in (1..).zip(all) {
                let decisions: Vec<_> = decided
                    .iter()
                    .map(|(what, second)| Decision {
                        at: Time(Timestamp::from_second(*second).unwrap()),
                        what: *what,
                        step: 0,
                        window: String::new(),
                        why: String::new(),
                        by: None,
                        metrics: Vec::new(),
                    })
                    .collect();
                let record = serde_json::to_string(&Record { decisions, ..Record::default() }).unwrap();
                let metadata = ObjectMeta {
                    labels: Some([(labels::REVISION.to_owned(), (*revision).to_owned())].into()),
                    annotations: Some([(RECORD_ANNOTATION.to_owned(), record)].into()),
                    ..ObjectMeta::default()
                };
                let c = ControllerRevision { metadata, revision: Some(number), ..ControllerRevision::default() };
                observed.revisions.push(c);
                let template = json!({
                    "package": "sha256:00", "candidate": "int8", "memoryBytes": 1, "image": *revision, "claim": "c",
                });
                known.insert((*revision).to_owned(), RevisionTemplate::of_json(&template).unwrap());
            }
            let is = |revision: &str| RevisionStatus { revision: revision.into(), ..RevisionStatus::default() };
            let at = RolloutStatus { stable: stable.map(is), ..RolloutStatus::default() };
            let found = recorded_as("sha256:00", &observed, &at, &known).map(|r| r.revision);
            assert_eq!(found.as_deref(), expected, "{all:?}");
            assert_eq!(recorded_as("a", &observed, &at, &known).map(|r| r.revision).as_deref(), Some("a"), "by name");
        }
    }
}
