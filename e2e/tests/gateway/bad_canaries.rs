//! Canaries that are broken behind a gateway, where nobody answers in their place.

use anyhow::{Context as _, Result};
use drydock_e2e::kubernetes::{Space, is_ready, wait};
use drydock_e2e::load_pod::{LoadPod, Place};
use k8s_openapi::api::apps::v1::Deployment;
use tokio::time::{Duration, sleep};

use crate::support::{OPTIMIZED, RATE, ROLLED_OUT, assert_lossless, broken, failed, space, stable_revision};
use crate::{HOSTNAME, NAME, both, next, routes};

/// Long enough for a gateway to do what it has accepted: Traefik gathers changes for 2 s.
const SETTLED: Duration = Duration::from_secs(5);

/// Applies a canary that is broken in the way `mode` says, and waits until it is rolled back: which revision, and why.
async fn rolled_back(space: &Space, mode: &str) -> Result<(String, String)> {
    space.apply(next(&broken(mode))?).await?;
    let verdict = space.until(NAME, ROLLED_OUT, &format!("{mode}: a rollback"), |m| failed(m).is_some()).await?;
    println!("{mode}: {:?}", failed(&verdict));
    failed(&verdict).context("no revision has failed")
}

/// One that does not come up costs users nothing. One that answers errors costs its share of the requests until it is judged, and the
/// gateway has heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_canaries_behind_a_gateway() -> Result<()> {
    let space = space("bad-gateway").await?;
    space.apply_example("gateway.yaml").await?;
    let stable = stable_revision(&space.until(NAME, OPTIMIZED, "to be served", is_ready).await?);
    let gateway = Space { name: "gateway".into(), ..space.clone() };
    let place = Place::of(&gateway, "gateway", NAME).await?.called(HOSTNAME);

    let traffic = LoadPod::start_at(&space, &place, RATE).await?;
    let (_, reason) = rolled_back(&space, "crash-loop").await?;
    assert_eq!(reason, "CrashLoop");
    sleep(SETTLED).await;
    let report = traffic.stop().await?;
    assert_lossless(&report, "crash-loop behind a gateway");
    assert!(report.by_revision.keys().eq([&stable]), "{:?}", report.by_revision);
    space.apply_example("gateway.yaml").await?;
    space.until(NAME, ROLLED_OUT, "to be as before", |m| is_ready(m) && failed(m).is_none()).await?;

    let traffic = LoadPod::start_at(&space, &place, RATE).await?;
    let (canary, reason) = rolled_back(&space, "errors").await?;
    assert_eq!(reason, "ErrorRate");
    let judged = traffic.seen().await?.failed;
    let deployment = format!("{NAME}-{canary}");
    wait(ROLLED_OUT, "the gateway to take the canary out, and its pods to end", || async {
        Ok(space.api::<Deployment>().get_opt(&deployment).await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(routes(&space).await?, both("100 0"));
    let heard = traffic.seen().await?.failed;
    sleep(SETTLED).await;
    let settled = traffic.seen().await?.failed;
    sleep(SETTLED).await;
    let report = traffic.stop().await?;
    println!(
        "errors behind a gateway: {} requests, {judged} failed until the verdict, {} more until the gateway had accepted it, {} more in the {SETTLED:?} \
         after, {} later",
        report.sent,
        heard - judged,
        settled - heard,
        report.failed - settled
    );
    assert!(judged > 0, "judged by nothing");
    assert_eq!(report.failed, settled, "users got errors long after the verdict: {:?}", report.failures);
    // Nobody lost a request but to the canary, which has answered none.
    assert!(report.failures.iter().all(|f| f.contains("as asked")), "{:?}", report.failures);
    assert_eq!(report.answered + report.failed, report.sent);
    assert!(report.by_revision.keys().eq([&stable]), "{:?}", report.by_revision);
    space.delete().await
}
