//! Recorded inputs for a canary that users do not ask.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use drydock_contract::{Split, SplitWindow, Tolerance, WARM_UP_REQUESTS};

use super::{Canary, Stable, start_canary, to_r2};
use crate::samples;
use crate::support::{Package, Running};

const EVERY: u32 = 10;
/// No input of the tests has such an answer.
const WRONG: &str = r#"[{"name":"logits","datatype":"FP32","shape":[1,10],"data":[9,9,9,9,9,9,9,9,9,9]}]"#;

fn asking(window: &str) -> Split {
    Split { weight: 50, synthetic_milliseconds: EVERY, ..to_r2(window) }
}

fn synthetic(window: &SplitWindow) -> SplitWindow {
    window.synthetic.as_deref().cloned().unwrap_or_default()
}

/// A canary over one protocol alone.
async fn over(package: Package, grpc: bool, canary: SocketAddr) -> Stable {
    let (flag, other) = if grpc { ("--canary-grpc", "--canary-http") } else { ("--canary-http", "--canary-grpc") };
    Stable::of(package, canary, &[flag, &format!("http://{canary}"), other, ""]).await
}

#[tokio::test]
async fn both_models_are_asked_and_counted_apart() {
    let canary = Running::start(&["--revision", "r2"]).await;
    for grpc in [false, true] {
        let address = if grpc { canary.server.grpc } else { canary.server.http };
        let stable = over(samples::package(3), grpc, address).await;
        stable.put(asking("1")).await;
        let asked = WARM_UP_REQUESTS + 5;
        let window = stable.until(|w| synthetic(w).compared >= asked).await;
        let seen = synthetic(&window);
        assert_eq!((window.requests, window.compared, window.stable), (0, 0, None), "no user has asked");
        assert_eq!((seen.failures(), seen.agreed), (0, seen.compared), "{seen:?}");
        // The last one may have got as far as its answers.
        assert!((seen.compared..=seen.compared + 1).contains(&seen.requests), "{seen:?}");
        // Each input once, however often it was asked.
        assert_eq!(seen.inputs, [(0, true), (1, true), (2, true)].into());
        let own = seen.stable.clone().unwrap();
        assert!(own.errors == 0 && (seen.requests..=seen.requests + 1).contains(&own.requests), "{seen:?}");
        let timed: u64 = seen.latencies.iter().sum();
        assert_eq!(timed, seen.requests - WARM_UP_REQUESTS);
        // A new window counts anew, and without a split nothing is asked at all.
        stable.put(Split { synthetic_milliseconds: 60_000, ..asking("2") }).await;
        assert_eq!(stable.window().await.synthetic, None, "it is not time yet");
        stable.put(Split { synthetic_milliseconds: 0, ..asking("3") }).await;
        let before = canary_inferences(&canary).await;
        tokio::time::sleep(Duration::from_millis(u64::from(10 * EVERY))).await;
        // One that was given up may still be on its way.
        assert!(canary_inferences(&canary).await <= before + 1);
        assert_eq!(stable.window().await.synthetic, None);
    }
}

async fn canary_inferences(canary: &Running) -> u64 {
    let url = canary.url("/v2/models/fashion/stats");
    let body: serde_json::Value = canary.client.get(url).send().await.unwrap().json().await.unwrap();
    body["model_stats"][0]["inference_count"].as_u64().unwrap()
}

/// In turn over both, where there are both.
#[tokio::test]
async fn both_protocols_are_asked() {
    let canary = Running::start(&["--revision", "r2"]).await;
    let (http, grpc) = (format!("http://{}", canary.server.http), format!("http://{}", canary.server.grpc));
    let flags = ["--canary-http", http.as_str(), "--canary-grpc", &grpc];
    let stable = Stable::of(samples::package(1), canary.server.http, &flags).await;
    stable.put(asking("1")).await;
    stable.until(|w| synthetic(w).requests >= 4).await;
    let text = canary.client.get(canary.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    for protocol in ["http", "grpc"] {
        let line = format!(r#"drydock_requests_total{{revision="r2",protocol="{protocol}""#);
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_canary_that_is_wrong_or_fails_shows_without_users() {
    let (canary, _) = start_canary(Canary::Outputs(WRONG)).await;
    let stable = over(samples::package(4), false, canary).await;
    let tolerance = [("logits".to_owned(), Tolerance { absolute: 1e-3, relative: 0.0 })].into();
    stable.put(Split { tolerance, ..asking("1") }).await;
    let seen = synthetic(&stable.until(|w| synthetic(w).inputs.len() == 4).await);
    assert!(seen.inputs.values().all(|agreed| !agreed), "{seen:?}");
    assert_eq!((seen.failures(), seen.agreed), (0, 0), "{seen:?}");

    let (canary, _) = start_canary(Canary::Fails).await;
    let stable = over(samples::package(4), false, canary).await;
    stable.put(asking("1")).await;
    let window = stable.until(|w| synthetic(w).errors >= 4).await;
    let seen = synthetic(&window);
    assert_eq!((seen.requests, seen.compared), (seen.errors, 0), "{seen:?}");
    assert_eq!((window.requests, window.errors), (0, 0), "no user has asked");
    let text = stable.running.client.get(stable.running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"drydock_canary_synthetic_failures_total{revision="r2",reason="error"}"#), "{text}");
    assert!(!text.contains("drydock_canary_failures_total{"), "{text}");
}

#[tokio::test]
async fn zeros_are_asked_of_a_package_without_inputs_and_not_compared() {
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = over(Package::new(), false, canary.server.http).await;
    stable.put(asking("1")).await;
    let seen = synthetic(&stable.until(|w| synthetic(w).requests >= 4).await);
    assert_eq!((seen.failures(), seen.compared, seen.inputs.len()), (0, 0, 0), "{seen:?}");
}

/// Users who ask often enough leave nothing to make up, and one who is being answered keeps the pod's time.
#[tokio::test]
async fn nothing_is_made_up_while_users_ask() {
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::of(samples::package(1), canary.server.http, &[]).await;
    stable.put(Split { weight: 100, synthetic_milliseconds: 60_000, ..to_r2("1") }).await;
    for _ in 0..5 {
        assert_eq!(stable.send_with(&[]).await, "r2");
    }
    assert_eq!(stable.window().await.synthetic, None, "it is not time yet");

    let (hanging, seen) = start_canary(Canary::Hangs).await;
    let stable = over(samples::package(1), false, hanging).await;
    stable.put(Split { weight: 100, ..to_r2("1") }).await;
    let user = tokio::spawn({
        let request = stable.running.client.post(stable.running.infer_url());
        async move { request.json(&crate::support::json_body(&crate::support::image(1))).send().await }
    });
    while seen.load(Ordering::SeqCst) < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stable.put(Split { weight: 100, ..asking("2") }).await;
    tokio::time::sleep(Duration::from_millis(u64::from(10 * EVERY))).await;
    assert_eq!((stable.window().await.synthetic, seen.load(Ordering::SeqCst)), (None, 1), "a user waits for an answer");
    user.abort();
}

/// What hangs is given up with its split, and is nobody's failure.
#[tokio::test]
async fn what_is_on_its_way_ends_with_the_split() {
    let (canary, seen) = start_canary(Canary::Hangs).await;
    let stable = over(samples::package(1), false, canary).await;
    stable.put(asking("1")).await;
    while seen.load(Ordering::SeqCst) < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stable.put(asking("2")).await;
    while seen.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let window = synthetic(&stable.window().await);
    assert_eq!((window.requests, window.stable.map(|own| own.requests)), (0, Some(1)));
}
