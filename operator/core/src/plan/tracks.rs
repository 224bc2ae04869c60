use drydock_contract::{SPLIT_ANNOTATION, Split, SplitWindow};
use drydock_crds::{RevisionStatus, RolloutStatus, Router, Strategy, TrackStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};

use super::diff::Diff;
use super::revisions::Revisions;
use super::{PodSplit, Scale, checks, routing};
use crate::labels::{self, annotation};
use crate::outlook::Outlook;
use crate::pod_state::{crash_loop, excuse, is_reachable, is_ready, of_revision, of_revisions};
use crate::resolved::Replicas;
use crate::rollout::{
    self, Routes, Shares, Signals, beside, cap, needed, shares, split, sum, wanted_size, wanted_weight, window,
};
use crate::selection::Verdict;
use crate::{ChildKind, Observed, Resolved, names};

/// One revision's part: who plays it, and how many there should be.
#[derive(Clone, Debug, Default)]
pub struct Track<'a> {
    pub revision: Option<RevisionStatus>,
    pub pods: Vec<&'a Pod>,
    pub ready: i32,
    pub desired: i32,
}

/// The pods, by the part that their revision plays.
#[derive(Clone, Debug, Default)]
pub struct Tracks<'a> {
    pub stable: Track<'a>,
    pub canary: Track<'a>,
    pub previous: Track<'a>,
    /// Of revisions that have no part any more, while a gateway may send them requests yet.
    others: Vec<&'a Pod>,
    /// The percentage that the canary gets, and can take.
    pub weight: i32,
    /// Pods of the canary that anything may be sent to.
    pub may_send: i32,
    counts: SplitWindow,
    silent: i32,
    stable_is_reachable: bool,
    flipped: bool,
    canary_is_selected: bool,
    service_is_lost: Option<String>,
    since: Option<Timestamp>,
}

impl<'a> Tracks<'a> {
    pub fn see(r: &Resolved, observed: &'a Observed, at: &RolloutStatus, now: Timestamp) -> Self {
        let track = |revision: &Option<RevisionStatus>| {
            let pods = revision.as_ref().map_or_else(Vec::new, |of| of_revision(&observed.pods, &r.name, &of.revision));
            Track { revision: revision.clone(), ready: count(&pods, is_ready), pods, desired: 0 }
        };
        let [mut stable, mut canary, mut previous] = [&at.stable, &at.canary, &at.previous].map(track);
        canary.ready = count(&canary.pods, |p| is_reachable(p, now));
        stable.desired = match &r.serving.replicas {
            _ if stable.revision.is_none() => 0,
            Replicas::Fixed(n) => *n,
            Replicas::Automatic(a) => replicas(r, observed, &stable).unwrap_or(1).max(a.min_replicas),
            Replicas::Unknown => replicas(r, observed, &stable).unwrap_or(1),
        };
        if canary.revision.is_some() {
            // Of what the stable revision should have, not of what it has ready this second: a canary does not shrink
            // because a stable pod stumbles.
            canary.desired = needed(wanted_size(at, &r.course), stable.desired.max(stable.ready));
            canary.desired = canary.desired.max(at.takeover_replicas.unwrap_or(0));
            // What a gateway still sends it needs pods, whatever is asked for now.
            let sent = at.gateway.as_ref().map(|g| g.weight).filter(|weight| *weight > 0);
            canary.desired = canary.desired.max(sent.map_or(0, |weight| needed(weight, stable.desired)));
        }
        previous.desired = replicas(r, observed, &previous).unwrap_or(0);
        let service_is_lost = service_is_lost(r, observed);
        // Whoever has the name of the canary's Service would get its requests.
        let is_elsewhere = service_is_lost.is_some() || routing::other_sends(r, observed, &stable.pods);
        let may_send = if is_elsewhere { 0 } else { canary.ready };
        let weight = cap(wanted_weight(at, &r.course), may_send, stable.ready);
        let told = |p: &Pod| is_ready(p) && is_told(p, &window(at));
        let unheard = |track: &Track<'_>| {
            count(&track.pods, told) - i32::try_from(windows(observed, at, track).count()).unwrap_or(0)
        };
        let (counts, silent) = match r.rollout.router {
            Router::Sidecar => (sum(windows(observed, at, &stable)), unheard(&stable)),
            Router::Gateway => {
                let counts = beside(windows(observed, at, &canary), windows(observed, at, &stable));
                (counts, unheard(&stable) + unheard(&canary))
            }
        };
        let has_a_part = |revision: &str| {
            [&at.stable, &at.canary, &at.previous].into_iter().flatten().any(|r| r.revision == revision)
        };
        let others = of_revisions(&observed.pods, &r.name, |revision| !has_a_part(revision));
        let stable_is_reachable = stable.pods.iter().any(|p| is_reachable(p, now));
        let is_selected =
            |track: &Track<'_>| track.revision.as_ref().is_some_and(|of| selects(r, observed, &of.revision));
        let (flipped, canary_is_selected) = (is_selected(&stable), is_selected(&canary));
        Self {
            stable,
            canary,
            previous,
            others,
            weight,
            may_send,
            counts,
            silent: silent.max(0),
            stable_is_reachable,
            flipped,
            canary_is_selected,
            service_is_lost,
            since: at.since.as_ref().map(|t| t.0),
        }
    }

    pub fn signals(&self, r: &Resolved, observed: &Observed, at: &RolloutStatus, revisions: &Revisions) -> Signals {
        let stable = self.stable.revision.as_ref();
        let failed =
            observed.deployments.iter().find(|d| d.metadata.name == self.canary.deployment(r)).and_then(refusal);
        Signals {
            suspended: r.suspend,
            asked: revisions.asked.clone(),
            target: revisions.target.clone(),
            rolls_back: r.rollout.control.roll_back_to.is_some(),
            together: self.together(r, observed),
            stable_is_known: stable.is_some_and(|of| revisions.template(&of.revision).is_some())
                || replicas(r, observed, &self.stable).is_some(),
            stable_ready: self.stable.ready,
            stable_is_reachable: self.stable_is_reachable,
            stable_desired: self.stable.desired,
            flipped: self.flipped,
            canary_is_selected: self.canary_is_selected,
            canary_ready: self.canary.ready,
            service_is_lost: self.service_is_lost.clone(),
            canary_crash: crash_loop(&self.canary.pods, self.since),
            canary_excuse: excuse(&self.canary.pods).or(failed),
            counts: self.counts.clone(),
            external: checks::heard(r, observed, at),
            silent: self.silent,
            routes: routing::see(r, observed, &self.shares(r, at)),
            weight: self.weight,
        }
    }

    /// What a gateway's routes should say.
    pub fn shares(&self, r: &Resolved, at: &RolloutStatus) -> Shares {
        shares(at, r.rules(), self.weight, self.may_send)
    }

    /// Pods that an autoscaler keeps for both: what the new revision begins with when it has every request. The load may have
    /// grown since the rollout began, and each has its share of it.
    fn together(&self, r: &Resolved, observed: &Observed) -> Option<i32> {
        let Replicas::Automatic(wish) = &r.serving.replicas else { return None };
        let both = self.stable.desired.saturating_add(replicas(r, observed, &self.canary).unwrap_or(0));
        Some(both.min(wish.max_replicas.max(self.stable.desired)))
    }

    /// Only where no autoscaler has the number, or none would begin: an autoscaler leaves 0 alone.
    pub fn scales(&self, r: &Resolved, observed: &Observed, diff: &Diff) -> Vec<Scale> {
        let mut scales = Vec::new();
        for track in [&self.stable, &self.canary] {
            let Some(name) = track.deployment(r) else { continue };
            let existing = observed.deployments.iter().find(|d| d.metadata.name.as_ref() == Some(&name));
            let has = match existing {
                Some(d) if !labels::is_controlled_by(&d.metadata, &r.owner.uid) => continue,
                Some(d) if d.metadata.deletion_timestamp.is_some() => continue,
                Some(d) => d.spec.replicas.unwrap_or(1),
                None if diff.writes.iter().any(|c| c.kind() == ChildKind::Deployment && c.name() == name) => 1,
                None => continue,
            };
            let wrong = match r.serving.replicas {
                Replicas::Fixed(_) => has != track.desired,
                Replicas::Automatic(_) => has == 0,
                Replicas::Unknown => false,
            };
            if wrong {
                scales.push(Scale { deployment: name, replicas: track.desired });
            }
        }
        scales
    }

    /// What each pod is to be told that it has not been told yet.
    pub fn splits(&self, r: &Resolved, at: &RolloutStatus) -> Vec<PodSplit> {
        let wanted = split(at, r.rules(), self.weight, self.may_send, self.stable.ready);
        let mut splits: Vec<PodSplit> = self.stable.pods.iter().filter_map(|p| tell(p, wanted.as_ref())).collect();
        // A revision that was stable before may still have a share to send on, now to itself. Behind a gateway it counts.
        let counts = wanted.as_ref().filter(|_| r.rollout.router == Router::Gateway);
        splits.extend(self.canary.pods.iter().filter_map(|p| tell(p, counts)));
        // Those of the replaced revision go on as they were until the Service has moved, but not into the next canary. Then their clients
        // are sent after it: a kept connection stays with its pod.
        let replaced = self.stable.revision.as_ref().filter(|_| self.flipped).map(|of| Split::replaced(&of.revision));
        if self.canary.revision.is_some() || replaced.is_some() {
            splits.extend(self.previous.pods.iter().filter_map(|p| tell(p, replaced.as_ref())));
        }
        if self.canary.revision.is_some() {
            splits.extend(self.others.iter().filter_map(|p| tell(p, None)));
        }
        splits
    }

    /// Whether the canary gets anything, that it could be judged by.
    pub fn sends(&self, r: &Resolved, at: &RolloutStatus) -> bool {
        split(at, r.rules(), self.weight, self.may_send, self.stable.ready).is_some()
    }

    pub fn outlook(
        &self,
        r: &Resolved,
        at: &RolloutStatus,
        verdict: Option<Verdict>,
        target: Option<RevisionStatus>,
        now: Timestamp,
    ) -> Outlook {
        let deadline = SignedDuration::from_secs(r.rollout.progress_deadline_seconds.into());
        Outlook {
            suspended: r.suspend,
            verdict,
            again_at: None,
            asked: None,
            unknown: None,
            target,
            stable: self.stable.status(),
            canary: self.canary.status(),
            // A weight that a gateway has not accepted is not there yet.
            weight: at.gateway.as_ref().map_or(self.weight, |g| g.weight),
            routes: Routes::InForce,
            routes_are_late: rollout::is_late(at, now),
            steps: r.course.len(),
            waits: rollout::waits(at, r.rules(), now),
            stable_crash: crash_loop(&self.stable.pods, self.since),
            stable_excuse: excuse(&self.stable.pods),
            canary_excuse: excuse(&self.canary.pods),
            is_late: at.since.as_ref().is_some_and(|since| now.duration_since(since.0) > deadline),
            foreign: Vec::new(),
            ending: Vec::new(),
        }
    }
}

impl Track<'_> {
    fn deployment(&self, r: &Resolved) -> Option<String> {
        Some(names::revision(&r.name, &self.revision.as_ref()?.revision))
    }

    fn status(&self) -> Option<TrackStatus> {
        let of = self.revision.clone()?;
        Some(TrackStatus {
            revision: of.revision,
            candidate: of.candidate,
            package: of.package,
            ready_replicas: self.ready,
            replicas: self.desired,
        })
    }
}

fn count(pods: &[&Pod], is: impl Fn(&Pod) -> bool) -> i32 {
    i32::try_from(pods.iter().filter(|p| is(p)).count()).unwrap_or(i32::MAX)
}

fn replicas(r: &Resolved, observed: &Observed, track: &Track<'_>) -> Option<i32> {
    let name = track.deployment(r)?;
    let found = observed.deployments.iter().find(|d| d.metadata.name.as_ref() == Some(&name))?;
    Some(found.spec.replicas.unwrap_or(1))
}

/// The counts of this stage; what a pod says of another one is of no use.
fn windows<'b>(observed: &'b Observed, at: &RolloutStatus, track: &Track<'b>) -> impl Iterator<Item = &'b SplitWindow> {
    let name = window(at);
    let revision = at.canary.as_ref().map(|c| c.revision.clone());
    let pods: Vec<&str> = track.pods.iter().filter_map(|p| p.metadata.name.as_deref()).collect();
    pods.into_iter()
        .filter_map(|pod| observed.splits.get(pod))
        .filter(move |w| w.window == name && Some(&w.revision) == revision.as_ref())
}

fn selects(r: &Resolved, observed: &Observed, revision: &str) -> bool {
    let name = names::stable_service(&r.name);
    observed.services.iter().filter(|s| s.metadata.name.as_ref() == Some(&name)).any(|s| {
        let selector = s.spec.as_ref().and_then(|s| s.selector.as_ref());
        selector.and_then(|s| s.get(labels::REVISION)).is_some_and(|of| of == revision)
    })
}

/// The Service that the canary is reached by, where it is not there or belongs to something else: the stable pods send to a name.
fn service_is_lost(r: &Resolved, observed: &Observed) -> Option<String> {
    let is_ours = |name: &String| {
        let is =
            |s: &Service| s.metadata.name.as_ref() == Some(name) && labels::is_controlled_by(&s.metadata, &r.owner.uid);
        observed.services.iter().any(is)
    };
    let preview = (r.rollout.strategy == Strategy::BlueGreen).then(|| names::preview_service(&r.name));
    [Some(names::canary_service(&r.name)), preview].into_iter().flatten().find(|name| !is_ours(name))
}

/// Why a Deployment has no pods at all: a quota, an admission webhook.
fn refusal(d: &Deployment) -> Option<String> {
    let conditions = d.status.as_ref()?.conditions.as_deref()?;
    let failed = conditions
        .iter()
        .find(|c| c.type_.as_deref() == Some("ReplicaFailure") && c.status.as_deref() == Some("True"))?;
    failed.message.clone()
}

/// Whether a pod was told to send requests to the canary in this window.
fn is_told(pod: &Pod, window: &str) -> bool {
    told(pod).is_some_and(|s| s.window == window)
}

/// What a pod was told, as far as it can be read.
pub fn told(pod: &Pod) -> Option<Split> {
    annotation(&pod.metadata, SPLIT_ANNOTATION).and_then(|text| serde_json::from_str(text).ok())
}

fn tell(pod: &Pod, wanted: Option<&Split>) -> Option<PodSplit> {
    let told = told(pod);
    // What cannot be read is something, and something else.
    let is_right = told.as_ref() == wanted && annotation(&pod.metadata, SPLIT_ANNOTATION).is_some() == told.is_some();
    (!is_right).then(|| PodSplit { pod: pod.metadata.name.clone().unwrap_or_default(), split: wanted.cloned() })
}
