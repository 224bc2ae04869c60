use std::ops::Deref;
use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::{Metric, MetricStatus, ModelDeployment};
use drydock_e2e::install::{self, command, root};
use drydock_e2e::kubernetes::{Space, changed, example, is_ready};
use drydock_e2e::load::Report;
use drydock_e2e::load_pod::LoadPod;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Requests a second that go on during everything.
pub(crate) const RATE: u32 = 60;
/// Long enough for an optimization Job on a machine that has other things to do.
pub(crate) const OPTIMIZED: Duration = Duration::from_secs(300);
pub(crate) const ROLLED_OUT: Duration = Duration::from_secs(180);

/// Held by each test for as long as it lasts: shared, or by one that needs the cluster for itself alone.
static CLUSTER: RwLock<()> = RwLock::const_new(());

/// A test's namespace, and its turn on the cluster.
#[derive(Debug)]
pub(crate) struct Turn<T> {
    space: Space,
    _turn: T,
}

impl<T> Deref for Turn<T> {
    type Target = Space;

    fn deref(&self) -> &Space {
        &self.space
    }
}

/// A fresh namespace on a cluster that runs this clone's operator, beside those of other tests.
pub(crate) async fn space(name: &str) -> Result<Turn<RwLockReadGuard<'static, ()>>> {
    let turn = CLUSTER.read().await;
    Ok(Turn { space: fresh(name).await?, _turn: turn })
}

/// The same where no other test is under way: for one that breaks what all share, or takes all that the machine has.
pub(crate) async fn alone(name: &str) -> Result<Turn<RwLockWriteGuard<'static, ()>>> {
    let turn = CLUSTER.write().await;
    // Those of a test that failed would take the machine, and change what is meant to be at rest.
    Space::delete_left("e2e-").await?;
    Ok(Turn { space: fresh(name).await?, _turn: turn })
}

async fn fresh(name: &str) -> Result<Space> {
    static READY: OnceCell<()> = OnceCell::const_new();
    READY
        .get_or_try_init(|| async {
            install::operator().await?;
            Space::delete_left("e2e-").await
        })
        .await?;
    Space::fresh(&format!("e2e-{name}")).await
}

/// A ModelDeployment named `model` that is served as it came, by pods that want little, with `change` over it.
pub(crate) fn model(change: &Value) -> Result<Value> {
    let base = changed(
        example("as-it-is.yaml")?,
        &json!({
            "metadata": {"name": "model"},
            "spec": {
                "serving": {"replicas": 1, "resources": {"requests": {"cpu": "50m"}}},
                "rollout": {
                    "steps": [{"weight": 20, "holdSeconds": 4}, {"weight": 60, "holdSeconds": 4}],
                    "progressDeadlineSeconds": 25,
                    "scaleDownDelaySeconds": 5,
                    "analysis": {"timeoutMilliseconds": 500},
                },
            },
        }),
    );
    Ok(changed(base, change))
}

/// The same model, served by a server that is broken in the way `mode` says.
pub(crate) fn broken(mode: &str) -> Value {
    broken_with(mode, &[])
}

pub(crate) fn broken_with(mode: &str, environment: &[(&str, String)]) -> Value {
    let environment: Vec<_> = environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let environment = [vec![json!({"name": "MODE", "value": mode})], environment].concat();
    json!({"spec": {"serving": {
        "image": "localhost/drydock/faulty-server:dev",
        "podTemplate": {"spec": {"containers": [{"name": "inference-sidecar", "env": environment}]}},
    }}})
}

/// A number that the environment may say otherwise.
pub(crate) fn how_many(variable: &str, default: usize) -> Result<usize> {
    std::env::var(variable).map_or(Ok(default), |n| n.parse().with_context(|| format!("{variable}: expected a number")))
}

/// Applies `model(change)` and waits until it is served.
pub(crate) async fn served(space: &Space, change: &Value) -> Result<ModelDeployment> {
    space.apply(model(change)?).await?;
    space.until("model", OPTIMIZED, "to be served", is_ready).await
}

pub(crate) async fn load(space: &Space, name: &str) -> Result<LoadPod> {
    LoadPod::start(space, name, RATE).await
}

/// No request failed, the load was what it should be, and what it was.
pub(crate) fn assert_lossless(report: &Report, what: &str) {
    assert_lossless_at(RATE, report, what);
}

/// The same for a load of `rate` requests a second.
pub(crate) fn assert_lossless_at(rate: u32, report: &Report, what: &str) {
    println!(
        "{what}: {} requests at {:.0}/s, {} failed, p50 {:.1} ms, p99 {:.1} ms, by revision {:?}",
        report.sent,
        report.rate(),
        report.failed,
        report.quantile(0.5) * 1e3,
        report.quantile(0.99) * 1e3,
        report.by_revision
    );
    println!("{what}: answered: {:?}", report.by_way);
    assert_eq!(report.failed, 0, "{what}: users saw failures:\n{}", report.failures.join("\n"));
    assert_eq!(report.answered, report.sent, "{what}");
    assert!(
        report.by_way.len() == 4 && report.by_way.values().all(|n| *n * 5 > report.answered),
        "{:?}",
        report.by_way
    );
    let correct = report.correct as f64 / report.answered as f64;
    assert!(correct >= 0.85, "{what}: only {:.1} % of the answers are right", correct * 100.0);
    assert!(report.rate() >= f64::from(rate) * 5.0 / 6.0, "{what}: the load was only {:.1} requests/s", report.rate());
}

pub(crate) fn stable_revision(object: &ModelDeployment) -> String {
    object.status.as_ref().and_then(|s| s.stable.as_ref()).map(|t| t.revision.clone()).unwrap_or_default()
}

pub(crate) fn canary_revision(object: &ModelDeployment) -> String {
    object.status.as_ref().and_then(|s| s.canary.as_ref()).map(|t| t.revision.clone()).unwrap_or_default()
}

/// The revision that was rolled back last, and why.
pub(crate) fn failed(object: &ModelDeployment) -> Option<(String, String)> {
    let rollout = object.status.as_ref()?.rollout.as_ref()?;
    rollout.failed.as_ref().map(|f| (f.revision.clone(), f.reason.clone()))
}

/// What the analysis says of the canary by one metric.
pub(crate) fn metric(object: &ModelDeployment, which: Metric) -> Option<&MetricStatus> {
    let analysis = object.status.as_ref()?.rollout.as_ref()?.analysis.as_ref()?;
    analysis.metrics.iter().find(|m| m.metric == which)
}

/// The pods of `model` that serve a revision.
pub(crate) async fn pods_of(space: &Space, revision: &str) -> Result<Vec<Pod>> {
    let mut pods = space.serving_pods("model").await?;
    pods.retain(|p| p.labels().get("drydock.dev/revision").is_some_and(|r| r == revision));
    Ok(pods)
}

/// A command of the local cluster, and what it prints: something that is done to it on purpose.
pub(crate) async fn cluster(arguments: &[&str]) -> Result<String> {
    command(&root().join("e2e/cluster/cluster").to_string_lossy(), arguments).await
}
