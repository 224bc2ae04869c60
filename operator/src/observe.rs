use std::collections::BTreeMap;
use std::time::Duration;

use drydock_contract::SplitWindow;
use drydock_crds::ModelDeploymentStatus;
use drydock_operator_core::{GrpcRoute, HttpRoute, Observed, PodToAsk, pods_are_missing, pods_to_ask, remembered};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use crate::cluster::{ClusterError, Kind, ReadCluster};
use crate::target::Target;

/// For all pods of one ModelDeployment together. A pod that is well answers in milliseconds; pods that hang must not hold the
/// pass, and with it one of the few slots that all objects share. Who has not answered by then is silent, and asked again by
/// the next pass.
const ASK_WITHIN: Duration = Duration::from_millis(500);
/// Connections that one ModelDeployment may have open at once.
const ASK_AT_ONCE: usize = 16;

/// Reads a ModelDeployment's children, and what its pods have seen of the rollout. All by GET and LIST: an answer is never older than
/// the question, which a cache of the watches could not promise. They tell names alone, and are not trusted with all of those: what the
/// status remembers is asked for in any case, and pods are listed where Jobs and Deployments speak of more than were found.
pub async fn observe(
    cluster: &impl ReadCluster,
    target: &Target,
    status: Option<&ModelDeploymentStatus>,
) -> Result<Observed, ClusterError> {
    let remembered = remembered(&target.name, status);
    let (claims, jobs, pods, revisions, deployments, services, autoscalers, budgets, routes) = tokio::try_join!(
        labelled(cluster, target, &[]),
        labelled(cluster, target, &[]),
        cluster.named(target, &[]),
        labelled(cluster, target, &remembered),
        labelled(cluster, target, &remembered),
        labelled(cluster, target, &[]),
        labelled(cluster, target, &[]),
        labelled(cluster, target, &[]),
        routes(cluster, target),
    )?;
    let pods = match pods.filter(|pods| !pods_are_missing(&jobs, &deployments, pods)) {
        Some(pods) => pods,
        None => cluster.listed(target).await?,
    };
    let gateway_api = routes.is_some();
    let (http_routes, grpc_routes) = routes.unwrap_or_default();
    let splits = ask(cluster, pods_to_ask(&target.name, status, &pods)).await;
    Ok(Observed {
        claims,
        jobs,
        pods,
        revisions,
        deployments,
        services,
        autoscalers,
        budgets,
        gateway_api,
        http_routes,
        grpc_routes,
        splits,
        // Nobody waits for them here: `reconcile` knows what was heard.
        external: BTreeMap::new(),
    })
}

async fn labelled<K: Kind>(
    cluster: &impl ReadCluster,
    target: &Target,
    also: &[String],
) -> Result<Vec<K>, ClusterError> {
    match cluster.named(target, also).await? {
        Some(found) => Ok(found),
        None => cluster.listed(target).await,
    }
}

/// `None` where there is no Gateway API, or none for us: what does not ask for a gateway goes on all the same.
async fn routes(
    cluster: &impl ReadCluster,
    target: &Target,
) -> Result<Option<(Vec<HttpRoute>, Vec<GrpcRoute>)>, ClusterError> {
    if !cluster.gateway_api() {
        return Ok(None);
    }
    match tokio::try_join!(cluster.listed(target), cluster.listed(target)) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_unavailable() => {
            tracing::warn!(%error, "routes of the Gateway API cannot be listed");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn ask(cluster: &impl ReadCluster, pods: Vec<PodToAsk>) -> BTreeMap<String, SplitWindow> {
    let mut answers = stream::iter(pods)
        .map(|pod| async move { (cluster.split_window(&pod.ip).await, pod.name) })
        .buffer_unordered(ASK_AT_ONCE);
    let until = Instant::now() + ASK_WITHIN;
    let mut heard = BTreeMap::new();
    while let Ok(Some((window, pod))) = timeout_at(until, answers.next()).await {
        heard.extend(window.map(|window| (pod, window)));
    }
    heard
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::api::DynamicObject;

    use super::*;

    /// Pods answer in a millisecond, but for the first `hanging`, which never do.
    struct Pods {
        hanging: usize,
        open: AtomicUsize,
        most: AtomicUsize,
    }

    impl ReadCluster for Pods {
        async fn model_deployment(&self, _: &Target) -> Result<Option<DynamicObject>, ClusterError> {
            Ok(None)
        }

        async fn named<K: Kind>(&self, _: &Target, _: &[String]) -> Result<Option<Vec<K>>, ClusterError> {
            Ok(None)
        }

        async fn listed<K: Kind>(&self, _: &Target) -> Result<Vec<K>, ClusterError> {
            Ok(Vec::new())
        }

        fn gateway_api(&self) -> bool {
            false
        }

        async fn split_window(&self, pod_ip: &str) -> Option<SplitWindow> {
            let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(open, Ordering::SeqCst);
            if pod_ip.parse::<usize>().is_ok_and(|pod| pod < self.hanging) {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            Some(SplitWindow::default())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pods_that_hang_hold_neither_the_pass_nor_the_others() {
        for (hanging, heard) in [(0, 100), (3, 97), (100, 0)] {
            let cluster = Pods { hanging, open: AtomicUsize::new(0), most: AtomicUsize::new(0) };
            let began = Instant::now();
            let pods = (0..100).map(|pod| PodToAsk { name: format!("p{pod}"), ip: pod.to_string() }).collect();
            assert_eq!(ask(&cluster, pods).await.len(), heard, "{hanging} hang");
            assert!(began.elapsed() <= ASK_WITHIN + Duration::from_millis(1), "{hanging} hang: {:?}", began.elapsed());
            assert_eq!(cluster.most.into_inner(), ASK_AT_ONCE, "{hanging} hang");
        }
    }
}
