//! Which requests the canary gets, and how its answers compare.

use std::sync::atomic::Ordering;

use drydock_contract::{SplitWindow, WARM_UP_REQUESTS};
use serde_json::{Value, json};

use super::{Canary, Stable, start_canary};
use crate::support::{MODEL, REVISION, Running, bytes, image, json_body, largest};

/// The class that the stable model gives to `image(1)`.
async fn stable_class(running: &Running) -> usize {
    let url = running.url(&format!("/v2/models/{MODEL}/versions/{REVISION}/infer"));
    let response = running.client.post(url).json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!(response.headers()["drydock-revision"], REVISION, "a request that names a version stays here");
    let body: Value = response.json().await.unwrap();
    largest(&serde_json::from_value::<Vec<f32>>(body["outputs"][0]["data"].clone()).unwrap())
}

#[tokio::test]
async fn the_canary_gets_its_exact_share_and_is_compared() {
    for (agrees, weight) in [(true, 10), (false, 25)] {
        let class = stable_class(&Running::start(&[]).await).await;
        let (canary, seen) = start_canary(Canary::Class(if agrees { class } else { (class + 1) % 10 })).await;
        let stable = Stable::start(canary).await;
        assert_eq!(stable.send(3).await, 0, "no split, no canary");
        stable.split(weight, "1", 60_000).await;
        assert_eq!(stable_class(&stable.running).await, class);
        let answered = stable.send(100).await;
        assert_eq!((answered, seen.load(Ordering::SeqCst)), (usize::from(weight), usize::from(weight)));
        let expected = SplitWindow {
            revision: "r2".into(),
            window: "1".into(),
            weight,
            requests: u64::from(weight),
            compared: u64::from(weight),
            agreed: if agrees { u64::from(weight) } else { 0 },
            ..SplitWindow::default()
        };
        let mut window = stable.window().await;
        let counted = |latencies: &[u64]| latencies.iter().sum::<u64>();
        assert_eq!(counted(&std::mem::take(&mut window.latencies)), u64::from(weight).saturating_sub(WARM_UP_REQUESTS));
        let own = window.stable.take().unwrap();
        assert_eq!((own.requests, own.errors), (100 - u64::from(weight), 0));
        assert_eq!(counted(&own.latencies) > 0, u64::from(weight) > WARM_UP_REQUESTS);
        assert_eq!(window, expected);

        stable.split(weight, "2", 60_000).await;
        assert_eq!(stable.window().await.requests, 0, "a new window counts anew");
        std::fs::write(&stable.split_file, "{").unwrap();
        stable.until(|w| w.weight == 0).await;
        assert_eq!(stable.send(20).await, 0, "an invalid split is none");
    }
}

/// Anyone who may annotate pods can write the split.
#[tokio::test]
async fn a_split_that_is_none_costs_no_request() {
    // A request that reached this canary would wait for as long as the split says.
    let (canary, seen) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(canary).await;
    let split = |weight: &str, timeout: &str| {
        format!(r#"{{"weight":{weight},"revision":"r2","window":"1","timeoutMilliseconds":{timeout}}}"#).into_bytes()
    };
    for bad in [
        b"{".to_vec(),
        b"null".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[".repeat(200_000),
        split("101", "500"),
        split("-1", "500"),
        split("100", "0"),
        split("100", "4294967295"),
        split("\"100\"", "500"),
    ] {
        // A good one before it, so that it can be seen when the bad one is read.
        stable.split(50, "1", 60_000).await;
        std::fs::write(&stable.split_file, &bad).unwrap();
        stable.until(|w| w.weight == 0).await;
        assert_eq!(stable.send(3).await, 0, "{}", bad.escape_ascii());
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_forwarded_request_is_not_forwarded_again() {
    let (canary, seen) = start_canary(Canary::Class(0)).await;
    let stable = Stable::start(canary).await;
    stable.split(100, "1", 60_000).await;
    let request = stable.running.client.post(stable.running.infer_url()).header("drydock-hop", "1");
    let response = request.json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!(response.headers()["drydock-revision"], REVISION);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn binary_answers_are_compared_too() {
    // A sidecar of another revision as the canary: the same model, so they agree.
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.http).await;
    stable.split(50, "1", 60_000).await;
    let data = bytes(&[image(1), image(2)].concat());
    let header = json!({
        "parameters": {"binary_data_output": true},
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 1, 28, 28],
                    "parameters": {"binary_data_size": data.len()}}],
    })
    .to_string();
    let mut canarys = 0;
    for _ in 0..20 {
        let request = stable.running.client.post(stable.running.infer_url());
        let request = request.header("Inference-Header-Content-Length", header.len());
        let response = request.body([header.as_bytes(), &data].concat()).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/octet-stream".parse().unwrap())
        );
        if response.headers()["drydock-revision"] == "r2" {
            canarys += 1;
            stable.until(|w| w.compared == canarys).await;
        }
    }
    let window = stable.window().await;
    assert_eq!((canarys, window.requests, window.agreed, window.failures()), (10, 10, 10, 0), "{window:?}");
}
