use drydock_operator_core::{Applied, Child, ChildKind, FailedWrite, Observed, Plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt as _};

use crate::cluster::{ClusterError, WriteCluster};

/// Carries a plan out, in its order: children, replicas, splits, and at last records of what has happened, and what goes. One
/// failure does not keep the rest from being tried, except that after one nothing is said to have happened, and nothing is deleted: what
/// was to take its place may not be there.
pub async fn apply(cluster: &impl WriteCluster, namespace: &str, observed: &Observed, plan: &Plan) -> Applied {
    let mut done = Done::default();
    for child in &plan.writes {
        done.wrote(child.to_string(), write(cluster, namespace, observed, child).await);
    }
    for scale in &plan.scales {
        let found = observed.deployments.iter().find(|d| d.name_any() == scale.deployment);
        if found.and_then(|d| d.spec.replicas) != Some(scale.replicas) {
            let result = cluster.scale(namespace, &scale.deployment, scale.replicas).await;
            done.wrote(
                format!("Deployment {}: {} replicas", scale.deployment, scale.replicas),
                result.map_err(Into::into),
            );
        }
    }
    for split in &plan.splits {
        let pod = observed.pods.iter().find(|p| p.name_any() == split.pod);
        let Some(uid) = pod.and_then(|p| p.meta().uid.as_deref()) else { continue };
        match cluster.set_split(namespace, &split.pod, uid, split.split.as_ref()).await {
            // Ended since it was observed; the pod in its place reads its own split.
            Err(error) if error.is_gone() => {}
            result => done.wrote(format!("Pod {}", split.pod), result.map_err(Into::into)),
        }
    }
    for child in &plan.records {
        if done.0.failed.is_empty() {
            done.wrote(child.to_string(), write(cluster, namespace, observed, child).await);
        }
    }
    for child in &plan.prune {
        if !done.0.failed.is_empty() {
            break;
        }
        match cluster.delete(namespace, child).await {
            Err(error) if !error.is_gone() => done.failed(child.to_string(), &error.into()),
            _ => done.0.pruned += 1,
        }
    }
    done.0
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(
        "one exists already and belongs to {0}: it is left alone; rename or delete it, or rename the ModelDeployment"
    )]
    NotOurs(String),
}

impl WriteError {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Cluster(error) => error.is_terminal(),
            Self::NotOurs(_) => true,
        }
    }
}

/// Applies a child, and never over something that is not ours. One that was not observed may be there all the same, as
/// a user's own, so it is looked at first, and applied without force if it is not there: what comes into being in
/// between is a conflict.
async fn write(
    cluster: &impl WriteCluster,
    namespace: &str,
    observed: &Observed,
    child: &Child,
) -> Result<(), WriteError> {
    let there = match find(observed, child.kind(), child.name()) {
        Some(there) => Some(there.clone()),
        None => cluster.look(namespace, child).await?,
    };
    if let Some(there) = &there
        && owner_uid(there) != owner_uid(child.metadata())
    {
        return Err(WriteError::NotOurs(
            owner(there).map_or("nobody".to_owned(), |o| format!("{} {}", o.kind, o.name)),
        ));
    }
    Ok(cluster.apply(namespace, child, there.is_some()).await?)
}

fn find<'a>(observed: &'a Observed, kind: ChildKind, name: &str) -> Option<&'a ObjectMeta> {
    fn named<'a, K: Resource>(objects: &'a [K], name: &str) -> Option<&'a ObjectMeta> {
        objects.iter().map(Resource::meta).find(|m| m.name.as_deref() == Some(name))
    }
    match kind {
        ChildKind::Claim => named(&observed.claims, name),
        ChildKind::Job => named(&observed.jobs, name),
        ChildKind::Revision => named(&observed.revisions, name),
        ChildKind::Deployment => named(&observed.deployments, name),
        ChildKind::Service => named(&observed.services, name),
        ChildKind::Autoscaler => named(&observed.autoscalers, name),
        ChildKind::Budget => named(&observed.budgets, name),
        ChildKind::HttpRoute => named(&observed.http_routes, name),
        ChildKind::GrpcRoute => named(&observed.grpc_routes, name),
    }
}

fn owner(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true))
}

fn owner_uid(metadata: &ObjectMeta) -> Option<&str> {
    owner(metadata).map(|o| o.uid.as_str())
}

#[derive(Default)]
struct Done(Applied);

impl Done {
    fn wrote(&mut self, what: String, result: Result<(), WriteError>) {
        match result {
            Ok(()) => self.0.written += 1,
            Err(error) => self.failed(what, &error),
        }
    }

    fn failed(&mut self, what: String, error: &WriteError) {
        self.0.failed.push(FailedWrite { what, why: error.to_string(), is_terminal: error.is_terminal() });
    }
}

#[cfg(test)]
mod tests;
