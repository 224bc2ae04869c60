use super::*;
use std::collections::BTreeMap;

use drydock_contract::{
    AccuracyMeasurement, Digest, FidelityMeasurement, Input, LatencyMeasurement, Location, Recipe, SizeMeasurement,
    Task,
};
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateWaiting, ContainerStatus, PodStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

fn work() -> OptimizationWork {
    OptimizationWork {
        hash: "01234567".into(),
        task: Task {
            model: Input { location: Location::Url("https://m".into()), sha256: None },
            preprocessing: drydock_contract::Preprocessing::default(),
            labels: vec![],
            detection: None,
            dataset: None,
            recipes: vec![Recipe { name: "int8".into(), techniques: vec![] }],
            models: BTreeMap::new(),
            target: None,
            search: None,
            store: "/store".into(),
        },
        task_json: String::new(),
        mounts: BTreeMap::new(),
        image: "optimizer".into(),
        image_pull_policy: None,
        resources: ResourceRequirements {
            limits: Some([("memory".to_owned(), Quantity("2Gi".to_owned()))].into()),
            ..ResourceRequirements::default()
        },
        deadline_seconds: 60,
    }
}

fn job(completed: &str, failed: &str, condition: Option<(&str, &str)>) -> Job {
    Job {
        metadata: ObjectMeta { name: Some("job".into()), uid: Some("u".into()), ..ObjectMeta::default() },
        spec: None,
        status: Some(JobStatus {
            completed_indexes: Some(completed.into()),
            failed_indexes: Some(failed.into()),
            conditions: condition.map(|(type_, reason)| {
                vec![JobCondition {
                    type_: type_.into(),
                    status: "True".into(),
                    reason: Some(reason.into()),
                    ..JobCondition::default()
                }]
            }),
            ..JobStatus::default()
        }),
    }
}

fn pod(index: usize, born: i64, state: ContainerState) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("p{born}")),
            creation_timestamp: Some(Time(jiff::Timestamp::from_second(born).unwrap())),
            labels: Some([(labels::JOB_NAME.to_owned(), "job".to_owned())].into()),
            annotations: Some([(labels::COMPLETION_INDEX.to_owned(), index.to_string())].into()),
            owner_references: Some(vec![OwnerReference {
                uid: "u".into(),
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(PodStatus {
            phase: Some(if state.running.is_some() { "Running" } else { "Pending" }.into()),
            container_statuses: Some(vec![ContainerStatus {
                name: "optimizer".into(),
                state: Some(state),
                ..ContainerStatus::default()
            }]),
            ..PodStatus::default()
        }),
    }
}

fn ended(exit_code: i32, reason: &str, message: &str) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code,
            reason: Some(reason.into()),
            message: Some(message.into()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn failure(reason: FailureReason, message: &str) -> ContainerState {
    let report = CandidateReport {
        candidate: "x".into(),
        package: None,
        measurements: Measurements::default(),
        failure: Some(Failure { reason, message: message.into() }),
    };
    ended(reason.exit_code().into(), "Error", &report.to_termination_message())
}

fn success() -> ContainerState {
    let report = CandidateReport {
        candidate: "original".into(),
        package: Some(Digest::of(b"x")),
        measurements: Measurements {
            latency: Some(LatencyMeasurement {
                cpu: 3.0,
                original_cpu: 10.0,
                p50: 0.0,
                p99: 0.0,
                original_p50: 0.0,
                original_p99: 0.0,
                rounds: 1,
                ..LatencyMeasurement::default()
            }),
            size: Some(SizeMeasurement { bytes: 1, original_bytes: 3 }),
            ..Measurements::default()
        },
        failure: None,
    };
    ended(0, "Completed", &report.to_termination_message())
}

/// State, reason and a part of the message of the original.
fn seen(job: &Job, pods: &[Pod]) -> (CandidateState, Option<String>, String) {
    let found = read(&work(), Some(job), pods, None);
    let c = found.candidates.into_iter().next().unwrap();
    (c.state, c.reason, c.message.unwrap_or_default())
}

#[test]
fn how_a_candidate_can_end() {
    use CandidateState::{Failed, Passed, Pending, Retrying, Running};
    let waits = ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some("ImagePullBackOff".into()),
            message: Some("no such image".into()),
        }),
        ..ContainerState::default()
    };
    let running = ContainerState {
        running: Some(k8s_openapi::api::core::v1::ContainerStateRunning::default()),
        ..ContainerState::default()
    };
    let unreachable = || failure(FailureReason::SourceUnreachable, "HTTP 503");
    let cases = vec![
        ("nothing yet", job("", "", None), vec![], (Pending, "", "")),
        (
            "its image cannot be had",
            job("", "", None),
            vec![pod(0, 1, waits)],
            (Pending, "", "ImagePullBackOff: no such image"),
        ),
        ("at work", job("", "", None), vec![pod(0, 1, running.clone())], (Running, "", "")),
        ("done", job("0", "", None), vec![pod(0, 1, success())], (Passed, "", "")),
        ("done, and the Job has not noticed", job("", "", None), vec![pod(0, 1, success())], (Passed, "", "")),
        ("tries again", job("", "", None), vec![pod(0, 1, unreachable())], (Retrying, "SourceUnreachable", "HTTP 503")),
        (
            "at it again",
            job("", "", None),
            vec![pod(0, 1, unreachable()), pod(0, 2, running)],
            (Retrying, "SourceUnreachable", "HTTP 503"),
        ),
        (
            "done at the second try",
            job("0", "", None),
            vec![pod(0, 2, success()), pod(0, 1, unreachable())],
            (Passed, "", ""),
        ),
        ("given up", job("", "0", None), vec![pod(0, 1, unreachable())], (Failed, "SourceUnreachable", "HTTP 503")),
        (
            "bad",
            job("", "0", None),
            vec![pod(0, 1, failure(FailureReason::InvalidModel, "no ONNX"))],
            (Failed, "InvalidModel", "no ONNX"),
        ),
        (
            "too big",
            job("", "0", None),
            vec![pod(0, 1, ended(137, "OOMKilled", ""))],
            (Failed, "OutOfMemory", "memory limit of 2Gi"),
        ),
        (
            "killed, and not for its memory",
            job("", "0", None),
            vec![pod(0, 1, ended(137, "Error", ""))],
            (Failed, "Internal", "exit code 137"),
        ),
        (
            "babbles",
            job("", "0", None),
            vec![pod(0, 1, ended(101, "Error", "thread main panicked"))],
            (Failed, "Internal", "exit code 101: thread main panicked"),
        ),
        (
            "out of time",
            job("", "", Some(("Failed", "DeadlineExceeded"))),
            vec![],
            (Failed, "DeadlineExceeded", "60 seconds"),
        ),
        (
            "done in time, others were not",
            job("0", "", Some(("Failed", "DeadlineExceeded"))),
            vec![pod(0, 1, success())],
            (Passed, "", ""),
        ),
        ("the pod is gone", job("0", "", None), vec![], (Failed, "Internal", "gone with the result")),
        (
            "our copy of the pod is behind",
            job("0", "", None),
            vec![pod(0, 1, ContainerState::default())],
            (Running, "", ""),
        ),
        ("another index", job("1", "", None), vec![pod(1, 1, success())], (Pending, "", "")),
    ];
    for (name, job, pods, (state, reason, message)) in cases {
        let (is, why, says) = seen(&job, &pods);
        assert_eq!((is, why.as_deref().unwrap_or_default()), (state, reason), "{name}: {says}");
        assert!(says.contains(message) && says.is_empty() == message.is_empty(), "{name}: {says}");
    }
}

#[test]
fn results_outlive_their_pods_but_not_their_job() {
    let done = job("0", "", None);
    let found = read(&work(), Some(&done), &[pod(0, 1, success())], None);
    assert_eq!(found.candidates[0].speedup, Some(3.3333));
    assert_eq!(found.candidates[0].size_ratio, Some(0.3333));
    assert_eq!(read(&work(), Some(&done), &[], Some(&found)), found);
    assert_eq!(read(&work(), None, &[], Some(&found)).candidates[0].state, CandidateState::Pending);
    let other = OptimizationWork { hash: "other".into(), ..work() };
    assert_eq!(read(&other, Some(&job("", "", None)), &[], Some(&found)).candidates[0].state, CandidateState::Pending);
}

#[test]
fn a_lost_result_that_turns_up_after_all_is_taken() {
    let done = job("0", "", None);
    let lost = read(&work(), Some(&done), &[], None);
    assert_eq!(lost.candidates[0].state, CandidateState::Failed);
    let found = read(&work(), Some(&done), &[pod(0, 1, success())], Some(&lost));
    assert_eq!(found.candidates[0].state, CandidateState::Passed);
}

#[test]
fn pods_of_an_earlier_job_of_the_name_do_not_count() {
    let mut old = pod(0, 1, success());
    old.metadata.owner_references.as_mut().unwrap()[0].uid = "earlier".into();
    assert_eq!(seen(&job("", "", None), &[old]).0, CandidateState::Pending);
}

/// A detector has no top-1, and neither has what was measured without labels.
#[test]
fn agreement_is_shown_without_an_accuracy() {
    let fidelity = Some(FidelityMeasurement { agreement: 97.5, sqnr_decibels: None, images: 40 });
    let accuracy = Some(AccuracyMeasurement { agreement: 99.0, ..AccuracyMeasurement::default() });
    for (accuracy, fidelity, expected) in
        [(None, None, None), (None, fidelity.clone(), Some(97.5)), (accuracy, fidelity, Some(99.0))]
    {
        let mut status = CandidateStatus::default();
        measured(&mut status, &Measurements { accuracy, fidelity, ..Measurements::default() });
        assert_eq!(status.agreement, expected);
    }
}
