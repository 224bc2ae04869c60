use std::collections::BTreeMap;

use drydock_crds::ModelDeploymentStatus;
use drydock_operator_core::{Observed, pods_to_ask};
use futures::future::join_all;

use crate::cluster::{ClusterError, ReadCluster};
use crate::target::Target;

/// Reads a ModelDeployment's children, and what its stable pods have seen of the canary. All by LIST and GET: an answer
/// is never older than the question, which a cache of the watches could not promise.
pub async fn observe(
    cluster: &impl ReadCluster,
    target: &Target,
    status: Option<&ModelDeploymentStatus>,
) -> Result<Observed, ClusterError> {
    let (claims, jobs, pods, revisions, deployments, services, autoscalers, budgets) = tokio::try_join!(
        cluster.labelled(target),
        cluster.labelled(target),
        cluster.labelled(target),
        cluster.labelled(target),
        cluster.labelled(target),
        cluster.labelled(target),
        cluster.labelled(target),
        cluster.labelled(target),
    )?;
    let asked = pods_to_ask(&target.name, status, &pods);
    let answers = join_all(asked.iter().map(|pod| cluster.split_window(&pod.ip))).await;
    let splits: BTreeMap<_, _> =
        asked.iter().zip(answers).filter_map(|(pod, window)| Some((pod.name.clone(), window?))).collect();
    Ok(Observed { claims, jobs, pods, revisions, deployments, services, autoscalers, budgets, splits })
}
