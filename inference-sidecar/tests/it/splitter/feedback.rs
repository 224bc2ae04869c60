//! What users say of the answers of either model.

use std::collections::BTreeMap;

use drydock_contract::{Feedback, FeedbackMetric, Split, Tolerance};
use serde_json::{Value, json};

use super::{Canary, Stable, start_canary, to_r2};
use crate::support::{MODEL, REVISION, Running, image, message};

impl Stable {
    async fn says(&self, feedback: &Value) -> (u16, Value) {
        let url = self.running.url(&format!("/v2/models/{MODEL}/feedback"));
        let response = self.running.client.post(url).json(feedback).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn feedback_is_counted_for_the_revision_that_answered() {
    let (canary, _) = start_canary(Canary::Class(0)).await;
    let stable = Stable::start(canary).await;
    let counted = |names: &[&str]| (200, json!({"counted": names}));
    // Nobody is compared: that it was right is known for ever, and the rest may come all the same.
    let both = json!({"revision": REVISION, "correct": true, "metrics": {"price": 5}});
    assert_eq!(stable.says(&both).await, counted(&["correct"]));
    assert_eq!(stable.says(&json!({"revision": "r2", "correct": true})).await.0, 404, "nobody knows it yet");

    let metrics = vec![FeedbackMetric { name: "price".into(), min: 0.0, max: 10.0 }];
    stable.put(Split { metrics, weight: 50, ..to_r2("1") }).await;
    for (price, correct) in [(5.0, true), (2.5, false)] {
        let revision = stable.send_with(&[]).await;
        let feedback = json!({"revision": revision, "correct": correct, "metrics": {"price": price}});
        assert_eq!(stable.says(&feedback).await, counted(&["correct", "price"]));
    }
    let again = json!({"revision": "r2", "id": "42", "metrics": {"price": 10}});
    assert_eq!(stable.says(&again).await, counted(&["price"]));
    assert_eq!(stable.says(&again).await, counted(&[]), "it has come before");
    for (feedback, status, expected) in [
        (json!({"revision": "r3", "correct": true}), 404, "expected one of r1, r2"),
        (json!({"revision": "r2", "metrics": {"clicks": 1}}), 400, "expected one of price"),
        (json!({"revision": "r2", "metrics": {"price": 11}}), 400, "expected 0 to 10"),
        (json!({"revision": "r2"}), 400, "neither correct nor metrics"),
        (json!({"revision": "x".repeat(9000), "correct": true}), 400, "larger than 8192 bytes"),
    ] {
        let (found, body) = stable.says(&feedback).await;
        assert_eq!(found, status, "{body}");
        assert!(body["error"].as_str().unwrap().contains(expected), "{body}");
    }

    let window = stable.window().await;
    let own = window.stable.unwrap();
    let all: BTreeMap<&str, Feedback> =
        window.feedback.iter().chain(&own.feedback).fold(BTreeMap::new(), |mut all, (name, f)| {
            let sum: &mut Feedback = all.entry(name.as_str()).or_default();
            *sum = Feedback { count: sum.count + f.count, sum: sum.sum + f.sum };
            all
        });
    assert_eq!(all["correct"], Feedback { count: 2, sum: 1.0 });
    assert_eq!(all["price"], Feedback { count: 3, sum: 17.5 });
    assert_eq!((window.feedback["correct"].count, own.feedback["correct"].count), (1, 1), "one of each");
    let text = stable.running.client.get(stable.running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"drydock_feedback_total{revision="r1",metric="correct"} 2"#,
        r#"drydock_feedback_total{revision="r2",metric="price"} 2"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.contains("drydock_feedback_squares"), "{text}");

    stable.put(Split { weight: 50, ..to_r2("2") }).await;
    assert!(stable.window().await.feedback.is_empty(), "a new window counts anew");
}

/// The same model agrees with itself within any tolerance; one that answers with a 1 and nine 0s is as far off as it can be.
#[tokio::test]
async fn numbers_are_compared_within_their_tolerance() {
    let tolerance = |output: &str, absolute| [(output.to_owned(), Tolerance { absolute, relative: 0.0 })].into();
    let same = Running::start(&["--revision", "r2"]).await;
    for grpc in [false, true] {
        let stable = Stable::start(if grpc { same.server.grpc } else { same.server.http }).await;
        stable.put(Split { shadow: 100, tolerance: tolerance("logits", 1e-6), ..to_r2("1") }).await;
        if grpc {
            stable.running.grpc().await.model_infer(message(&image(1))).await.unwrap();
        } else {
            stable.send_with(&[]).await;
        }
        let window = stable.until(|w| w.compared > 0).await;
        assert_eq!((window.compared, window.agreed), (1, 1), "{window:?}");
    }
    let (other, _) = start_canary(Canary::Class(0)).await;
    let stable = Stable::start(other).await;
    for (window, absolute, agreed) in [("1", 1e-3, 0), ("2", 1e9, 1)] {
        stable.put(Split { shadow: 100, tolerance: tolerance("logits", absolute), ..to_r2(window) }).await;
        stable.send_with(&[]).await;
        let window = stable.until(|w| w.compared > 0).await;
        assert_eq!((window.compared, window.agreed), (1, agreed), "{absolute}");
    }
    // Of an output that the model does not have there is nothing to say.
    stable.put(Split { shadow: 100, tolerance: tolerance("boxes", 1.0), ..to_r2("3") }).await;
    // Of two copies at a time, so that of five all but two have been compared by then.
    while stable.window().await.requests < 5 {
        stable.send_with(&[]).await;
    }
    assert_eq!(stable.window().await.compared, 0);
}
