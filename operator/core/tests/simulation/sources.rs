use drydock_operator_core::{Answer, Heard, Plan};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use super::Cluster;

impl Cluster {
    /// What the shell does with the questions of a pass: the next one knows the answers.
    pub fn ask(&mut self, plan: &Plan) {
        let now = self.operators_now();
        self.observed.external.retain(|name, _| plan.questions.iter().any(|q| q.of.name == *name));
        for q in plan.questions.iter().filter(|q| q.is_due) {
            let good = q.of.max.or(q.of.min).map_or(Answer::Yes, Answer::Number);
            let answer = self.answers.get(&q.of.name).cloned().unwrap_or(good);
            let before = self.observed.external.get(&q.of.name);
            let heard = Heard::after(before, &q.key, &q.of, answer, now);
            self.observed.external.insert(q.of.name.clone(), heard);
        }
    }

    /// Each ends after three seconds, with the exit code of its image.
    pub fn checks(&mut self) {
        for at in 0..self.observed.jobs.len() {
            let job = &self.observed.jobs[at];
            let age = self.now.as_second() - job.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
            if !is_check(job) || job.status.is_some() || age < 3 {
                continue;
            }
            let pod = job.spec.as_ref().unwrap().template.clone();
            let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
            let exit_code = self.exit_codes.get(&image).copied().unwrap_or(0);
            let owner = job.metadata.uid.clone().unwrap();
            let serial = self.uid();
            self.observed.pods.push(check_pod(pod.metadata.unwrap(), serial, owner, exit_code));
            let (type_, reason) =
                if exit_code == 0 { ("Complete", None) } else { ("Failed", Some("BackoffLimitExceeded".into())) };
            let end = JobCondition {
                type_: type_.into(),
                status: "True".into(),
                reason,
                last_transition_time: Some(Time(self.now)),
                ..JobCondition::default()
            };
            self.observed.jobs[at].status = Some(JobStatus { conditions: Some(vec![end]), ..JobStatus::default() });
            self.wakes.changed = true;
        }
    }
}

pub fn is_check(job: &Job) -> bool {
    job.metadata.labels.iter().flatten().any(|(k, v)| k == "app.kubernetes.io/component" && v == "check")
}

fn check_pod(template: ObjectMeta, serial: String, job: String, exit_code: i32) -> Pod {
    let end = ContainerStateTerminated { exit_code, message: Some("two of ten failed\n".into()), ..Default::default() };
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("check-{serial}")),
            uid: Some(serial),
            owner_references: Some(vec![OwnerReference {
                uid: job,
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..template
        },
        spec: None,
        status: Some(PodStatus {
            phase: Some(if exit_code == 0 { "Succeeded" } else { "Failed" }.into()),
            container_statuses: Some(vec![ContainerStatus {
                name: "check".into(),
                state: Some(ContainerState { terminated: Some(end), ..ContainerState::default() }),
                ..ContainerStatus::default()
            }]),
            ..PodStatus::default()
        }),
    }
}
