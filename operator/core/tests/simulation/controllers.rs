use drydock_contract::{CORRECT, Feedback, SPLIT_ANNOTATION, Split, SplitWindow};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod,
    PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use super::faults::Node;
use super::fixtures::report;
use super::sources::is_check;
use super::{Behaviour, Cluster, Outcome};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const REVISION: &str = "drydock.dev/revision";

impl Cluster {
    pub fn controllers(&mut self) {
        self.autoscalers();
        self.deployments();
        self.kubelet();
        self.jobs();
        self.checks();
        self.accept();
        self.sidecars();
    }

    fn autoscalers(&mut self) {
        for hpa in &self.observed.autoscalers {
            let target = &hpa.spec.scale_target_ref.name;
            if let Some(d) = self.observed.deployments.iter_mut().find(|d| d.metadata.name.as_ref() == Some(target)) {
                let has = d.spec.replicas.unwrap_or(1);
                let (least, most) = (hpa.spec.min_replicas.unwrap_or(1), hpa.spec.max_replicas);
                let wish = self.load.unwrap_or(has).clamp(least, most.max(least));
                if has > 0 && has != wish {
                    d.spec.replicas = Some(wish);
                    self.wakes.changed = true;
                }
            }
        }
    }

    fn deployments(&mut self) {
        for at in 0..self.observed.deployments.len() {
            let d = &self.observed.deployments[at];
            let uid = d.metadata.uid.as_deref().unwrap();
            let own = |p: &Pod| is_owned(p, uid) && p.metadata.deletion_timestamp.is_none();
            let count = self.observed.pods.iter().filter(|p| own(p)).count();
            let want = usize::try_from(d.spec.replicas.unwrap_or(1)).unwrap();
            if count < want {
                let d = d.clone();
                for _ in count..want {
                    let serial = self.uid();
                    self.observed.pods.push(pod(&d, serial, Time(self.now)));
                }
                self.wakes.changed = true;
            } else if count > want {
                let mut excess = count - want;
                self.observed.pods.retain(|p| {
                    let goes = excess > 0 && own(p);
                    excess -= usize::from(goes);
                    !goes
                });
                self.wakes.changed = true;
            }
        }
    }

    fn kubelet(&mut self) {
        let Self { observed, behaviours, nodes, unready, wakes, .. } = self;
        let now = self.now;
        let good = Behaviour::default();
        observed.pods.retain_mut(|pod| {
            if !pod.metadata.labels.iter().flatten().any(|(k, _)| k == REVISION) {
                return true;
            }
            let node = nodes.of(pod, now);
            match (node, pod.metadata.deletion_timestamp.is_some()) {
                (Node::Well, true) => {
                    wakes.changed = true;
                    return false;
                }
                (Node::Evicting, false) => {
                    pod.metadata.deletion_timestamp = Some(Time(now));
                    wakes.changed = true;
                }
                _ => {}
            }
            let image = pod.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap();
            let behaviour = behaviours.get(image).unwrap_or(&good);
            let age = now.as_second() - pod.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
            let by_hand = unready.contains(pod.metadata.name.as_ref().unwrap());
            let mut ready = !by_hand && !behaviour.crashes && behaviour.ready_after.is_some_and(|after| age >= after);
            let crashed = behaviour.crashes && age >= 3;
            let before = pod.status.as_ref().unwrap();
            let said = before.conditions.as_ref().and_then(|c| c.first());
            match node {
                Node::Wanted | Node::Silent => return true,
                Node::NotReady | Node::Evicting if said.is_none() => return true,
                Node::NotReady | Node::Evicting => ready = false,
                Node::Well => {}
            }
            let status = if ready { "True" } else { "False" };
            let was_crashed = before.container_statuses.iter().flatten().any(|c| c.restart_count > 0);
            let same = said.filter(|c| c.status == status);
            if same.is_some() && crashed == was_crashed {
                return true;
            }
            let since = same.and_then(|c| c.last_transition_time.clone()).unwrap_or(Time(now));
            pod.status = Some(running(behaviour, ready, crashed, since, now));
            wakes.changed = true;
            true
        });
    }

    /// One index at a time, three seconds for a try; a failed one is tried again until it fails for good.
    fn jobs(&mut self) {
        for at in 0..self.observed.jobs.len() {
            let job = &self.observed.jobs[at];
            let is_over = job.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.status == "True");
            let is_suspended = job.spec.as_ref().unwrap().suspend == Some(true);
            let age = self.now.as_second() - job.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
            if !is_over && !is_check(job) && !is_suspended && age % 3 == 0 && age > 0 {
                let mut job = job.clone();
                self.job(&mut job);
                self.observed.jobs[at] = job;
                self.wakes.changed = true;
            }
        }
    }

    fn job(&mut self, job: &mut Job) {
        let spec = job.spec.clone().unwrap();
        let mut status = job.status.clone().unwrap_or_default();
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
            Outcome::Evicted => (143, None, "Error"),
            Outcome::Report(report) => match &report.failure {
                Some(f) => (i32::from(f.reason.exit_code()), Some(report.to_termination_message()), "Error"),
                None => (0, Some(report.to_termination_message()), "Completed"),
            },
        };
        let uid = job.metadata.uid.clone().unwrap();
        let is_earlier_try = |p: &&Pod| {
            is_owned(p, &uid) && p.metadata.labels.iter().flatten().any(|(k, v)| k == INDEX && *v == index.to_string())
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

    /// Each pod with a share sends it, and counts.
    fn sidecars(&mut self) {
        let mut before = std::mem::take(&mut self.observed.splits);
        let good = Behaviour::default();
        let is_divided = !self.observed.http_routes.is_empty() || !self.observed.grpc_routes.is_empty();
        for pod in &self.observed.pods {
            let text = pod.metadata.annotations.as_ref().and_then(|a| a.get(SPLIT_ANNOTATION));
            let Some(split) = text.and_then(|t| serde_json::from_str::<Split>(t).ok()) else { continue };
            let is_of = |d: &&Deployment| d.metadata.labels.as_ref().unwrap()[REVISION] == split.revision;
            let image = self.observed.deployments.iter().find(is_of).map(|d| {
                let spec = d.spec.template.spec.as_ref().unwrap();
                spec.containers[0].image.as_deref().unwrap()
            });
            let behaviour = image.and_then(|image| self.behaviours.get(image)).unwrap_or(&good);
            let name = pod.metadata.name.clone().unwrap();
            let mut window = before.remove(&name).unwrap_or_default();
            if window.window != split.window {
                window = SplitWindow::default();
            }
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
            let most = 1000_u64.checked_div(split.synthetic_milliseconds.into()).unwrap_or(0);
            if most > sent + copies {
                synthetic(behaviour, most - sent - copies, &mut window);
            }
            let own = window.stable.get_or_insert_default();
            if is_divided {
                // The gateway divides, and each counts its own.
                let is_canary = pod.metadata.labels.as_ref().unwrap()[REVISION] == split.revision;
                let weight = u64::try_from(self.gateway.weight).unwrap();
                let answered = self.requests_per_second * if is_canary { weight } else { 100 - weight } / 100;
                own.requests += answered;
                own.errors += if is_canary { answered * behaviour.errors / 100 } else { 0 };
                if is_canary && behaviour.silent {
                    continue;
                }
            } else {
                let kept = self.requests_per_second - sent;
                own.requests += kept;
                users(&split, behaviour, sent, &mut window.feedback);
                users(&split, &good, kept, &mut own.feedback);
            }
            self.observed.splits.insert(name, window);
        }
    }
}

/// So many requests with the four inputs that each package has recorded.
fn synthetic(behaviour: &Behaviour, requests: u64, window: &mut SplitWindow) {
    let seen = window.synthetic.get_or_insert_default();
    seen.stable.get_or_insert_default().requests += requests;
    for _ in 0..requests {
        let fails = seen.requests % 100 < behaviour.errors;
        let number = (seen.requests % 4) as u32;
        seen.requests += 1;
        seen.errors += u64::from(fails);
        if !fails {
            let agreed = u64::from(number) * 100 >= behaviour.disagreements * 4;
            seen.compared += 1;
            seen.agreed += u64::from(agreed);
            *seen.inputs.entry(number).or_insert(true) &= agreed;
        }
    }
}

fn is_owned(pod: &Pod, uid: &str) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|r| r.uid == uid)
}

fn pod(d: &Deployment, serial: String, now: Time) -> Pod {
    let template = &d.spec.template;
    let mut labels = template.metadata.as_ref().unwrap().labels.clone().unwrap();
    labels.insert("pod-template-hash".into(), "5c8d".into());
    let name = d.metadata.name.as_deref().unwrap();
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{serial}")),
            uid: Some(serial),
            labels: Some(labels),
            annotations: template.metadata.as_ref().unwrap().annotations.clone(),
            creation_timestamp: Some(now),
            owner_references: Some(vec![OwnerReference {
                kind: "ReplicaSet".into(),
                name: format!("{name}-5c8d"),
                ..owner(d.metadata.uid.as_ref().unwrap())
            }]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: Some(PodStatus { phase: Some("Pending".into()), ..PodStatus::default() }),
    }
}

fn running(behaviour: &Behaviour, ready: bool, crashed: bool, since: Time, now: Timestamp) -> PodStatus {
    let state = match (behaviour, crashed) {
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
    PodStatus {
        phase: Some("Running".into()),
        pod_ip: Some("10.1.0.1".into()),
        conditions: Some(vec![PodCondition {
            type_: "Ready".into(),
            status: if ready { "True" } else { "False" }.into(),
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
