//! `plan`: what would follow from a spec, asked of the operator's own planner.

use std::collections::BTreeSet;

use drydock_contract::{SPLIT_ANNOTATION, Split, SplitWindow};
use drydock_crds::{ExternalMetric, ModelDeployment, ModelDeploymentStatus, Rollout, Strategy};
use drydock_operator_core::{
    Applied, Child, ChildKind, Defaults, Memory, Observed, Plan, Resolved, SpecErrors, plan, resolve, status,
};
use jiff::Timestamp;

use crate::tell::{Node, short};

/// The first pass of the operator over `next`, in words. `live`: the object as it is, if there is one.
pub fn forecast(
    next: &ModelDeployment,
    live: Option<&ModelDeployment>,
    observed: &Observed,
    defaults: &Defaults,
    now: Timestamp,
) -> String {
    let name = next.metadata.name.as_deref().unwrap_or_default();
    let resolved = match resolve(next, defaults) {
        Ok(resolved) => resolved,
        Err(SpecErrors(errors)) => {
            let all = errors.iter().map(|e| Node::leaf(e.to_string())).collect();
            return Node::over(format!("{name}  InvalidSpec: what is served stays served"), all).to_string();
        }
    };
    let observed = heard(observed);
    let before = live.and_then(|md| md.status.as_ref());
    let plan = plan(&resolved, &observed, &Memory::of(before), now);
    let generation = next.metadata.generation.unwrap_or_default() + 1;
    let after = status(before, generation, &resolved, &plan, &Applied::default(), now);
    let title = match live {
        Some(live) if live.spec == next.spec => format!("{name}  no change of the spec"),
        Some(_) => format!("{name}  would be changed"),
        None => format!("{name}  would be new"),
    };
    let under = vec![
        Node::over("measured", measured(&resolved, &plan)),
        Node::over("revision", revision(before, &after, &plan)),
        Node::over("rollout", rollout(&resolved, &after)),
        Node::over("restarts", restarts(&plan, &observed)),
        Node::over("first writes", writes(&plan, &observed)),
        Node::leaf(format!("the status would say: {:?}: {}", after.phase, after.message)),
    ];
    Node::over(title, under).to_string()
}

/// As if each pod that sends requests on had counted none: what they count only the operator asks them. A silent one would be a fault.
fn heard(observed: &Observed) -> Observed {
    let mut observed = observed.clone();
    for pod in &observed.pods {
        let told = pod.metadata.annotations.as_ref().and_then(|a| a.get(SPLIT_ANNOTATION));
        let told: Option<Split> = told.and_then(|t| serde_json::from_str(t).ok());
        if let (Some(Split { window, revision, .. }), Some(name)) = (told, &pod.metadata.name) {
            let none = SplitWindow { window, revision, ..SplitWindow::default() };
            observed.splits.entry(name.clone()).or_insert(none);
        }
    }
    observed
}

fn measured(r: &Resolved, plan: &Plan) -> Vec<Node> {
    let job = plan.writes.iter().find(|c| c.kind() == ChildKind::Job);
    let mut all = vec![match job {
        Some(job) => Node::leaf(format!("{job} runs, with these candidates:")),
        None => Node::leaf("nothing anew: what was measured is of the same work"),
    }];
    let recipes = r.optimization.task.recipes.iter().map(|recipe| recipe.name.as_str());
    let search = r.optimization.task.search.as_ref().map(|_| "auto (what the search finds)");
    let found = plan.memory.optimization.as_ref().map(|o| o.candidates.as_slice()).unwrap_or_default();
    for name in std::iter::once("original").chain(recipes).chain(search) {
        let known = found.iter().find(|c| c.name == name).filter(|_| job.is_none());
        let state = known.map(|c| format!("  {:?}", c.state)).unwrap_or_default();
        let message = known.and_then(|c| c.message.as_ref()).map(|m| format!(": {m}")).unwrap_or_default();
        all.push(Node::leaf(format!("{name}{state}{message}")));
    }
    all
}

fn revision(before: Option<&ModelDeploymentStatus>, after: &ModelDeploymentStatus, plan: &Plan) -> Vec<Node> {
    let line = |part: &str, revision: &str, candidate: &str, package: &str| {
        Node::leaf(format!("{part}  {revision}  {candidate}  {}", short(package)))
    };
    let next = after.rollout.clone().unwrap_or_default();
    let was = before.and_then(|s| s.rollout.clone()).unwrap_or_default();
    let mut all = Vec::new();
    for (part, is, was) in [("stable", &next.stable, &was.stable), ("canary", &next.canary, &was.canary)] {
        if let Some(is) = is {
            let part = if was.as_ref() == Some(is) { part.to_owned() } else { format!("{part} (new)") };
            all.push(line(&part, &is.revision, &is.candidate, &is.package));
        }
    }
    if let Some(failed) = &next.failed {
        all.push(Node::leaf(format!("{} was rolled back ({}) and is not tried again", failed.revision, failed.reason)));
    }
    if plan.writes.iter().any(|c| c.kind() == ChildKind::Job) {
        all.push(Node::leaf("the next one is known once its candidates are measured"));
    }
    all
}

fn rollout(r: &Resolved, after: &ModelDeploymentStatus) -> Vec<Node> {
    let policy = &r.rollout;
    let mut all = vec![Node::leaf(format!("strategy {:?}", policy.strategy))];
    if policy.control.roll_back_to.is_some() {
        all.push(Node::leaf("control.rollBackTo: no steps"));
    } else if r.course.is_empty() {
        all.push(Node::leaf("no steps: promoted as soon as it is ready"));
    }
    all.extend(r.course.iter().enumerate().map(|(i, step)| Node::leaf(format!("step {}: {}", i + 1, step.tell()))));
    if let Some(canary) = &after.canary {
        all.push(Node::leaf(format!("pods of the canary to begin with: {}", canary.replicas)));
    }
    all.push(Node::over("judged by", judged(policy)));
    all
}

/// The limits, as the analysis has them.
fn judged(policy: &Rollout) -> Vec<Node> {
    let a = &policy.analysis;
    let mut all = vec![
        format!("error rate at most {} %", a.max_error_rate),
        format!("error rate at most {} points over the stable revision's", a.max_error_rate_increase),
    ];
    all.extend(
        a.max_latency_ratio.map(|ratio| format!("p{} at most {ratio} times the stable revision's", a.latency_quantile)),
    );
    all.extend(a.min_agreement.map(|min| format!("agreement with the stable model at least {min} %")));
    if policy.strategy == Strategy::BlueGreen && policy.shadow.is_none() {
        all = vec!["its pods alone: a preview gets no requests".to_owned()];
    }
    all.extend(a.external.iter().map(other));
    all.into_iter().map(Node::leaf).collect()
}

/// `checkout-errors: a query of http://prometheus:9090, 0.02 at most`.
fn other(of: &ExternalMetric) -> String {
    let whom = match (&of.prometheus, &of.web_hook, &of.job) {
        (Some(p), ..) => format!("a query of {}", p.address),
        (_, Some(hook), _) => format!("the web hook {}", hook.url),
        (.., Some(job)) => format!("a Job of {} in each step", job.image),
        (None, None, None) => String::new(),
    };
    let min = of.min.map(|min| format!(", {min} at least")).unwrap_or_default();
    let max = of.max.map(|max| format!(", {max} at most")).unwrap_or_default();
    format!("{}: {whom}{min}{max}", of.name)
}

/// A promotion restarts no pod, and a new revision has pods of its own: only a Deployment that is not as its record says is put right.
fn restarts(plan: &Plan, observed: &Observed) -> Vec<Node> {
    let is_there = |c: &&Child| observed.deployments.iter().any(|d| d.metadata.name.as_deref() == Some(c.name()));
    let changed = plan.writes.iter().filter(|c| c.kind() == ChildKind::Deployment).filter(is_there);
    let all: Vec<Node> = changed.map(|c| Node::leaf(format!("pods of {c}, which is not as it was made"))).collect();
    if all.is_empty() { vec![Node::leaf("none")] } else { all }
}

fn writes(plan: &Plan, observed: &Observed) -> Vec<Node> {
    let known = known(observed);
    let sign = |c: &Child| if known.contains(&(c.kind(), c.name().to_owned())) { '~' } else { '+' };
    let written = plan.writes.iter().map(|c| format!("{} {c}", sign(c)));
    let scaled = plan.scales.iter().map(|s| format!("~ Deployment {}: {} replicas", s.deployment, s.replicas));
    let told = plan.splits.iter().map(|s| {
        let share = s.split.as_ref().map_or("nothing on".to_owned(), |split| format!("{} % on", split.weight));
        format!("~ Pod {}: sends {share}", s.pod)
    });
    let recorded = plan.records.iter().map(|c| format!("~ {c}"));
    let gone = plan.prune.iter().map(|c| format!("- {c}"));
    let all: Vec<Node> = written.chain(scaled).chain(told).chain(recorded).chain(gone).map(Node::leaf).collect();
    if all.is_empty() { vec![Node::leaf("none")] } else { all }
}

fn known(observed: &Observed) -> BTreeSet<(ChildKind, String)> {
    let mut all = BTreeSet::new();
    macro_rules! names {
        ($($list:ident: $kind:ident),*) => {$(
            all.extend(observed.$list.iter().filter_map(|o| Some((ChildKind::$kind, o.metadata.name.clone()?))));
        )*};
    }
    names!(claims: Claim, jobs: Job, revisions: Revision, deployments: Deployment, services: Service, autoscalers: Autoscaler, budgets: Budget, http_routes: HttpRoute, grpc_routes: GrpcRoute);
    all
}

#[cfg(test)]
mod tests;
