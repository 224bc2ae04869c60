//! A canary that fails or hangs costs no request, and is counted.

use std::time::Duration;

use drydock_contract::SplitWindow;
use serde_json::json;

use super::{Canary, Stable, start_canary};
use crate::support::{REVISION, image, json_body};

#[tokio::test]
async fn a_canary_that_fails_costs_no_request() {
    for canary in [Canary::Fails, Canary::Hangs, Canary::Closes, Canary::Absent] {
        let (address, _) = start_canary(canary).await;
        let stable = Stable::start(address).await;
        // Only one that hangs needs the timeout to come.
        stable.split(50, "1", if canary == Canary::Hangs { 30 } else { 60_000 }).await;
        assert_eq!(stable.send(20).await, 0);
        let counts = |w: SplitWindow| (w.requests, w.errors, w.timeouts, w.unreachable, w.compared);
        let expected = match canary {
            Canary::Fails => (10, 10, 0, 0, 0),
            Canary::Hangs => (10, 0, 10, 0, 0),
            _ => (10, 0, 0, 10, 0),
        };
        assert_eq!(counts(stable.window().await), expected, "{canary:?}");

        // The user's own mistake is no failure of the canary.
        let bad = json!({"inputs": []});
        for _ in 0..2 {
            let client = &stable.running.client;
            let response = client.post(stable.running.infer_url()).json(&bad).send().await.unwrap();
            assert_eq!(response.status(), 400);
        }
        let window = stable.window().await;
        assert_eq!((window.requests, window.failures()), (10, 10), "{canary:?}: it tells nothing of the canary");
    }
}

/// 200, and nothing that a client of the stable model could read.
#[tokio::test]
async fn an_answer_of_another_form_costs_no_request() {
    for outputs in [
        r#"[{"name": "logits", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]"#,
        r#"[{"name": "logits", "datatype": "FP32", "shape": [10], "data": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}]"#,
        r#"[{"name": "logits", "datatype": "FP64", "shape": [1, 10], "data": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}]"#,
        r#"[{"name": "scores", "datatype": "FP32", "shape": [1, 10], "data": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}]"#,
        "[]",
        "{}",
        "7",
    ] {
        let (address, _) = start_canary(Canary::Outputs(outputs)).await;
        let stable = Stable::start(address).await;
        stable.split(50, "1", 60_000).await;
        assert_eq!(stable.send(4).await, 0, "{outputs}");
        let window = stable.window().await;
        assert_eq!((window.requests, window.errors), (2, 2), "{outputs}: {window:?}");
    }
}

/// A user's deadline that is sooner than the split's timeout: the stable model still has the time to answer, and the canary that took the
/// rest of it is counted.
#[tokio::test]
async fn a_canary_that_hangs_leaves_the_stable_model_time_to_answer() {
    let (address, _) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(address).await;
    stable.split(100, "1", 60_000).await;
    for header in [("x-envoy-expected-rq-timeout-ms", "4000"), ("grpc-timeout", "4S")] {
        assert_eq!(stable.send_with(&[header]).await, REVISION);
    }
    let mut by_parameter = json_body(&image(1));
    by_parameter["parameters"] = json!({"timeout": 4_000_000});
    let request = stable.running.client.post(stable.running.infer_url()).json(&by_parameter);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let window = stable.window().await;
    assert_eq!((window.requests, window.timeouts), (3, 3), "{window:?}");
    // Nothing was asked of the canary.
    let request = stable.running.client.post(stable.running.infer_url()).header("grpc-timeout", "1n");
    assert_eq!(request.json(&json_body(&image(1))).send().await.unwrap().status(), 504);
    assert_eq!(stable.window().await, window);
}

/// A client with less patience than the split must not hide a canary that hangs: its failure is counted all the same.
#[tokio::test]
async fn a_client_that_gives_up_first_is_counted() {
    let (address, _) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(address).await;
    stable.split(100, "1", 2_000).await;
    let request = stable.running.client.post(stable.running.infer_url()).timeout(Duration::from_millis(500));
    assert!(request.json(&json_body(&image(1))).send().await.unwrap_err().is_timeout());
    let counted = tokio::time::timeout(Duration::from_secs(20), stable.until(|w| w.requests == 1)).await;
    assert_eq!(counted.expect("the request was never counted").timeouts, 1);
}

/// However slow the canary is: each request is run by the stable model once, as it would be without a canary.
#[tokio::test]
async fn a_slow_canary_gives_the_stable_model_nothing_to_do_twice() {
    const REQUESTS: u64 = 40;
    let (address, _) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(address).await;
    stable.split(100, "1", 100).await;
    let sent = (0..REQUESTS).map(|_| stable.send_with(&[]));
    assert!(futures::future::join_all(sent).await.iter().all(|revision| revision == REVISION));
    assert_eq!(stable.inferences().await, REQUESTS);
    let window = stable.window().await;
    assert!(window.requests > 0 && window.timeouts == window.requests, "{window:?}");
}
