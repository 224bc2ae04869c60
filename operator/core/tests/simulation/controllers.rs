use drydock_contract::{CORRECT, Feedback, SPLIT_ANNOTATION, Split, SplitWindow};
use drydock_operator_core::{RouteParentStatus, RouteStatus};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod,
    PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, OwnerReference, Time};

use super::fixtures::report;
use super::{Behaviour, Cluster, Outcome};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const REVISION: &str = "drydock.dev/revision";

impl Cluster {
    pub fn controllers(&mut self) {
        self.autoscalers();
        self.deployments();
        self.kubelet();
        self.jobs();
        self.accept();
        self.sidecars();
    }

    /// Each parent says what it makes of a route.
    fn accept(&mut self) {
        let now = self.now.as_second();
        let changed = &self.gateway.changed;
        let after = self.gateway.accepts_after;
        let is_due = |kind| changed.get(kind).is_some_and(|at| now - at >= after.unwrap_or(1));
        let is_accepted = after.is_some();
        let mut all_due = true;
        let parents = |metadata: &ObjectMeta, refs: &[drydock_operator_core::ParentReference]| {
            let condition = |type_: &str| Condition {
                type_: type_.into(),
                status: if is_accepted { "True" } else { "False" }.into(),
                reason: if is_accepted { "Accepted" } else { "NotAllowedByListeners" }.into(),
                message: String::new(),
                observed_generation: metadata.generation,
                last_transition_time: Time(self.now),
            };
            let conditions = vec![condition("Accepted"), condition("ResolvedRefs")];
            let one = |r: &drydock_operator_core::ParentReference| RouteParentStatus {
                parent_ref: r.clone(),
                conditions: conditions.clone(),
            };
            Some(RouteStatus { parents: refs.iter().map(one).collect() })
        };
        for route in &mut self.observed.http_routes {
            if is_due("HTTPRoute") {
                route.status = parents(&route.metadata, &route.spec.parent_refs);
            }
            all_due &= is_due("HTTPRoute");
        }
        for route in &mut self.observed.grpc_routes {
            if is_due("GRPCRoute") {
                route.status = parents(&route.metadata, &route.spec.parent_refs);
            }
            all_due &= is_due("GRPCRoute");
        }
        let asked = self.asked_of_the_gateway();
        if asked.is_empty() {
            self.gateway.weight = 0;
        } else if all_due && is_accepted {
            self.gateway.weight = asked[0];
        }
    }

    /// Only the least and the most: there is no load here.
    fn autoscalers(&mut self) {
        for hpa in &self.observed.autoscalers {
            let target = &hpa.spec.scale_target_ref.name;
            if let Some(d) = self.observed.deployments.iter_mut().find(|d| d.metadata.name.as_ref() == Some(target)) {
                let has = d.spec.replicas.unwrap_or(1);
                if has > 0 {
                    d.spec.replicas = Some(has.clamp(hpa.spec.min_replicas.unwrap_or(1), hpa.spec.max_replicas));
                }
            }
        }
    }

    fn deployments(&mut self) {
        for d in self.observed.deployments.clone() {
            let uid = d.metadata.uid.clone().unwrap();
            let own = |p: &Pod| p.metadata.owner_references.iter().flatten().any(|r| r.uid == uid);
            let count = self.observed.pods.iter().filter(|p| own(p)).count();
            let want = usize::try_from(d.spec.replicas.unwrap_or(1)).unwrap();
            for _ in count..want {
                let serial = self.uid();
                let template = &d.spec.template;
                let mut labels = template.metadata.as_ref().unwrap().labels.clone().unwrap();
                labels.insert("pod-template-hash".into(), "5c8d".into());
                self.observed.pods.push(Pod {
                    metadata: ObjectMeta {
                        name: Some(format!("{}-{serial}", d.metadata.name.as_deref().unwrap())),
                        uid: Some(serial),
                        labels: Some(labels),
                        annotations: template.metadata.as_ref().unwrap().annotations.clone(),
                        creation_timestamp: Some(Time(self.now)),
                        owner_references: Some(vec![OwnerReference {
                            kind: "ReplicaSet".into(),
                            name: format!("{}-5c8d", d.metadata.name.as_deref().unwrap()),
                            ..owner(&uid)
                        }]),
                        ..ObjectMeta::default()
                    },
                    spec: template.spec.clone(),
                    status: Some(PodStatus { phase: Some("Pending".into()), ..PodStatus::default() }),
                });
            }
            let mut excess = count.saturating_sub(want);
            self.observed.pods.retain(|p| {
                let goes = excess > 0 && own(p);
                excess -= usize::from(goes);
                !goes
            });
        }
    }

    fn kubelet(&mut self) {
        let now = self.now;
        for pod in
            self.observed.pods.iter_mut().filter(|p| p.metadata.labels.iter().flatten().any(|(k, _)| k == REVISION))
        {
            let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
            let behaviour = self.behaviours.get(&image).cloned().unwrap_or_default();
            let age = now.as_second() - pod.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
            let by_hand = self.unready.contains(pod.metadata.name.as_ref().unwrap());
            let ready = !by_hand && !behaviour.crashes && behaviour.ready_after.is_some_and(|after| age >= after);
            let crashed = behaviour.crashes && age >= 3;
            let state = match (&behaviour, crashed) {
                (_, true) => ContainerState {
                    waiting: Some(ContainerStateWaiting { reason: Some("CrashLoopBackOff".into()), message: None }),
                    ..ContainerState::default()
                },
                (Behaviour { ready_after: None, .. }, _) => ContainerState {
                    waiting: Some(ContainerStateWaiting {
                        reason: Some("ImagePullBackOff".into()),
                        message: Some("no such image".into()),
                    }),
                    ..ContainerState::default()
                },
                _ => ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() },
            };
            let last_state = crashed.then(|| ContainerState {
                terminated: Some(ContainerStateTerminated {
                    exit_code: 1,
                    reason: Some("Error".into()),
                    message: Some("starting\nError: the package's digest differs".into()),
                    finished_at: Some(Time(now)),
                    ..ContainerStateTerminated::default()
                }),
                ..ContainerState::default()
            });
            let status = if ready { "True" } else { "False" };
            let before =
                pod.status.as_ref().and_then(|s| s.conditions.as_ref()?.first()).filter(|c| c.status == status);
            let since = before.and_then(|c| c.last_transition_time.clone()).unwrap_or(Time(now));
            pod.status = Some(PodStatus {
                phase: Some("Running".into()),
                pod_ip: Some("10.1.0.1".into()),
                conditions: Some(vec![PodCondition {
                    type_: "Ready".into(),
                    status: status.into(),
                    last_transition_time: Some(since),
                    ..PodCondition::default()
                }]),
                container_statuses: Some(vec![ContainerStatus {
                    name: "inference-sidecar".into(),
                    ready,
                    restart_count: if crashed { 2 } else { 0 },
                    state: Some(state),
                    last_state,
                    ..ContainerStatus::default()
                }]),
                ..PodStatus::default()
            });
        }
    }

    /// One index at a time, three seconds for a try; a failed one is tried again until it fails for good.
    fn jobs(&mut self) {
        for at in 0..self.observed.jobs.len() {
            let mut job = self.observed.jobs[at].clone();
            self.job(&mut job);
            self.observed.jobs[at] = job;
        }
    }

    fn job(&mut self, job: &mut Job) {
        let spec = job.spec.clone().unwrap();
        let mut status = job.status.clone().unwrap_or_default();
        let is_over = status.conditions.iter().flatten().any(|c| c.status == "True");
        let age = self.now.as_second() - job.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
        if is_over || spec.suspend == Some(true) || age % 3 != 0 || age == 0 {
            return;
        }
        let list = |text: &Option<String>| -> Vec<usize> {
            text.iter().flat_map(|t| t.split(',')).filter_map(|t| t.parse().ok()).collect()
        };
        let (mut completed, mut failed) = (list(&status.completed_indexes), list(&status.failed_indexes));
        let total = usize::try_from(spec.completions.unwrap()).unwrap();
        let Some(index) = (0..total).find(|i| !completed.contains(i) && !failed.contains(i)) else { return };
        let task = &spec.template.spec.as_ref().unwrap().containers[0].env.as_ref().unwrap()[0];
        let task: drydock_contract::Task = serde_json::from_str(task.value.as_ref().unwrap()).unwrap();
        let name = task.candidate_name(index).unwrap().to_owned();
        let outcome = self.outcomes.get_mut(&name).and_then(std::collections::VecDeque::pop_front);
        let outcome = outcome.unwrap_or_else(|| Outcome::Report(Box::new(report(&name))));
        let (exit_code, message, reason) = match outcome {
            Outcome::OutOfMemory => (137, None, "OOMKilled"),
            Outcome::Report(report) => match &report.failure {
                Some(f) => (i32::from(f.reason.exit_code()), Some(report.to_termination_message()), "Error"),
                None => (0, Some(report.to_termination_message()), "Completed"),
            },
        };
        let uid = job.metadata.uid.clone().unwrap();
        let is_earlier_try = |p: &&Pod| {
            p.metadata.owner_references.iter().flatten().any(|o| o.uid == uid)
                && p.metadata.labels.iter().flatten().any(|(k, v)| k == INDEX && *v == index.to_string())
        };
        let tries = i32::try_from(self.observed.pods.iter().filter(is_earlier_try).count()).unwrap();
        if exit_code == 0 {
            completed.push(index);
        } else if [64, 65, 137].contains(&exit_code) || tries >= spec.backoff_limit_per_index.unwrap() {
            failed.push(index);
        }
        let serial = self.uid();
        let end = ContainerStateTerminated { exit_code, message, reason: Some(reason.into()), ..Default::default() };
        self.observed.pods.push(job_pod(job, index, serial, end, Time(self.now)));
        if completed.len() + failed.len() == total {
            let type_ = if failed.is_empty() { "Complete" } else { "Failed" };
            status.conditions = Some(vec![JobCondition {
                type_: type_.into(),
                status: "True".into(),
                last_transition_time: Some(Time(self.now)),
                ..JobCondition::default()
            }]);
        }
        let text = |mut list: Vec<usize>| {
            list.sort_unstable();
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        job.status =
            Some(JobStatus { completed_indexes: Some(text(completed)), failed_indexes: Some(text(failed)), ..status });
    }

    /// Each ready pod with a share sends it, and counts.
    fn sidecars(&mut self) {
        let revisions: Vec<(String, Behaviour)> = self
            .observed
            .deployments
            .iter()
            .map(|d| {
                let image = d.spec.template.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
                let revision = d.metadata.labels.as_ref().unwrap()[REVISION].clone();
                (revision, self.behaviours.get(&image).cloned().unwrap_or_default())
            })
            .collect();
        let mut answers = std::collections::BTreeMap::new();
        for pod in &self.observed.pods {
            let text = pod.metadata.annotations.as_ref().and_then(|a| a.get(SPLIT_ANNOTATION));
            let Some(split) = text.and_then(|t| serde_json::from_str::<Split>(t).ok()) else { continue };
            let name = pod.metadata.name.clone().unwrap();
            let mut window = self.observed.splits.get(&name).cloned().unwrap_or_default();
            if window.window != split.window {
                window = SplitWindow::default();
            }
            let behaviour =
                revisions.iter().find(|(r, _)| *r == split.revision).map(|(_, b)| b.clone()).unwrap_or_default();
            let sent = self.requests_per_second * u64::from(split.weight) / 100;
            window.revision.clone_from(&split.revision);
            window.window.clone_from(&split.window);
            window.weight = split.weight;
            let copies = (self.requests_per_second - sent) * u64::from(split.shadow) / 100;
            window.requests += sent + copies;
            window.errors += (sent + copies) * behaviour.errors / 100;
            let compared = sent * u64::from(split.compare) / 100 + copies;
            window.compared += compared;
            window.agreed += compared - compared * behaviour.disagreements / 100;
            let own = window.stable.get_or_insert_default();
            if self.routes().is_empty() {
                let kept = self.requests_per_second - sent;
                own.requests += kept;
                users(&split, &behaviour, sent, &mut window.feedback);
                users(&split, &Behaviour::default(), kept, &mut own.feedback);
            } else {
                // The gateway divides, and each counts its own.
                let is_canary = pod.metadata.labels.as_ref().unwrap()[REVISION] == split.revision;
                let weight = u64::try_from(self.gateway.weight).unwrap();
                let answered = self.requests_per_second * if is_canary { weight } else { 100 - weight } / 100;
                own.requests += answered;
                own.errors += if is_canary { answered * behaviour.errors / 100 } else { 0 };
                if is_canary && behaviour.silent {
                    continue;
                }
            }
            answers.insert(name, window);
        }
        self.observed.splits = answers;
    }
}

/// Each of them sends feedback.
fn users(split: &Split, b: &Behaviour, answers: u64, feedback: &mut std::collections::BTreeMap<String, Feedback>) {
    let mut add = |name: &str, sum: f64| {
        let all = feedback.entry(name.to_owned()).or_default();
        *all = Feedback { count: all.count + answers, sum: all.sum + sum };
    };
    add(CORRECT, (answers * b.correct) as f64 / 100.0);
    for m in &split.metrics {
        add(&m.name, m.min * answers as f64 + (m.max - m.min) * (answers * b.conversions) as f64 / 100.0);
    }
}

/// A ReplicaSet has its Deployment's uid here.
fn owner(uid: &str) -> OwnerReference {
    OwnerReference { uid: uid.into(), controller: Some(true), ..OwnerReference::default() }
}

fn job_pod(job: &Job, index: usize, serial: String, end: ContainerStateTerminated, now: Time) -> Pod {
    let name = job.metadata.name.clone().unwrap();
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{index}-{serial}")),
            uid: Some(serial),
            labels: Some(
                [
                    ("drydock.dev/name".to_owned(), "fashion".to_owned()),
                    (INDEX.to_owned(), index.to_string()),
                    ("batch.kubernetes.io/job-name".to_owned(), name),
                ]
                .into(),
            ),
            creation_timestamp: Some(now),
            owner_references: Some(vec![owner(job.metadata.uid.as_ref().unwrap())]),
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(PodStatus {
            phase: Some(if end.exit_code == 0 { "Succeeded" } else { "Failed" }.into()),
            container_statuses: Some(vec![ContainerStatus {
                name: "optimizer".into(),
                state: Some(ContainerState { terminated: Some(end), ..ContainerState::default() }),
                ..ContainerStatus::default()
            }]),
            ..PodStatus::default()
        }),
    }
}
