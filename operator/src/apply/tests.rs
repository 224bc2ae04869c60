use std::sync::Arc;

use drydock_contract::Split;
use drydock_operator_core::{ChildRef, PodSplit, Scale};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::claim::Claim;
use crate::cluster::Kubernetes;
use crate::fixtures::{Asked, client, cluster, lines, not_found, refusal, writes};
use crate::metrics::Metrics;

fn object<K: DeserializeOwned>(name: &str, uid: &str, owner: &str) -> K {
    let owner = json!({ "apiVersion": "drydock.dev/v1alpha1", "kind": "ModelDeployment", "name": "m", "uid": owner, "controller": true });
    let metadata = json!({ "name": name, "namespace": "ns", "uid": uid, "ownerReferences": [owner] });
    let spec = json!({ "replicas": 1, "selector": {}, "template": {} });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
}

fn service(owner: &str) -> Service {
    let mut service: Service = object("m", "", owner);
    service.spec = None;
    service
}

fn pod(name: &str, uid: &str) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": name, "uid": uid } })).unwrap()
}

fn split() -> Split {
    Split { weight: 10, revision: "r2".into(), window: "w".into(), timeout_milliseconds: 500, ..Split::default() }
}

/// A write, two scales (one already so), two splits and a deletion.
fn everything() -> (Observed, Plan) {
    let observed = Observed {
        services: vec![service("us")],
        deployments: vec![object::<Deployment>("m-r1", "d1", "us"), object::<Deployment>("m-r2", "d2", "us")],
        pods: vec![pod("p1", "u1"), pod("p2", "u2")],
        ..Observed::default()
    };
    let plan = Plan {
        writes: vec![Child::Service(Box::new(service("us")))],
        scales: vec![
            Scale { deployment: "m-r1".into(), replicas: 1 },
            Scale { deployment: "m-r2".into(), replicas: 3 },
        ],
        splits: vec![
            PodSplit { pod: "p1".into(), split: Some(split()) },
            PodSplit { pod: "p2".into(), split: None },
            PodSplit { pod: "unseen".into(), split: None },
        ],
        prune: vec![ChildRef { kind: ChildKind::Deployment, name: "m-r0".into(), uid: "d0".into() }],
        ..Plan::default()
    };
    (observed, plan)
}

fn accept(asked: &Asked) -> (u16, Value) {
    let is_merge = asked.content_type == "application/merge-patch+json";
    (200, if is_merge { json!({ "metadata": {} }) } else { asked.body.clone() })
}

/// A record of what has not happened would stand for good.
#[tokio::test]
async fn what_has_happened_is_recorded_once_it_has() {
    for (code, expected) in [(200, true), (500, false)] {
        let (observed, mut plan) = everything();
        let mut record = service("us");
        record.metadata.name = Some("m-record".into());
        plan.records = vec![Child::Service(Box::new(record))];
        let (cluster, log) = cluster(move |asked: &Asked| match asked.path.rsplit('/').next() {
            Some("m") if code != 200 => refusal(code, "InternalError", "no"),
            Some("m-record") if asked.method == "GET" => not_found(),
            _ => accept(asked),
        });
        apply(&cluster, "ns", &observed, &plan).await;
        assert_eq!(writes(&log).iter().any(|l| l.contains("m-record")), expected, "{:#?}", lines(&log));
    }
}

#[tokio::test]
async fn in_the_plans_order_each_concern_under_its_manager() {
    let (cluster, log) = cluster(|asked| match asked.method.as_str() {
        "DELETE" => (200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" })),
        _ => accept(asked),
    });
    let (observed, plan) = everything();
    let applied = apply(&cluster, "ns", &observed, &plan).await;
    assert_eq!((applied.written, applied.pruned, applied.failed), (4, 1, vec![]));
    assert_eq!(
        lines(&log),
        [
            "PATCH /api/v1/namespaces/ns/services/m force=true&fieldManager=drydock",
            "PATCH /apis/apps/v1/namespaces/ns/deployments/m-r2/scale fieldManager=drydock%2Fscale",
            "PATCH /api/v1/namespaces/ns/pods/p1 fieldManager=drydock%2Fsplit",
            "PATCH /api/v1/namespaces/ns/pods/p2 fieldManager=drydock%2Fsplit",
            "DELETE /apis/apps/v1/namespaces/ns/deployments/m-r0",
        ]
    );
    let log = log.lock().unwrap();
    assert_eq!(log[0].content_type, "application/apply-patch+yaml");
    assert_eq!((&log[0].body["kind"], &log[0].body["apiVersion"]), (&json!("Service"), &json!("v1")));
    assert_eq!(
        (log[1].content_type.as_str(), &log[1].body),
        ("application/merge-patch+json", &json!({ "spec": { "replicas": 3 } }))
    );
    let annotation = log[2].body["metadata"]["annotations"][drydock_contract::SPLIT_ANNOTATION].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Split>(annotation).unwrap(), split());
    // What an apply does not say stays where somebody else has said it; a null goes for everybody.
    let none = json!({ "metadata": { "uid": "u2", "annotations": { drydock_contract::SPLIT_ANNOTATION: null } } });
    assert_eq!((log[3].content_type.as_str(), &log[3].body), ("application/merge-patch+json", &none));
    assert_eq!(log[4].body["preconditions"]["uid"], "d0");
    assert_eq!(log[4].body["propagationPolicy"], "Background");
}

#[tokio::test]
async fn a_failure_does_not_stop_the_rest_but_nothing_is_deleted_after_it() {
    for (code, reason, is_terminal) in
        [(500, "InternalError", false), (409, "Conflict", false), (422, "Invalid", true), (403, "Forbidden", false)]
    {
        let (cluster, log) = cluster(move |asked| match asked.path.as_str() {
            "/api/v1/namespaces/ns/services/m" => refusal(code, reason, "the words of the API server"),
            _ => accept(asked),
        });
        let (observed, plan) = everything();
        let applied = apply(&cluster, "ns", &observed, &plan).await;
        let (what, why) = ("Service m".to_owned(), "the words of the API server".to_owned());
        assert_eq!(applied.failed, [FailedWrite { what, why, is_terminal }]);
        assert_eq!((applied.written, applied.pruned), (3, 0), "{reason}");
        assert_eq!(lines(&log).len(), 4, "{reason}");
    }
}

#[tokio::test]
async fn what_has_ended_meanwhile_is_no_failure() {
    for (code, reason) in [(404, "NotFound"), (409, "Conflict")] {
        let (cluster, _) = cluster(move |asked| match asked.path.as_str() {
            "/api/v1/namespaces/ns/pods/p1" | "/apis/apps/v1/namespaces/ns/deployments/m-r0" => {
                refusal(code, reason, "gone")
            }
            _ => accept(asked),
        });
        let (observed, plan) = everything();
        let applied = apply(&cluster, "ns", &observed, &plan).await;
        assert_eq!((applied.written, applied.pruned, applied.failed), (3, 1, vec![]), "{reason}");
    }
}

#[tokio::test]
async fn what_was_not_observed_is_looked_at_first() {
    let there = |owner: &str| serde_json::to_value(service(owner)).unwrap();
    let applied = "PATCH /api/v1/namespaces/ns/services/m fieldManager=drydock".to_owned();
    let forced = "PATCH /api/v1/namespaces/ns/services/m force=true&fieldManager=drydock".to_owned();
    let ownerless = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "m", "uid": "x" } });
    for (what, found, expected, failed) in [
        ("nothing", not_found(), vec![applied], None),
        ("ours, without its labels", (200, there("us")), vec![forced], None),
        ("another ModelDeployment's", (200, there("them")), vec![], Some("ModelDeployment m")),
        ("a user's own", (200, ownerless), vec![], Some("nobody")),
    ] {
        let (cluster, log) = cluster(move |asked| if asked.is_write() { accept(asked) } else { found.clone() });
        let plan = Plan { writes: vec![Child::Service(Box::new(service("us")))], ..Plan::default() };
        let result = apply(&cluster, "ns", &Observed::default(), &plan).await;
        assert_eq!(writes(&log), expected, "{what}");
        assert_eq!(lines(&log)[0], "GET /api/v1/namespaces/ns/services/m", "{what}");
        match failed {
            None => assert!(result.failed.is_empty(), "{what}"),
            Some(owner) => {
                let failed = &result.failed[0];
                assert!(failed.why.contains(&format!("belongs to {owner}")), "{what}: {failed}");
                assert!(failed.is_terminal, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn an_observed_child_of_another_owner_is_left_alone() {
    let (cluster, log) = cluster(accept);
    let observed = Observed { services: vec![service("them")], ..Observed::default() };
    let plan = Plan { writes: vec![Child::Service(Box::new(service("us")))], ..Plan::default() };
    assert_eq!(apply(&cluster, "ns", &observed, &plan).await.failed.len(), 1);
    assert!(lines(&log).is_empty());
}

#[tokio::test]
async fn without_the_claim_nothing_is_sent() {
    let (client, log) = client(accept);
    let cluster = Kubernetes::new(client, Arc::new(Claim::not_held()), Metrics::new()).unwrap();
    let (observed, plan) = everything();
    let applied = apply(&cluster, "ns", &observed, &plan).await;
    assert_eq!((applied.written, applied.pruned, applied.failed.len()), (0, 0, 4));
    assert!(lines(&log).is_empty());
}
