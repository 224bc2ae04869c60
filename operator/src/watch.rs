//! What wakes a pass up.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use drydock_operator_core::{GrpcRoute, HttpRoute};
use futures::channel::mpsc;
use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Kind, Kubernetes, MANAGED_BY};
use crate::gateway_api::GatewayApi;
use crate::index::{self, Index};
use crate::named::Named;
use crate::reconcile::{Context, Watched, after_error, reconcile};
use crate::target::Target;

/// A rollout of a Deployment sends a burst of events: one pass after the burst, not one for each.
const DEBOUNCE: Duration = Duration::from_millis(100);
const WATCH_SECONDS: u32 = 60;
const CRD_EVERY: Duration = Duration::from_secs(3);

/// Passes over every ModelDeployment that changes, or of which a child or a pod does; ends when `stop` is cancelled and
/// the passes under way have ended.
pub async fn run(
    client: Client,
    namespace: Option<&str>,
    concurrency: u16,
    cx: Context<Kubernetes>,
    stop: CancellationToken,
) {
    let gateway_api = cx.cluster.gateway_api.clone();
    let looking = gateway_api.clone();
    let found = gateway_api.clone();
    let (reader, writer) = reflector::store();
    let (listed, lists) = mpsc::unbounded();
    let ours = watcher::Config::default().labels(&cx.shard.selector());
    let objects = watcher(api::<Watched>(&client, namespace), ours)
        .default_backoff()
        .modify(small)
        .reflect(writer)
        // A whole list again means that events were missed: all are looked at, since what the filter below has seen it does not let pass again, whether
        // a pass found it in the store or not.
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                // Nobody hears it once the passes have ended.
                let _ = listed.unbounded_send(());
            }
        })
        .applied_objects()
        // Our own statuses are most of what is written to one: `wake` knows which of them to look at.
        .predicate_filter(predicates::generation, PredicateConfig::default())
        .filter_map(|object| ready(said(object)));
    let children = Children { client: &client, namespace, index: &cx.cluster.index };
    let passes = Controller::for_stream(objects, reader)
        .owns_stream(children.watched::<Job>())
        .owns_stream(children.watched::<Deployment>())
        .owns_stream(children.watched::<Service>())
        .owns_stream(children.watched::<HorizontalPodAutoscaler>())
        .owns_stream(children.watched::<PodDisruptionBudget>())
        .owns_stream(children.watched::<PersistentVolumeClaim>())
        .owns_stream(children.watched::<ControllerRevision>())
        // Not owned by the ModelDeployment but by a Job or a ReplicaSet: found by their label.
        .watches_stream(children.watched::<Pod>(), |pod| model_deployment_of(&pod))
        // Not before the cluster has such kinds.
        .reconcile_on(routes::<HttpRoute>(&client, namespace, gateway_api.clone()))
        .reconcile_on(routes::<GrpcRoute>(&client, namespace, gateway_api))
        .reconcile_all_on(stream::once(async move { found.found().await }))
        .reconcile_all_on(lists)
        .with_config(controller::Config::default().concurrency(concurrency).debounce(DEBOUNCE))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile::<Kubernetes>, after_error, Arc::new(cx))
        .for_each(|result| {
            match result {
                // `after_error` has said it; a deleted object may still be in the queue.
                Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
                Err(error @ controller::Error::ObjectNotFound(_)) => tracing::debug!(%error, "deleted"),
                Err(error) => tracing::warn!(%error, "watching; it goes on by itself"),
            }
            ready(())
        });
    let look = async {
        looking.look(&client).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = passes => {}
        () = look => {}
    }
}

/// The watches of what ModelDeployments have: metadata alone, which tells that something has changed, and whose it is.
struct Children<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    index: &'a Arc<Index>,
}

impl Children<'_> {
    fn watched<K: Kind>(&self) -> impl Stream<Item = Result<Named<K>, watcher::Error>> + Send + 'static {
        let index = self.index.clone();
        let kind = index.add(&K::kind(&()));
        // A connection that has died in silence is noticed when its watch should have ended.
        let ours = watcher::Config::default().labels(MANAGED_BY).timeout(WATCH_SECONDS);
        watcher(api::<Named<K>>(self.client, self.namespace), ours)
            .default_backoff()
            .inspect(move |event| index.see(kind, event))
            .touched_objects()
            .filter_map(|child| ready(said(child)))
    }
}

/// Each watch has its own backoff: the Controller, given an error of one, would wait with all of them.
fn said<K>(seen: Result<K, watcher::Error>) -> Option<Result<K, watcher::Error>> {
    if let Err(error) = &seen {
        tracing::warn!(%error, "watching; it goes on by itself");
    }
    seen.ok().map(Ok)
}

/// What nobody asks the store for.
fn small(object: &mut Watched) {
    let meta = object.meta_mut();
    *meta = ObjectMeta { labels: None, owner_references: None, ..std::mem::take(meta) };
}

fn model_deployment_of<K>(child: &Named<K>) -> Option<ObjectRef<Watched>>
where
    K: Resource<DynamicType = ()>,
{
    let Target { namespace, name } = index::owner(child)?;
    Some(ObjectRef::new(&name).within(&namespace))
}

/// Whose route has changed.
fn routes<K: Kind>(
    client: &Client,
    namespace: Option<&str>,
    gateway_api: GatewayApi,
) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static {
    let api = api::<Named<K>>(client, namespace);
    stream::once(async move { gateway_api.found().await })
        .flat_map(move |()| watcher(api.clone(), watcher::Config::default().labels(MANAGED_BY)).default_backoff())
        .touched_objects()
        .filter_map(|route| {
            ready(match route {
                Ok(route) => model_deployment_of(&route),
                Err(error) => {
                    tracing::warn!(%error, "watching routes; it goes on by itself");
                    None
                }
            })
        })
}

/// Returns when ModelDeployments can be listed: the CRD may be installed after the operator.
pub async fn until_established(client: &Client, namespace: Option<&str>) {
    let one = ListParams::default().limit(1);
    let mut said = String::new();
    while let Err(error) = api::<Watched>(client, namespace).list(&one).await {
        // By what we need it for, and not by reading the CRD: that would be one more right to grant.
        let now = match &error {
            kube::Error::Api(s) if s.is_not_found() => "the CRD is not installed yet".to_owned(),
            kube::Error::Api(s) => s.message.clone(),
            error => error.to_string(),
        };
        if now != said {
            tracing::warn!(reason = now, "waiting for ModelDeployments to be served");
            said = now;
        }
        tokio::time::sleep(CRD_EVERY).await;
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests;
