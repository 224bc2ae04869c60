//! A rollout behind a real gateway: Traefik, which `e2e/gateway` builds. `e2e/run.sh --gateway` runs this; the other tests need no
//! gateway, and its build is long.

mod bad_canaries;
#[allow(dead_code, reason = "what the tests without a gateway need besides")]
#[path = "../cluster/support.rs"]
mod support;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use drydock_crds::ModelDeployment;
use drydock_e2e::forward::Forward;
use drydock_e2e::install::kubectl;
use drydock_e2e::kubernetes::{Space, changed, example, is_ready, wait};
use drydock_e2e::load_pod::{LoadPod, Place};
use drydock_e2e::{fashion, grpc, oip};
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use support::{OPTIMIZED, RATE, ROLLED_OUT, assert_lossless, canary_revision, space, stable_revision};
use tokio::time::{Duration, sleep};

const NAME: &str = "fashion-gateway";
/// The example's; only the pods of the load know it.
const HOSTNAME: &str = "fashion.example.com";

/// The next version of the example, with `change` over it. Its first step lasts for as long as the test looks at it.
fn next(change: &Value) -> Result<Value> {
    let version = json!({"spec": {
        "serving": {"podTemplate": {"labels": {"version": "2"}}},
        "rollout": {"steps": [{"weight": 20, "holdSeconds": 10, "pause": true}, {"weight": 50, "holdSeconds": 5}]},
    }});
    Ok(changed(changed(example("gateway.yaml")?, &version), change))
}

fn weight(object: &ModelDeployment) -> &str {
    object.status.as_ref().map_or("", |s| s.canary_weight.as_str())
}

/// What the routes say: the weights of the last rule's backends, by kind.
async fn routes(space: &Space) -> Result<BTreeMap<String, String>> {
    let columns = "jsonpath={range .items[*]}{.kind}={.spec.rules[-1:].backendRefs[*].weight}{\"\\n\"}{end}";
    let text = kubectl(&["-n", &space.name, "get", "httproutes,grpcroutes", "-o", columns]).await?;
    Ok(text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

fn both(weights: &str) -> BTreeMap<String, String> {
    ["GRPCRoute", "HTTPRoute"].map(|kind| (kind.to_owned(), weights.to_owned())).into()
}

/// The answers in between, by the revision that gave them.
fn between(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after.iter().map(|(of, n)| (of.clone(), n - before.get(of).copied().unwrap_or(0))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_behind_a_gateway() -> Result<()> {
    let space = space("gateway").await?;
    let gateway = Space { name: "gateway".into(), ..space.clone() };
    space.apply_example("gateway.yaml").await?;
    let stable = stable_revision(&space.until(NAME, OPTIMIZED, "to be served", is_ready).await?);
    assert_eq!(routes(&space).await?, both("100 0"));

    let refused = space.apply(next(&json!({"spec": {"rollout": {"sticky": {"cookie": "session"}}}}))?).await;
    let refused = refused.err().context("sticky users behind a gateway were accepted")?.to_string();
    assert!(refused.contains("router Gateway cannot keep users to one model"), "{refused}");

    let place = Place::of(&gateway, "gateway", NAME).await?.called(HOSTNAME);
    let traffic = LoadPod::start_at(&space, &place, RATE).await?;
    space.apply(next(&json!({}))?).await?;
    let object = space.until(NAME, ROLLED_OUT, "the first step's weight", |m| weight(m) == "20%").await?;
    let canary = canary_revision(&object);
    assert_eq!(routes(&space).await?, both("80 20"));

    // The share of everybody, in the middle of the step.
    sleep(Duration::from_secs(2)).await;
    let first = traffic.seen().await?;
    sleep(Duration::from_secs(15)).await;
    let object = space.api::<ModelDeployment>().get(NAME).await?;
    let last = traffic.seen().await?;
    assert_eq!(weight(&object), "20%", "the step was over before its share was measured: {:?}", object.status);
    let seen = between(&first.by_revision, &last.by_revision);
    let (n, of) = (seen.values().sum::<u64>() as f64, seen.get(&canary).copied().unwrap_or(0) as f64);
    let error = 4.5 * (n * 0.2 * 0.8).sqrt();
    println!("20 %: {of} of {n} answers are the canary's; binomial error at 4.5 deviations: {error:.0}");
    assert!(n >= 500.0 && (of - 0.2 * n).abs() <= error, "{seen:?}");
    by_header(&gateway, &canary).await?;

    let proceed = json!({"spec": {"rollout": {"control": {"proceed": format!("{canary}/0")}}}});
    space.apply(next(&proceed)?).await?;
    let promoted = |m: &ModelDeployment| is_ready(m) && stable_revision(m) == canary;
    space.until(NAME, ROLLED_OUT, "a promotion", promoted).await?;
    assert_eq!(routes(&space).await?, both("100 0"));
    sleep(Duration::from_secs(5)).await;
    let report = traffic.stop().await?;
    assert_lossless(&report, "a promotion behind a gateway");
    assert!(
        report.by_revision.keys().eq([&stable, &canary].iter().copied().collect::<std::collections::BTreeSet<_>>())
    );

    // Back to the sidecars: nothing of ours is left at the gateway.
    let sidecar = json!({"spec": {"rollout": {"router": "Sidecar", "gateway": null}}});
    space.apply(next(&sidecar)?).await?;
    wait(ROLLED_OUT, "the routes to go", || async { Ok(routes(&space).await?.is_empty().then_some(())) }).await?;
    space.until(NAME, ROLLED_OUT, "to be served on", is_ready).await?;
    space.delete().await
}

/// Whatever the weight, requests with the header are the canary's, over both protocols.
async fn by_header(gateway: &Space, canary: &str) -> Result<()> {
    const TRIES: usize = 20;
    let forward = Forward::to(gateway, "gateway").await?;
    let sample = fashion::evaluation(1)?.remove(0).tensor();
    let headers = [(HOST, HOSTNAME), ("x-canary".parse()?, "always")];
    let headers: HeaderMap = headers.into_iter().map(|(k, v)| (k, HeaderValue::from_static(v))).collect();
    let http = oip::client().default_headers(headers).build()?;
    let grpc = grpc::client_of(&forward.grpc, &format!("http://{HOSTNAME}"))?;
    for _ in 0..TRIES {
        assert_eq!(oip::infer(&http, &forward.http, NAME, &sample).await?.revision, canary, "over REST");
        let mut request = tonic::Request::new(grpc::request(NAME, &sample));
        request.metadata_mut().insert("x-canary", "always".parse()?);
        let answer = grpc.clone().model_infer(request).await?;
        let revision = answer.metadata().get("drydock-revision").context("no drydock-revision")?;
        assert_eq!(revision.to_str()?, canary, "over gRPC");
    }
    println!("by header: {TRIES} of {TRIES} the canary's over REST, and over gRPC");
    Ok(())
}
