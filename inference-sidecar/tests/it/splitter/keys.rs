//! Requests whose headers or cookies say which model they want, or who they are from.

use std::sync::atomic::Ordering;

use drydock_contract::{RequestKey, RequestMatch, Split};
use tonic::metadata::MetadataValue;

use super::{Canary, Stable, start_canary, to_r2};
use crate::support::{REVISION, Running, image, message};

fn always() -> Vec<RequestMatch> {
    let header = RequestMatch { key: RequestKey::Header("x-canary".into()), value: "always".into() };
    let cookie = RequestMatch { key: RequestKey::Cookie("canary".into()), value: "1".into() };
    vec![header, cookie]
}

#[tokio::test]
async fn a_request_that_asks_for_the_canary_gets_it_whatever_the_weight() {
    let (canary, seen) = start_canary(Canary::Class(0)).await;
    let stable = Stable::start(canary).await;
    stable.put(Split { matches: always(), ..to_r2("1") }).await;
    for (name, value, revision) in [
        ("x-canary", "always", "r2"),
        ("X-Canary", "always", "r2"),
        ("cookie", "a=b; canary=1", "r2"),
        ("x-canary", "never", REVISION),
        ("cookie", "canary=10", REVISION),
        ("x-other", "always", REVISION),
    ] {
        assert_eq!(stable.send_with(&[(name, value)]).await, revision, "{name}: {value}");
    }
    // One that came from another sidecar goes no further, whatever it asks for.
    assert_eq!(stable.send_with(&[("x-canary", "always"), ("drydock-hop", "1")]).await, REVISION);
    assert_eq!((seen.load(Ordering::SeqCst), stable.window().await.requests), (3, 3));
}

#[tokio::test]
async fn over_grpc_too() {
    let canary = Running::start(&["--revision", "r2"]).await;
    let stable = Stable::start(canary.server.grpc).await;
    let sticky = Some(RequestKey::Header("x-user".into()));
    // The canary has r2's hundredths below 24: ada's is 23 and grace's 59.
    stable.put(Split { weight: 24, matches: always(), sticky, ..to_r2("1") }).await;
    let mut client = stable.running.grpc().await;
    for (headers, revision) in [
        (&[("x-canary", "always")][..], "r2"),
        (&[("cookie", "canary=1")], "r2"),
        (&[("x-user", "ada")], "r2"),
        (&[("x-user", "grace")], REVISION),
        (&[("x-user", "grace"), ("x-canary", "always")], "r2"),
        (&[("x-user", "ada"), ("drydock-hop", "1")], REVISION),
    ] {
        for _ in 0..2 {
            let mut request = tonic::Request::new(message(&image(1)));
            for (name, value) in headers {
                request.metadata_mut().insert(*name, MetadataValue::from_static(value));
            }
            let response = client.model_infer(request).await.unwrap();
            assert_eq!(response.metadata().get("drydock-revision").unwrap(), revision, "{headers:?}");
            assert_eq!(response.into_inner().id, "42", "{headers:?}");
        }
    }
    assert_eq!(stable.window().await.requests, 8);
}

/// The same users on two stable pods, one of them started later, while the weight rises.
#[tokio::test]
async fn a_user_stays_with_one_model_on_every_pod_and_is_never_moved_back() {
    let (canary, _) = start_canary(Canary::Class(0)).await;
    let first = Stable::start(canary).await;
    let put = |weight| Split { weight, sticky: Some(RequestKey::Cookie("session".into())), ..to_r2("1") };
    let users: Vec<String> = (0..30).map(|n| format!("theme=dark; session=user-{n}")).collect();
    let mut before: Vec<&String> = Vec::new();
    for weight in [20, 60] {
        first.put(put(weight)).await;
        let second = Stable::start(canary).await;
        second.put(put(weight)).await;
        let mut canarys = Vec::new();
        for user in &users {
            let on_first = first.send_with(&[("cookie", user)]).await;
            assert_eq!(on_first, second.send_with(&[("cookie", user)]).await, "{user}");
            if on_first == "r2" {
                canarys.push(user);
            }
        }
        assert!(canarys.len() > before.len() && canarys.len() < users.len(), "{} at {weight} %", canarys.len());
        assert!(before.iter().all(|user| canarys.contains(user)), "at {weight} %");
        before = canarys;
    }
}
