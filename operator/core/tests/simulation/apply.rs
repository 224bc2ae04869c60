use drydock_contract::SPLIT_ANNOTATION;
use drydock_operator_core::{Applied, Child, ChildKind, ChildRef, FailedWrite, GrpcRoute, HttpRoute, Plan};
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::Cluster;
use super::faults::{Faults, Write};

impl Cluster {
    /// Carries a plan out as the shell does; `None` if it died on the way.
    pub fn apply(&mut self, plan: &Plan, faults: &Faults) -> Option<Applied> {
        self.leaves_strangers_alone(plan);
        let mut applied = Applied::default();
        let mut count = 0;
        let mut next = || {
            count += 1;
            let write = faults.write(count - 1);
            (write != Write::Died).then_some(write)
        };
        let mut fail = |what: String, why: &str, is_terminal| {
            applied.failed.push(FailedWrite { what, why: why.to_owned(), is_terminal });
        };
        for child in &plan.writes {
            let write = next()?;
            if self.taken.contains(&child.to_string()) {
                fail(child.to_string(), "one exists already and belongs to nobody", true);
                continue;
            }
            if write.arrives() {
                self.write(child);
            }
            if let Some(why) = write.answer() {
                fail(child.to_string(), why, false);
            }
        }
        for scale in &plan.scales {
            let write = next()?;
            let is_of = |d: &&mut Deployment| d.metadata.name.as_ref() == Some(&scale.deployment);
            let found = self.observed.deployments.iter_mut().find(is_of);
            let why = if found.is_some() { write.answer() } else { Some("not found") };
            if let Some(d) = found.filter(|_| write.arrives()) {
                d.spec.replicas = Some(scale.replicas);
                self.wakes.changed = true;
            }
            if let Some(why) = why {
                fail(format!("Deployment {}", scale.deployment), why, false);
            }
        }
        for split in &plan.splits {
            let write = next()?;
            let named = |p: &&mut Pod| p.metadata.name.as_ref() == Some(&split.pod);
            // Ended since it was observed: the pod in its place reads its own split.
            let Some(pod) = self.observed.pods.iter_mut().find(named) else { continue };
            if write.arrives() {
                let annotations = pod.metadata.annotations.get_or_insert_default();
                match &split.split {
                    Some(split) => annotations.insert(SPLIT_ANNOTATION.into(), serde_json::to_string(split).unwrap()),
                    None => annotations.remove(SPLIT_ANNOTATION),
                };
                self.wakes.changed = true;
            }
            if let Some(why) = write.answer() {
                fail(format!("Pod {}", split.pod), why, false);
            }
        }
        for child in &plan.records {
            if !applied.failed.is_empty() {
                break;
            }
            let write = next()?;
            if write.arrives() {
                self.write(child);
            }
            if let Some(why) = write.answer() {
                applied.failed.push(FailedWrite { what: child.to_string(), why: why.to_owned(), is_terminal: false });
            }
        }
        for gone in &plan.prune {
            let write = next()?;
            if !applied.failed.is_empty() {
                break;
            }
            if write.arrives() {
                self.remove(gone);
            }
            if let Some(why) = write.answer() {
                applied.failed.push(FailedWrite { what: gone.to_string(), why: why.to_owned(), is_terminal: false });
            }
        }
        // Dying before the status is written is one more place to die.
        (faults.write(count) != Write::Died).then_some(applied)
    }

    /// What server-side apply makes of a whole object of ours.
    fn write(&mut self, child: &Child) {
        let uid = self.uid();
        let now = Time(self.now);
        self.wakes.changed = true;
        let metadata = child.metadata();
        assert_eq!(metadata.finalizers, None, "the garbage collector needs none of ours");
        let controllers = metadata.owner_references.iter().flatten().filter(|o| o.controller == Some(true));
        assert_eq!(
            controllers.map(|o| &o.uid).collect::<Vec<_>>(),
            self.md.metadata.uid.as_ref().into_iter().collect::<Vec<_>>()
        );
        macro_rules! upsert {
            ($list:ident, $desired:expr, $keep:expr) => {{
                let mut next = (**$desired).clone();
                let list = &mut self.observed.$list;
                let at = list.iter().position(|o| o.metadata.name == next.metadata.name);
                match at {
                    Some(at) => {
                        meta(&mut next.metadata, &list[at].metadata);
                        $keep(&mut next, Some(&list[at]));
                        list[at] = next;
                    }
                    None => {
                        next.metadata.uid = Some(uid);
                        next.metadata.creation_timestamp = Some(now);
                        $keep(&mut next, None);
                        list.push(next);
                    }
                }
            }};
        }
        match child {
            Child::Claim(o) => upsert!(claims, o, nothing),
            Child::Job(o) => {
                upsert!(jobs, o, |next: &mut Job, before: Option<&Job>| {
                    next.status = before.and_then(|b| b.status.clone());
                    if let (Some(next), Some(before)) = (next.spec.as_ref(), before.and_then(|b| b.spec.as_ref())) {
                        assert_eq!(next.template, before.template, "a Job's template cannot change");
                        assert_eq!(next.completions, before.completions);
                    }
                });
            }
            Child::Revision(o) => {
                upsert!(revisions, o, |next: &mut ControllerRevision, before: Option<&ControllerRevision>| {
                    if let Some(before) = before {
                        assert_eq!(next.data, before.data, "a ControllerRevision's data cannot change");
                    }
                });
            }
            Child::Deployment(o) => {
                assert_eq!(o.spec.replicas, None, "replicas are not applied");
                let first = self.templates.entry(child.name().to_owned()).or_insert_with(|| o.spec.template.clone());
                assert_eq!(*first, o.spec.template, "{child} would restart its pods");
                upsert!(deployments, o, |next: &mut Deployment, before: Option<&Deployment>| {
                    next.spec.replicas = before.map_or(Some(1), |b| b.spec.replicas);
                    next.spec.progress_deadline_seconds = Some(600);
                    if let Some(before) = before {
                        assert_eq!(next.spec.selector, before.spec.selector, "a selector cannot change");
                    }
                });
            }
            Child::Service(o) => {
                upsert!(services, o, |next: &mut Service, _: Option<&Service>| {
                    let spec = next.spec.as_mut().unwrap();
                    spec.cluster_ip = Some("10.0.0.1".into());
                    spec.type_ = Some("ClusterIP".into());
                });
            }
            Child::Autoscaler(o) => upsert!(autoscalers, o, nothing),
            Child::Budget(o) => upsert!(budgets, o, nothing),
            Child::HttpRoute(o) => {
                self.gateway.changed.insert("HTTPRoute", self.now.as_second());
                upsert!(http_routes, o, |next: &mut HttpRoute, before: Option<&HttpRoute>| {
                    next.metadata.generation = Some(before.and_then(|b| b.metadata.generation).unwrap_or(0) + 1);
                    next.status = before.and_then(|b| b.status.clone());
                });
            }
            Child::GrpcRoute(o) => {
                self.gateway.changed.insert("GRPCRoute", self.now.as_second());
                upsert!(grpc_routes, o, |next: &mut GrpcRoute, before: Option<&GrpcRoute>| {
                    next.metadata.generation = Some(before.and_then(|b| b.metadata.generation).unwrap_or(0) + 1);
                    next.status = before.and_then(|b| b.status.clone());
                });
            }
        }
    }

    pub fn remove(&mut self, gone: &ChildRef) {
        self.wakes.changed = true;
        let stays = |m: &ObjectMeta| !(m.name.as_ref() == Some(&gone.name) && m.uid.as_ref() == Some(&gone.uid));
        let o = &mut self.observed;
        match gone.kind {
            ChildKind::Claim => o.claims.retain(|x| stays(&x.metadata)),
            ChildKind::Job => o.jobs.retain(|x| stays(&x.metadata)),
            ChildKind::Revision => o.revisions.retain(|x| stays(&x.metadata)),
            ChildKind::Deployment => o.deployments.retain(|x| stays(&x.metadata)),
            ChildKind::Service => o.services.retain(|x| stays(&x.metadata)),
            ChildKind::Autoscaler => o.autoscalers.retain(|x| stays(&x.metadata)),
            ChildKind::Budget => o.budgets.retain(|x| stays(&x.metadata)),
            ChildKind::HttpRoute => o.http_routes.retain(|x| stays(&x.metadata)),
            ChildKind::GrpcRoute => o.grpc_routes.retain(|x| stays(&x.metadata)),
        }
        // Their pods go with them.
        let owners: Vec<String> = self
            .observed
            .jobs
            .iter()
            .filter_map(|j| j.metadata.uid.clone())
            .chain(self.observed.deployments.iter().filter_map(|d| d.metadata.uid.clone()))
            .collect();
        self.observed.pods.retain(|p| p.metadata.owner_references.iter().flatten().any(|r| owners.contains(&r.uid)));
    }
}

/// What an apply leaves alone.
fn meta(next: &mut ObjectMeta, before: &ObjectMeta) {
    next.uid.clone_from(&before.uid);
    next.creation_timestamp.clone_from(&before.creation_timestamp);
}

/// Nothing that the cluster adds.
fn nothing<T>(_: &mut T, _: Option<&T>) {}
