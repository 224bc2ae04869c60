//! Copies for the canary of what the stable model has answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use drydock_contract::Split;

use super::{Canary, Stable, start_canary, to_r2};
use crate::support::{REVISION, Running, image, json_body, message};

#[tokio::test]
async fn copies_are_an_exact_share_and_are_compared() {
    let canary = Running::start(&["--revision", "r2"]).await;
    for grpc in [false, true] {
        let stable = Stable::start(if grpc { canary.server.grpc } else { canary.server.http }).await;
        stable.put(Split { shadow: 25, ..to_r2("1") }).await;
        let mut client = stable.running.grpc().await;
        for sent in 1..=20 {
            if grpc {
                let response = client.model_infer(message(&image(1))).await.unwrap();
                assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
            } else {
                assert_eq!(stable.send_with(&[]).await, REVISION);
            }
            // One at a time, as copies are dropped when there are too many at once.
            stable.until(|w| w.compared == sent / 4).await;
        }
        let window = stable.window().await;
        assert_eq!((window.requests, window.agreed, window.failures()), (5, 5, 0), "{window:?}");
        assert_eq!(stable.inferences().await, 20, "the stable model answers once");
    }
}

#[tokio::test]
async fn a_canary_that_hangs_delays_nobody_and_gets_no_more_than_a_few() {
    let (canary, seen) = start_canary(Canary::Hangs).await;
    let stable = Stable::start(canary).await;
    stable.put(Split { shadow: 100, ..to_r2("1") }).await;
    for _ in 0..10 {
        // The canary would take a minute.
        let answer = tokio::time::timeout(Duration::from_secs(20), stable.send_with(&[])).await;
        assert_eq!(answer.expect("the user waits for the copy"), REVISION);
    }
    // One session: two copies at a time.
    assert!(seen.load(Ordering::SeqCst) <= 2);
    assert_eq!(stable.window().await.requests, 0, "none has ended");
}

/// Two copies of this size would leave no room for the next request.
#[tokio::test]
async fn copies_that_hang_leave_the_users_half_of_the_memory() {
    let (canary, seen) = start_canary(Canary::Hangs).await;
    let stable = Stable::with(canary, &["--max-bytes-in-flight", "1048576"]).await;
    stable.put(Split { shadow: 100, ..to_r2("1") }).await;
    let body = " ".repeat(400 << 10) + &json_body(&image(1)).to_string();
    for _ in 0..6 {
        let request = stable.running.client.post(stable.running.infer_url()).body(body.clone());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        while seen.load(Ordering::SeqCst) < 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_canary_that_fails_its_copies_is_counted() {
    let (canary, _) = start_canary(Canary::Fails).await;
    let stable = Stable::start(canary).await;
    stable.put(Split { shadow: 100, ..to_r2("1") }).await;
    for sent in 1..=3 {
        assert_eq!(stable.send_with(&[]).await, REVISION);
        stable.until(|w| w.errors == sent).await;
    }
    // What the stable model refuses is copied to nobody.
    let response = stable.running.client.post(stable.running.infer_url()).body("{").send().await.unwrap();
    assert_eq!(response.status(), 400);
    let window = stable.window().await;
    assert_eq!((window.requests, window.compared), (3, 0), "{window:?}");
}
