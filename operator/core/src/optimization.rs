//! What the optimization Job has found so far.

use drydock_contract::{CandidateReport, Failure, FailureReason, Measurements, Numbers, rounded};
use drydock_crds::{CandidateState, CandidateStatus, OptimizationStatus};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

use crate::children::optimization_job::CONTAINER;
use crate::labels::{self, annotation, label};
use crate::resolved::OptimizationWork;
use crate::{job_state, pod_state};

/// The candidates as they stand, before any is compared with a gate. `job` is the one of this work, if it is there.
pub fn read(
    work: &OptimizationWork,
    job: Option<&Job>,
    pods: &[Pod],
    remembered: Option<&OptimizationStatus>,
) -> OptimizationStatus {
    // Results live as long as their Job: whoever deletes it by hand asks for it to be done again.
    let remembered = remembered.filter(|o| o.task == work.hash);
    let candidates = (0..work.task.candidates())
        .map(|index| {
            let name = work.task.candidate_name(index).unwrap_or_default();
            let seen = job.map_or_else(|| waiting(name), |job| candidate(work, name, index, job, pods));
            match remembered.and_then(|o| o.candidates.iter().find(|c| c.name == name)) {
                // Pods may vanish, what they said does not.
                Some(before) if job.is_some() && is_final(before) && !seen.reported => before.clone(),
                // Nor what went wrong with the Job before this one, until there is news.
                Some(before) if before.state == CandidateState::Retrying && has_no_news(&seen.status) => before.clone(),
                _ => seen.status,
            }
        })
        .collect();
    OptimizationStatus { task: work.hash.clone(), attempt: remembered.map_or(0, |o| o.attempt), candidates }
}

fn has_no_news(c: &CandidateStatus) -> bool {
    !is_final(c) && c.message.is_none()
}

/// Measured or failed.
pub fn is_final(c: &CandidateStatus) -> bool {
    use CandidateState::{Failed, Passed, Rejected, Selected};
    matches!(c.state, Passed | Rejected | Selected | Failed)
}

struct Seen {
    status: CandidateStatus,
    /// By the optimizer itself, in words that we could read.
    reported: bool,
}

fn waiting(name: &str) -> Seen {
    Seen { status: CandidateStatus { name: name.to_owned(), ..CandidateStatus::default() }, reported: false }
}

fn candidate(work: &OptimizationWork, name: &str, index: usize, job: &Job, pods: &[Pod]) -> Seen {
    let pods = of_index(job, index, pods);
    let newest_end = pods.iter().rev().find_map(|p| terminated(p));
    let is_completed = job_state::completed(job).contains(&index);
    let is_failed = job_state::failed(job).contains(&index);
    if let Some(report) = newest_end.and_then(report)
        && (is_completed || report.failure.is_none())
    {
        return finished(name, &report);
    }
    if is_completed {
        // The Job is told of a pod's end after the pod; here the pod is gone, or our copy of it is behind.
        return if pods.is_empty() {
            failed(name, FailureReason::Internal, "it finished, and its pod is gone with the result".to_owned())
        } else {
            Seen { status: in_state(name, CandidateState::Running), reported: false }
        };
    }
    if is_failed {
        return match newest_end {
            Some(end) => last_words(work, name, end),
            None => failed(name, FailureReason::Internal, "it failed, and its pod is gone with the reason".to_owned()),
        };
    }
    if let Some(condition) = job_state::failure(job) {
        let reason = condition.reason.as_deref().unwrap_or_default();
        return if reason == "DeadlineExceeded" {
            let limit = work.deadline_seconds;
            let with = if work.task.search.is_some() { " and search.timeBudgetSeconds" } else { "" };
            failed(
                name,
                FailureReason::DeadlineExceeded,
                format!("not finished within {limit} seconds (optimization.deadlineSeconds{with})"),
            )
        } else {
            let message = condition.message.as_deref().unwrap_or_default();
            failed(name, FailureReason::Internal, format!("the Job failed: {reason} {message}").trim_end().to_owned())
        };
    }
    under_way(work, name, newest_end, pods.last().copied())
}

/// Not finished: what it does, and what went wrong with the last try.
fn under_way(
    work: &OptimizationWork,
    name: &str,
    end: Option<&ContainerStateTerminated>,
    newest: Option<&Pod>,
) -> Seen {
    if let Some(end) = end {
        let mut seen = last_words(work, name, end);
        seen.status.state = CandidateState::Retrying;
        return Seen { reported: false, ..seen };
    }
    let state = match newest.and_then(pod_state::phase) {
        Some("Running") => CandidateState::Running,
        _ => CandidateState::Pending,
    };
    let mut status = in_state(name, state);
    status.message = newest.and_then(|p| pod_state::excuse(&[p]));
    Seen { status, reported: false }
}

/// The pods of one index, oldest first.
fn of_index<'a>(job: &Job, index: usize, pods: &'a [Pod]) -> Vec<&'a Pod> {
    let index = index.to_string();
    let mut found: Vec<&Pod> = pods
        .iter()
        .filter(|p| label(&p.metadata, labels::JOB_NAME) == job.metadata.name.as_deref())
        // A Job of the same name may have been there before.
        .filter(|p| job.metadata.uid.as_deref().is_some_and(|uid| labels::is_controlled_by(&p.metadata, uid)))
        .filter(|p| {
            [label, annotation].iter().any(|get| get(&p.metadata, labels::COMPLETION_INDEX) == Some(index.as_str()))
        })
        .collect();
    found.sort_by(|a, b| {
        let key = |p: &Pod| (p.metadata.creation_timestamp.as_ref().map(|t| t.0), p.metadata.name.clone());
        key(a).cmp(&key(b))
    });
    found
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    pod_state::containers(pod).iter().find(|c| c.name == CONTAINER)?.state.as_ref()?.terminated.as_ref()
}

fn report(end: &ContainerStateTerminated) -> Option<CandidateReport> {
    serde_json::from_str(end.message.as_deref()?.trim()).ok()
}

/// What a failed try left: its report, or how it was ended.
fn last_words(work: &OptimizationWork, name: &str, end: &ContainerStateTerminated) -> Seen {
    if let Some(Failure { reason, message }) = report(end).and_then(|r| r.failure) {
        return Seen { reported: true, ..failed(name, reason, message) };
    }
    if end.reason.as_deref() == Some("OOMKilled") {
        let limit = work.resources.limits.as_ref().and_then(|l| l.get("memory")).map(|q| q.0.as_str());
        let message = format!(
            "killed at the memory limit of {} (optimization.resources.limits.memory)",
            limit.unwrap_or("the node")
        );
        return Seen { reported: true, ..failed(name, FailureReason::OutOfMemory, message) };
    }
    let said = end.message.as_deref().unwrap_or_default().trim();
    let said = if said.is_empty() { "it said nothing" } else { said };
    failed(name, FailureReason::Internal, format!("exit code {}: {}", end.exit_code, pod_state::cut(said, 500)))
}

fn in_state(name: &str, state: CandidateState) -> CandidateStatus {
    CandidateStatus { name: name.to_owned(), state, ..CandidateStatus::default() }
}

fn failed(name: &str, reason: FailureReason, message: String) -> Seen {
    let status = CandidateStatus {
        reason: Some(reason.as_str().to_owned()),
        message: Some(message),
        ..in_state(name, CandidateState::Failed)
    };
    Seen { status, reported: false }
}

fn finished(name: &str, report: &CandidateReport) -> Seen {
    let Some(package) = report.package.as_ref().filter(|_| report.failure.is_none()) else {
        let failure = report.failure.clone().unwrap_or_else(|| Failure {
            reason: FailureReason::Internal,
            message: "it finished without a package".to_owned(),
        });
        return Seen { reported: true, ..failed(name, failure.reason, failure.message) };
    };
    let mut status = in_state(name, CandidateState::Passed);
    status.package = Some(package.to_string());
    measured(&mut status, &report.measurements);
    Seen { status, reported: true }
}

fn measured(status: &mut CandidateStatus, m: &Measurements) {
    let numbers = Numbers::from(m);
    status.accuracy = numbers.accuracy;
    status.accuracy_change = numbers.accuracy_change;
    let agreement = m.accuracy.as_ref().map(|a| a.agreement).or(m.fidelity.as_ref().map(|f| f.agreement));
    status.agreement = agreement.and_then(rounded);
    status.latency_milliseconds = numbers.latency_milliseconds;
    status.speedup = numbers.speedup;
    status.size_bytes = numbers.size_bytes;
    status.size_ratio = numbers.size_ratio;
    status.memory_bytes = numbers.memory_bytes;
}

#[cfg(test)]
mod tests;
