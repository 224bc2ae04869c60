//! A cluster of values: what the shell, the controllers, the kubelet and the sidecars would do with a plan, in steps of a second.
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod apply;
mod controllers;
pub mod faults;
pub mod fixtures;
mod gateway;
pub mod sources;
pub mod story;
pub mod strangers;
mod wakes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use drydock_contract::CandidateReport;
use drydock_crds::{ModelDeployment, ModelDeploymentSpec, ModelDeploymentStatus, RECORD_ANNOTATION, Record};
use drydock_operator_core::{
    Answer, Child, ChildKind, ChildRef, Defaults, Memory, Observed, Plan, Resolved, SpecErrors, guard, invalid_status,
    keep, plan, resolve, status, wake,
};
use faults::{Faults, Nodes};
use gateway::Gateway;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::json;

/// How pods with one image behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Seconds until ready; `None`: never.
    pub ready_after: Option<i64>,
    pub crashes: bool,
    /// Of 100 requests to it.
    pub errors: u64,
    /// Of 100 answers compared.
    pub disagreements: u64,
    /// Of 100 answers, and what users say of each: right, and every metric of the spec at its greatest.
    pub correct: u64,
    pub conversions: u64,
    /// It does not say what it has counted.
    pub silent: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ready_after: Some(2),
            crashes: false,
            errors: 0,
            disagreements: 0,
            correct: 90,
            conversions: 10,
            silent: false,
        }
    }
}

/// How one try of a candidate ends.
#[derive(Clone, Debug)]
pub enum Outcome {
    Report(Box<CandidateReport>),
    OutOfMemory,
    /// Ended by SIGTERM before it could say anything.
    Evicted,
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub md: ModelDeployment,
    pub defaults: Defaults,
    pub observed: Observed,
    pub now: Timestamp,
    pub behaviours: BTreeMap<String, Behaviour>,
    /// Tries to come, by candidate; without any it succeeds.
    pub outcomes: BTreeMap<String, VecDeque<Outcome>>,
    /// Of the sources of `analysis.external`, by name; without one it is good.
    pub answers: BTreeMap<String, Answer>,
    /// Of check Jobs, by image; without one it is 0.
    pub exit_codes: BTreeMap<String, i32>,
    /// To each stable pod, in a second.
    pub requests_per_second: u64,
    pub serial: u64,
    /// Pods made unready by hand.
    pub unready: std::collections::BTreeSet<String>,
    pub gateway: Gateway,
    /// Pods that the load needs, where an autoscaler decides; `None`: as few as it may.
    pub load: Option<i32>,
    pub nodes: Nodes,
    /// How far the operator's clock is before the cluster's.
    pub skew: SignedDuration,
    /// Names of children, as `Service fashion-canary`, that somebody else has; writes to them are refused.
    pub taken: std::collections::BTreeSet<String>,
    /// What bears our labels and is not ours: seen by every pass, and by nothing else here.
    pub strangers: Observed,
    /// How the pods of each revision were made when it first had a Deployment, by the Deployment's name.
    pub templates: BTreeMap<String, PodTemplateSpec>,
    pub wakes: wakes::Wakes,
    /// What the spec came to when it was last asked.
    known: OnceLock<Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    spec: ModelDeploymentSpec,
    defaults: Defaults,
    resolved: Result<Resolved, SpecErrors>,
}

/// A pass that has read and decided, and not written yet.
#[derive(Debug)]
pub struct Pass {
    known: Arc<Known>,
    generation: i64,
    before: Option<ModelDeploymentStatus>,
    now: Timestamp,
    pub plan: Plan,
}

pub const START: i64 = 1_700_000_000;

impl Cluster {
    pub fn new(md: ModelDeployment) -> Self {
        Self {
            md,
            defaults: Defaults {
                optimizer_image: "optimizer:1".into(),
                sidecar_image: "sidecar:1".into(),
                image_pull_policy: None,
            },
            observed: Observed::default(),
            now: Timestamp::from_second(START).unwrap(),
            behaviours: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            answers: BTreeMap::new(),
            exit_codes: BTreeMap::new(),
            requests_per_second: 100,
            serial: 0,
            unready: std::collections::BTreeSet::new(),
            gateway: Gateway::default(),
            load: None,
            nodes: Nodes::default(),
            skew: SignedDuration::ZERO,
            taken: std::collections::BTreeSet::new(),
            strangers: Observed::default(),
            templates: BTreeMap::new(),
            wakes: wakes::Wakes::default(),
            known: OnceLock::new(),
        }
    }

    pub fn status(&self) -> ModelDeploymentStatus {
        self.md.status.clone().unwrap_or_default()
    }

    /// Changes the spec, as `kubectl apply` does.
    pub fn edit(&mut self, change: impl FnOnce(&mut ModelDeploymentSpec)) {
        change(&mut self.md.spec);
        let generation = self.md.metadata.generation.unwrap_or(1) + 1;
        self.md.metadata.generation = Some(generation);
        self.known = OnceLock::new();
        self.wakes.changed = true;
    }

    fn known(&self) -> Arc<Known> {
        let ask = || {
            let resolved = resolve(&self.md, &self.defaults);
            Arc::new(Known { spec: self.md.spec.clone(), defaults: self.defaults.clone(), resolved })
        };
        let known = self.known.get_or_init(ask);
        let is_of = known.spec == self.md.spec && known.defaults == self.defaults;
        if is_of { known.clone() } else { ask() }
    }

    /// What the operator's clock says.
    pub fn operators_now(&self) -> Timestamp {
        self.now.checked_add(self.skew).unwrap()
    }

    /// What would be done now.
    pub fn plan(&self) -> Plan {
        self.decide(&self.known())
    }

    fn decide(&self, known: &Known) -> Plan {
        let (memory, now) = (Memory::of(self.md.status.as_ref()), self.operators_now());
        let kept = || keep(&self.md.metadata, Some(&self.md.spec), &self.defaults);
        known.resolved.as_ref().map_or_else(
            |_| guard(&kept(), &self.seen(), &memory, now),
            |resolved| plan(resolved, &self.seen(), &memory, now),
        )
    }

    /// Reads and decides.
    pub fn begin(&self) -> Pass {
        let known = self.known();
        Pass {
            plan: self.decide(&known),
            known,
            generation: self.md.metadata.generation.unwrap_or(1),
            before: self.md.status.clone(),
            now: self.operators_now(),
        }
    }

    /// Writes what a pass has decided, which may be a while ago. Whether it came to its end.
    pub fn finish(&mut self, pass: &Pass, faults: &Faults) -> bool {
        let Some(applied) = self.apply(&pass.plan, faults) else { return false };
        self.ask(&pass.plan);
        let (before, generation) = (pass.before.as_ref(), pass.generation);
        let next = match &pass.known.resolved {
            Ok(resolved) => status(before, generation, resolved, &pass.plan, &applied, pass.now),
            Err(errors) => invalid_status(before, generation, errors, &pass.plan, &applied, pass.now),
        };
        self.wakes.wait(self.now, wake(&pass.plan, &Memory::of(before), &next));
        if before != Some(&next) {
            self.md.status = Some(self.stored(next));
        }
        applied.failed.is_empty()
    }

    /// As it would come back from the API server. Through JSON each time is what most of a simulation would be spent on: what
    /// comes back is compared with what was sent now and then.
    fn stored(&self, status: ModelDeploymentStatus) -> ModelDeploymentStatus {
        if self.now.as_second() % 8 == 0 {
            let back: ModelDeploymentStatus = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
            assert_eq!(back, status, "a status does not come back as it was written");
        }
        status
    }

    /// One reconcile. With a limit it dies after so many writes, and the status is not written.
    pub fn reconcile(&mut self, limit: Option<usize>) -> Plan {
        let pass = self.begin();
        self.finish(&pass, &Faults { dies_after: limit, ..Faults::default() });
        pass.plan
    }

    /// A second of the cluster's life.
    pub fn second(&mut self) {
        self.now = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
        self.controllers();
    }

    /// Until nothing is left to do, or so many seconds have passed.
    pub fn settle(&mut self, seconds: usize) -> bool {
        let mut quiet = 0;
        for _ in 0..seconds {
            let before = self.status();
            let plan = self.reconcile(None);
            self.second();
            let is_quiet = plan.is_empty() && plan.memory.rollout.canary.is_none();
            // The deadlines and delays of the fixtures are all shorter than this.
            quiet = if is_quiet && before == self.status() { quiet + 1 } else { 0 };
            if quiet > 25 {
                return true;
            }
        }
        false
    }

    pub fn uid(&mut self) -> String {
        self.serial += 1;
        format!("uid-{}", self.serial)
    }
}

/// A child by what matters of it: kind, name, labels and everything that we wish for.
pub type Summary = BTreeMap<String, serde_json::Value>;

impl Cluster {
    pub fn children(&self) -> Vec<ChildRef> {
        children(&self.observed)
    }

    pub fn summary(&self) -> Summary {
        let mut all = BTreeMap::new();
        macro_rules! list {
            ($($list:ident),*) => {$(
                for o in &self.observed.$list {
                    let mut json = serde_json::to_value(o).unwrap();
                    let map = json.as_object_mut().unwrap();
                    let kind = map["kind"].as_str().unwrap().to_owned();
                    // How many there were before is history.
                    map.remove("revision");
                    map.remove("status");
                    let metadata = map.get_mut("metadata").unwrap().as_object_mut().unwrap();
                    metadata.remove("uid");
                    metadata.remove("creationTimestamp");
                    // So is what was decided, and when.
                    if let Some(annotations) = metadata.get_mut("annotations") {
                        annotations.as_object_mut().unwrap().remove(drydock_crds::RECORD_ANNOTATION);
                    }
                    all.insert(format!("{kind} {}", metadata["name"].as_str().unwrap()), json);
                }
            )*};
        }
        list!(claims, jobs, revisions, deployments, services, autoscalers, budgets);
        for route in self.routes() {
            let json = route.to_json();
            all.insert(format!("{route}"), json!({ "spec": json["spec"], "labels": json["metadata"]["labels"] }));
        }
        for pod in self
            .observed
            .pods
            .iter()
            .filter(|p| p.metadata.labels.as_ref().unwrap().contains_key("drydock.dev/revision"))
        {
            // By what they are told: their names tell how many there were before.
            let split = pod.metadata.annotations.as_ref().and_then(|a| a.get(drydock_contract::SPLIT_ANNOTATION));
            let revision = &pod.metadata.labels.as_ref().unwrap()["drydock.dev/revision"];
            let count = all.entry(format!("split {revision}: {split:?}")).or_insert(serde_json::json!(0));
            *count = (count.as_u64().unwrap() + 1).into();
        }
        all
    }

    pub fn routes(&self) -> Vec<Child> {
        let http = self.observed.http_routes.iter().map(|o| Child::HttpRoute(Box::new(o.clone())));
        http.chain(self.observed.grpc_routes.iter().map(|o| Child::GrpcRoute(Box::new(o.clone())))).collect()
    }

    /// What follows from the spec alone: without the records of what there was before, and the numbers that an autoscaler left.
    pub fn lasting(&self) -> Summary {
        let mut kept = self.summary();
        let names: Vec<String> = kept.keys().cloned().collect();
        let is_live = |revision: &str| names.iter().any(|name| name.strip_prefix("Deployment ") == Some(revision));
        kept.retain(|name, _| match name.strip_prefix("ControllerRevision ") {
            Some(revision) => is_live(revision),
            None => !name.starts_with("split"),
        });
        if self.md.spec.serving.autoscaling.is_some() {
            for (_, json) in kept.iter_mut().filter(|(name, _)| name.starts_with("Deployment ")) {
                json["spec"].as_object_mut().unwrap().remove("replicas");
            }
        }
        kept
    }

    /// What is recorded of a revision.
    pub fn record(&self, revision: &str) -> Record {
        let is_of = |c: &&ControllerRevision| c.metadata.labels.as_ref().unwrap()["drydock.dev/revision"] == revision;
        let found = self.observed.revisions.iter().find(is_of);
        let text = found.and_then(|c| c.metadata.annotations.as_ref()?.get(RECORD_ANNOTATION));
        text.map_or_else(Record::default, |text| serde_json::from_str(text).unwrap())
    }

    /// Ready pods of a revision.
    pub fn ready(&self, revision: &str) -> usize {
        let of = |p: &&k8s_openapi::api::core::v1::Pod| {
            p.metadata.labels.as_ref().unwrap().get("drydock.dev/revision").is_some_and(|r| r == revision)
        };
        let conditions =
            |p: &k8s_openapi::api::core::v1::Pod| p.status.clone().unwrap_or_default().conditions.unwrap_or_default();
        self.observed
            .pods
            .iter()
            .filter(of)
            .filter(|p| conditions(p).iter().any(|c| c.type_ == "Ready" && c.status == "True"))
            .count()
    }

    /// The revision that `<name>` selects.
    pub fn selected(&self) -> Option<String> {
        let service = self.observed.services.iter().find(|s| s.metadata.name.as_deref() == Some("fashion"))?;
        service.spec.as_ref()?.selector.as_ref()?.get("drydock.dev/revision").cloned()
    }
}

/// Everything that can be a child, whoever's it is.
pub fn children(of: &Observed) -> Vec<ChildRef> {
    let mut all = Vec::new();
    macro_rules! list {
        ($($list:ident: $kind:ident),*) => {$(
            all.extend(of.$list.iter().map(|o| ChildRef {
                kind: ChildKind::$kind,
                name: o.metadata.name.clone().unwrap(),
                uid: o.metadata.uid.clone().unwrap(),
            }));
        )*};
    }
    list!(claims: Claim, jobs: Job, revisions: Revision, deployments: Deployment, services: Service, autoscalers: Autoscaler, budgets: Budget, http_routes: HttpRoute, grpc_routes: GrpcRoute);
    all
}
