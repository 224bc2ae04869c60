mod checks;
mod desired;
mod diff;
mod guard;
mod retry;
mod revisions;
mod routing;
mod tracks;

use drydock_contract::Split;
use drydock_crds::{CandidateState, OptimizationStatus, Reason, RolloutStage, RolloutStatus, Unrecorded};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use crate::external::{self, Question};
use crate::rollout::Routes;
use crate::selection::Verdict;
use crate::{
    Child, ChildRef, Memory, Observed, Outlook, Resolved, labels, names, optimization, pod_state, record, rollout,
    selection,
};
pub use guard::guard;
use revisions::Revisions;
use tracks::Tracks;

/// One pass, decided. To be carried out in the order of the fields; `records` and `prune` only if everything before them succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is missing or differs, whole. A child that is not in [`Observed`] may still exist and belong to something else:
    /// look before the first write.
    pub writes: Vec<Child>,
    /// To the scale subresource, where no autoscaler decides.
    pub scales: Vec<Scale>,
    /// To the pods' annotation [`drydock_contract::SPLIT_ANNOTATION`].
    pub splits: Vec<PodSplit>,
    /// Of what has happened once the writes above have: a promotion that failed is not written down as one.
    pub records: Vec<Child>,
    /// Ours, there, and no longer wanted.
    pub prune: Vec<ChildRef>,
    /// Should nothing land of what is written: [`crate::status`] takes out of it what has.
    pub memory: Memory,
    pub outlook: Outlook,
    /// To whom, while a step is held: all that are asked, and which of them now. What was heard of others may be forgotten.
    pub questions: Vec<Question>,
    /// To be published as far as [`crate::announced`] says.
    pub notices: Vec<Notice>,
    pub wake: Wake,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    pub deployment: String,
    pub replicas: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PodSplit {
    pub pod: String,
    /// `None` removes the annotation.
    pub split: Option<Split>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub warning: bool,
    pub reason: Reason,
    pub note: String,
}

/// When to look again if nothing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wake {
    #[default]
    OnChange,
    After(SignedDuration),
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.scales.is_empty()
            && self.splits.is_empty()
            && self.records.is_empty()
            && self.prune.is_empty()
    }
}

impl Notice {
    pub(crate) fn normal(reason: Reason, note: String) -> Self {
        Self { warning: false, reason, note }
    }

    pub(crate) fn warning(reason: Reason, note: String) -> Self {
        Self { warning: true, reason, note }
    }
}

/// What to do now.
pub fn plan(resolved: &Resolved, observed: &Observed, memory: &Memory, now: Timestamp) -> Plan {
    let (job, is_stale) = job(resolved, observed);
    let stuck_at = job.and_then(|j| stuck_at(j, &observed.pods));
    let mut is_stale = is_stale || stuck_at.is_some_and(|at| at <= now);
    let usable_job = job.filter(|j| !is_stale && j.metadata.deletion_timestamp.is_none());
    let mut found =
        optimization::read(&resolved.optimization, usable_job, &observed.pods, memory.optimization.as_ref());
    let verdict = selection::select(&mut found.candidates, &resolved.selection);
    let mut notices = tidings(memory.optimization.as_ref(), &found, &verdict);
    let again_at = usable_job.and_then(|j| retry::again_at(j, &verdict, found.attempt)).filter(|_| !resolved.suspend);
    if again_at.is_some_and(|at| at <= now) {
        retry::begin_again(&mut found);
        is_stale = true;
    } else if matches!(verdict, Verdict::Chosen(_)) {
        found.attempt = 0;
    }

    let revisions = Revisions::gather(resolved, observed, &verdict, &found, &memory.rollout);
    let before = Tracks::see(resolved, observed, &memory.rollout, now);
    let signals = before.signals(resolved, observed, &memory.rollout, &revisions);
    let transition = rollout::advance(&memory.rollout, &signals, resolved.rules(), now);
    let mut at = transition.next;
    let control = &resolved.rollout.control;
    let decided = record::decisions(&memory.rollout, &at, &transition.metrics, control, now);
    // What an earlier pass could not write down comes first.
    let unrecorded: Vec<Unrecorded> = memory.rollout.unrecorded.iter().chain(&decided).cloned().collect();
    let news = desired::News { decided: &unrecorded, candidates: &found.candidates };
    notices.extend(transition.because);

    let tracks = Tracks::see(resolved, observed, &at, now);
    let desired = desired::children(resolved, observed, &at, &tracks, &revisions, is_stale, &news);
    // What the status still gives a part goes once it does not any more: an operator that dies between the two would make it again, and begin
    // the rollout that has just failed anew.
    let live = [desired::live(&at), desired::live(&memory.rollout)].concat();
    let mut diff = diff::diff(resolved, observed, desired, &live);
    let routes = routing::see(resolved, observed, &tracks.shares(resolved, &at));
    let is_unrouted = at.stable.is_some() && matches!(routes, Routes::Pending(_)) && !rollout::is_late(&at, now);
    if is_unrouted {
        // The gateway may send them requests yet.
        diff.prune.retain(|gone| !routing::is_serving(gone.kind));
    }
    at.unrecorded = record::outstanding(unrecorded, &diff.writes);
    let (records, writes) =
        diff.writes.iter().cloned().partition(|child| desired::tells_of_a_promotion(child, &decided));
    Plan {
        scales: tracks.scales(resolved, observed, &diff),
        splits: tracks.splits(resolved, &at),
        outlook: Outlook {
            again_at,
            routes,
            foreign: diff.foreign,
            ending: diff.ending,
            asked: revisions.asked,
            unknown: revisions.unknown,
            ..tracks.outlook(resolved, &at, Some(verdict), revisions.target, now)
        },
        wake: wake(
            resolved,
            &at,
            &tracks,
            is_unrouted,
            [stuck_at, again_at].into_iter().flatten().filter(|_| !is_stale),
            now,
        ),
        questions: external::questions(resolved, &at, &observed.external, now),
        writes,
        records,
        prune: diff.prune,
        memory: Memory { rollout: at, optimization: Some(found) },
        notices,
    }
}

/// The Job of the present work, and whether what it wrote is gone: with no claim, or one that is younger than the Job and so
/// another volume.
fn job<'a>(r: &Resolved, observed: &'a Observed) -> (Option<&'a Job>, bool) {
    let name = names::optimization_job(&r.name, &r.optimization.hash);
    let job = observed
        .jobs
        .iter()
        .find(|j| j.metadata.name.as_ref() == Some(&name) && labels::is_controlled_by(&j.metadata, &r.owner.uid));
    let claim = observed.claims.iter().find(|c| c.metadata.name.as_ref() == Some(&names::claim(&r.name)));
    let born =
        |m: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| m.creation_timestamp.as_ref().map(|t| t.0);
    let is_stale = match (job.and_then(|j| born(&j.metadata)), claim.and_then(|c| born(&c.metadata))) {
        (Some(job), Some(claim)) => claim > job,
        (Some(_), None) => true,
        (None, _) => false,
    };
    (job, is_stale)
}

/// What is new about the candidates.
fn tidings(before: Option<&OptimizationStatus>, found: &OptimizationStatus, verdict: &Verdict) -> Vec<Notice> {
    let before = before.filter(|o| o.task == found.task);
    let selected = |o: &OptimizationStatus| {
        o.candidates.iter().find(|c| c.state == CandidateState::Selected).map(|c| c.name.clone())
    };
    // Without the original nothing can be said of the others.
    let original_failed =
        |o: &OptimizationStatus| o.candidates.first().is_some_and(|c| c.state == CandidateState::Failed);
    let was_decided = before.is_some_and(|o| original_failed(o) || o.candidates.iter().all(optimization::is_final));
    let was_selected = before.and_then(selected);
    match verdict {
        Verdict::Chosen(name) if was_selected.as_ref() != Some(name) => {
            let numbers = found.candidates.iter().find(|c| &c.name == name).map(selection::numbers).unwrap_or_default();
            let of = found.candidates.len();
            vec![Notice::normal(Reason::CandidateSelected, format!("{name} of {of} candidates: {numbers}"))]
        }
        Verdict::Nothing { reason, message } | Verdict::Again { reason, message }
            if !was_decided || was_selected.is_some() =>
        {
            vec![Notice::warning(*reason, message.clone())]
        }
        _ => Vec::new(),
    }
}

/// When the Job is given up for a failed pod that is being deleted and does not go: its controller holds it until the index
/// has another pod, which in a namespace on its way out it never gets, and the namespace would wait for the Job's deadline.
fn stuck_at(job: &Job, pods: &[Pod]) -> Option<Timestamp> {
    /// The Job controller's longest wait before the first three retries is 40 seconds.
    const PATIENCE: SignedDuration = SignedDuration::from_secs(45);
    pods.iter()
        .filter(|p| labels::label(&p.metadata, labels::JOB_NAME) == job.metadata.name.as_deref())
        .filter(|p| pod_state::phase(p) == Some("Failed"))
        .filter_map(|p| p.metadata.deletion_timestamp.as_ref()?.0.checked_add(PATIENCE).ok())
        .min()
}

fn wake(
    r: &Resolved,
    at: &RolloutStatus,
    tracks: &Tracks<'_>,
    is_unrouted: bool,
    job_at: impl Iterator<Item = Timestamp>,
    now: Timestamp,
) -> Wake {
    /// Between two looks at a rollout that is on its way.
    const LOOK: SignedDuration = SignedDuration::from_secs(1);
    /// While it waits for a person, who may take days, or for a gateway that refuses. Only the pods know how the canary does, and have to
    /// be asked.
    const SLOW_LOOK: SignedDuration = SignedDuration::from_secs(5);
    let since = at.since.as_ref().map_or(now, |t| t.0);
    let left = |from: Timestamp, seconds: i32| SignedDuration::from_secs(seconds.into()) - now.duration_since(from);
    let mut times = Vec::new();
    if at.canary.is_some() && !r.suspend {
        let step = usize::try_from(at.step).ok().and_then(|step| r.course.get(step));
        let hold = step.filter(|_| at.stage == RolloutStage::Holding);
        let hold = hold.map(|s| left(since, s.hold_seconds.saturating_sub(at.held_seconds)));
        // A step that is over and held for want of evidence is looked at no more often than the others.
        let hold = hold.filter(SignedDuration::is_positive);
        let look = hold.map_or(LOOK, |left| left.clamp(SignedDuration::from_millis(10), LOOK));
        match (rollout::waits(at, r.rules(), now), tracks.sends(r, at)) {
            // What is called back waits for no gateway.
            (None, _) if rollout::is_late(at, now) && r.rollout.control.roll_back_to.is_none() => times.push(SLOW_LOOK),
            (None, _) => times.push(look),
            (Some(_), true) => times.push(SLOW_LOOK),
            (Some(_), false) if external::is_asked(at) && !r.rollout.analysis.external.is_empty() => {
                times.push(SLOW_LOOK);
            }
            // Nothing to judge: the watches see the person's word, and the pods.
            (Some(_), false) => {}
        }
    }
    if let Some(until) = at.previous_until.as_ref().filter(|_| at.previous.is_some()) {
        times.push(until.0.duration_since(now).max(LOOK));
    }
    times.extend(is_unrouted.then_some(LOOK));
    times.extend(job_at.map(|at| at.duration_since(now).max(LOOK)));
    if at.stable.is_some() && !at.stable_was_ready && tracks.stable.desired > 0 {
        if tracks.stable.ready > 0 {
            times.push(LOOK);
        }
        // Just past the deadline, to say so.
        times.push(left(since, r.rollout.progress_deadline_seconds) + LOOK);
    }
    times.into_iter().filter(SignedDuration::is_positive).min().map_or(Wake::OnChange, Wake::After)
}
