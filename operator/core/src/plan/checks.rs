//! Jobs that say whether a canary is good: one in each step.

use std::collections::BTreeMap;

use drydock_crds::{CheckJob, ExternalMetric, RolloutStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

use crate::children::check_job::{self, CONTAINER};
use crate::external::{Answer, Heard, is_asked, key};
use crate::{Child, Observed, Resolved, job_state, labels, names, pod_state};

/// The Jobs of the step that is held.
pub fn wanted(r: &Resolved, observed: &Observed, at: &RolloutStatus) -> Vec<Child> {
    if !is_asked(at) {
        return Vec::new();
    }
    let jobs = of_jobs(r).map(|(of, check)| {
        let name = names::check_job(&r.name, &key(of, at));
        let existing = observed.jobs.iter().find(|j| j.metadata.name.as_ref() == Some(&name));
        Child::Job(Box::new(check_job::check_job(r, of, check, at, existing)))
    });
    jobs.collect()
}

/// What all sources have said: those that the shell asks, and the Jobs.
pub fn heard(r: &Resolved, observed: &Observed, at: &RolloutStatus) -> BTreeMap<String, Heard> {
    let mut all = observed.external.clone();
    for (of, _) in of_jobs(r).filter(|_| is_asked(at)) {
        all.remove(&of.name);
        all.extend(said(r, observed, of, at).map(|heard| (of.name.clone(), heard)));
    }
    all
}

fn of_jobs(r: &Resolved) -> impl Iterator<Item = (&ExternalMetric, &CheckJob)> {
    r.rollout.analysis.external.iter().filter_map(|of| Some((of, of.job.as_ref()?)))
}

/// Nothing while it runs.
fn said(r: &Resolved, observed: &Observed, of: &ExternalMetric, at: &RolloutStatus) -> Option<Heard> {
    let key = key(of, at);
    let name = names::check_job(&r.name, &key);
    let is_it = |j: &&Job| {
        j.metadata.name.as_ref() == Some(&name)
            && labels::is_controlled_by(&j.metadata, &r.owner.uid)
            && j.metadata.deletion_timestamp.is_none()
    };
    let job = observed.jobs.iter().find(is_it).filter(|j| job_state::is_finished(j))?;
    let answer = answer(job, of, &observed.pods)?;
    Some(Heard::after(None, &key, of, answer, job_state::ended_at(job).unwrap_or(Timestamp::UNIX_EPOCH)))
}

/// By its exit code. `None`: its pod's end is not to be seen yet.
fn answer(job: &Job, of: &ExternalMetric, pods: &[Pod]) -> Option<Answer> {
    let Some(failure) = job_state::failure(job) else { return Some(Answer::Yes) };
    let of_job = |p: &&Pod| job.metadata.uid.as_deref().is_some_and(|uid| labels::is_controlled_by(&p.metadata, uid));
    let pods: Vec<&Pod> = pods.iter().filter(of_job).collect();
    if failure.reason.as_deref() == Some("DeadlineExceeded") {
        let excuse = pod_state::excuse(&pods).map(|e| format!(": {e}")).unwrap_or_default();
        let limit = check_job::deadline_seconds(of);
        return Some(Answer::Nothing(format!("its Job did not end within {limit} seconds (timeoutSeconds){excuse}")));
    }
    match (pods.iter().find_map(|p| ended(p)), pods.is_empty()) {
        (Some(end), _) => Some(Answer::No(words(end))),
        (None, false) => None,
        (None, true) => Some(Answer::Nothing("its Job failed, and its pod is gone with the exit code".to_owned())),
    }
}

fn ended(pod: &Pod) -> Option<&ContainerStateTerminated> {
    pod_state::containers(pod).iter().find(|c| c.name == CONTAINER)?.state.as_ref()?.terminated.as_ref()
}

fn words(end: &ContainerStateTerminated) -> String {
    let said = end.message.as_deref().unwrap_or_default().trim();
    let said = if said.is_empty() { end.reason.as_deref().unwrap_or_default() } else { said };
    pod_state::cut(&format!("exit code {}: {said}", end.exit_code), 300)
}
