use std::collections::BTreeSet;

use drydock_crds::{
    Autoscaling, CandidateStatus, Decided, Decision, RevisionStatus, RolloutStatus, Router, Strategy, Unrecorded,
};

use super::checks;
use super::revisions::Revisions;
use super::routing;
use super::tracks::Tracks;
use crate::children::{autoscaler, budget, claim, controller_revision, optimization_job, service, serving_deployment};
use crate::resolved::Replicas;
use crate::{Child, Observed, Resolved, labels, names, record};

/// What has been decided, in this pass or in one that could not write it down, for the records.
#[derive(Default)]
pub struct News<'a> {
    pub decided: &'a [Unrecorded],
    pub candidates: &'a [CandidateStatus],
}

/// Whether it is the record of a revision that is promoted in this pass.
pub fn tells_of_a_promotion(child: &Child, decided: &[Unrecorded]) -> bool {
    decided.iter().any(|u| u.decision.what == Decided::Promoted && record::is_of(child, &u.revision))
}

/// Everything that should be there, in the order in which it is written.
pub fn children(
    r: &Resolved,
    observed: &Observed,
    at: &RolloutStatus,
    tracks: &Tracks<'_>,
    revisions: &Revisions,
    job_is_stale: bool,
    news: &News<'_>,
) -> Vec<Child> {
    let mut all = vec![Child::Claim(Box::new(claim::claim(r, own_claim(r, observed))))];
    if !job_is_stale {
        let name = names::optimization_job(&r.name, &r.optimization.hash);
        let existing = observed.jobs.iter().find(|j| j.metadata.name.as_ref() == Some(&name));
        all.push(Child::Job(Box::new(optimization_job::optimization_job(r, existing))));
    }
    all.extend(serving(r, observed, at, tracks, revisions, news));
    // What they ask is there by then.
    all.extend(checks::wanted(r, observed, at));
    all
}

/// What serves, and the records of it.
pub fn serving(
    r: &Resolved,
    observed: &Observed,
    at: &RolloutStatus,
    tracks: &Tracks<'_>,
    revisions: &Revisions,
    news: &News<'_>,
) -> Vec<Child> {
    let mut all = Vec::new();
    let live = live(at);
    for revision in recorded(r, observed, at) {
        if let Some(template) = revisions.template(revision) {
            let of =
                |c: &CandidateStatus| c.package.as_ref() == Some(&template.package) && c.name == template.candidate;
            let candidate = news.candidates.iter().enumerate().find(|(_, c)| of(c));
            let origin = candidate.map(|(index, c)| record::origin(r, index, c));
            let decided: Vec<Decision> =
                news.decided.iter().filter(|u| u.revision == revision).map(|u| u.decision.clone()).collect();
            let (all_records, record) = (&observed.revisions, controller_revision::controller_revision);
            let record = record(r, revision, template, all_records, origin, &decided);
            all.push(Child::Revision(Box::new(record)));
        }
    }
    for revision in &live {
        if let Some(template) = revisions.template(revision) {
            let deployment = serving_deployment::serving_deployment(r, revision, template);
            all.push(Child::Deployment(Box::new(deployment)));
        }
    }
    if let Some(stable) = &at.stable {
        let canary = at.canary.as_ref().map(|c| c.revision.as_str());
        all.push(Child::Service(Box::new(service::stable_service(r, &stable.revision))));
        // A gateway sends its old weight until the new one is accepted: after a canary that is replaced, or has lost its pods, the stable
        // ones answer it.
        let routed = canary.filter(|_| r.rollout.router != Router::Gateway || tracks.canary.ready > 0);
        all.push(Child::Service(Box::new(service::canary_service(r, &stable.revision, routed))));
        if r.rollout.strategy == Strategy::BlueGreen {
            all.push(Child::Service(Box::new(service::preview_service(r, &stable.revision, canary))));
        }
    }
    if let Replicas::Automatic(wish) = &r.serving.replicas {
        for (revision, at_least) in at_least(at, tracks, wish) {
            all.push(Child::Autoscaler(Box::new(autoscaler::autoscaler(r, revision, wish, at_least))));
        }
    }
    if at.stable.is_some() {
        all.push(Child::Budget(Box::new(budget::budget(r))));
        // After the Services: with a selector that has changed, or that no longer is the canary's, any weight is right.
        all.extend(routing::wanted(r, observed, &tracks.shares(r, at)));
    }
    all
}

fn own_claim<'a>(
    r: &Resolved,
    observed: &'a Observed,
) -> Option<&'a k8s_openapi::api::core::v1::PersistentVolumeClaim> {
    let name = names::claim(&r.name);
    observed.claims.iter().find(|c| c.metadata.name.as_ref() == Some(&name))
}

/// Revisions that have a record: those with pods, the one that failed last, and of the others the newest.
fn recorded<'a>(r: &Resolved, observed: &'a Observed, at: &'a RolloutStatus) -> Vec<&'a str> {
    let mut all = live(at);
    all.extend(at.failed.as_ref().map(|f| f.revision.as_str()));
    let mut others: Vec<(i64, &str)> = observed
        .revisions
        .iter()
        .filter(|c| labels::is_controlled_by(&c.metadata, &r.owner.uid))
        .filter_map(|c| Some((c.revision.unwrap_or(0), labels::label(&c.metadata, labels::REVISION)?)))
        .filter(|(_, revision)| !all.contains(revision))
        .collect();
    others.sort_unstable_by(|a, b| b.cmp(a));
    let limit = usize::try_from(r.rollout.revision_history_limit).unwrap_or(0);
    all.extend(others.into_iter().take(limit).map(|(_, revision)| revision));
    let mut seen = BTreeSet::new();
    all.retain(|revision| seen.insert(*revision));
    all
}

/// Revisions that have pods.
pub fn live(at: &RolloutStatus) -> Vec<&str> {
    [&at.stable, &at.canary, &at.previous].into_iter().flatten().map(|r| r.revision.as_str()).collect()
}

/// The least number of pods of each live revision.
fn at_least<'a>(at: &'a RolloutStatus, tracks: &Tracks<'_>, wish: &Autoscaling) -> Vec<(&'a str, i32)> {
    let min = wish.min_replicas;
    let stable = match &at.canary {
        // It may have every request back at any moment: it does not shrink because a canary has a share.
        Some(_) => min.max(tracks.stable.desired.min(wish.max_replicas)),
        // It has just taken over every request: its size is held until the old one is gone, when its own load has been seen.
        None => min.max(tracks.previous.desired).max(at.takeover_replicas.unwrap_or(0)),
    };
    // The replaced one may be called back, and is no use if it has shrunk by then.
    let previous = min.max(tracks.previous.desired.min(wish.max_replicas));
    [(&at.stable, stable), (&at.canary, tracks.canary.desired), (&at.previous, previous)]
        .into_iter()
        .filter_map(|(revision, least): (&Option<RevisionStatus>, i32)| {
            Some((revision.as_ref()?.revision.as_str(), least))
        })
        .collect()
}
