use std::sync::Mutex;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::cluster::Kubernetes;
use crate::fixtures::{Asked, Log, Objects, cluster, lines, refusal, writes};
use crate::gateway_api::GatewayApi;
use crate::sources::Hosts;

const PATH: &str = "/apis/drydock.dev/v1alpha1/namespaces/ns/modeldeployments/m";

fn model_deployment() -> Value {
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": { "name": "m", "namespace": "ns", "uid": "u", "generation": 1 },
        "spec": { "model": { "source": { "pvc": { "claimName": "c", "path": "m.onnx" } } } },
    })
}

fn context(cluster: Kubernetes) -> Context<Kubernetes> {
    let defaults = Defaults { optimizer_image: "o:1".into(), sidecar_image: "s:1".into(), image_pull_policy: None };
    let sources = Sources::new(Hosts::default()).unwrap();
    Context {
        cluster,
        defaults,
        shard: Shard::default(),
        sources,
        metrics: Metrics::new(),
        backoff: Backoff::default(),
        identity: "pod-1".into(),
    }
}

fn server(object: Value) -> (Context<Kubernetes>, Log, Arc<Mutex<Objects>>) {
    let objects = Arc::new(Mutex::new(Objects([(PATH.to_owned(), object)].into())));
    let shared = objects.clone();
    let (cluster, log) = cluster(move |asked| shared.lock().unwrap().answer(asked));
    (context(cluster), log, objects)
}

async fn go(cx: &Context<Kubernetes>) -> Result<Action, Error> {
    Box::pin(pass(cx, &Target::new("ns", "m"))).await
}

/// The watches have listed what there was, which is nothing, and are silent since.
fn watched(cx: &Context<Kubernetes>) {
    use kube::runtime::watcher::Event;
    let kinds = ["PersistentVolumeClaim", "Job", "Pod", "ControllerRevision", "Deployment", "Service"];
    for kind in kinds.into_iter().chain(["HorizontalPodAutoscaler", "PodDisruptionBudget"]) {
        let id = cx.cluster.index.add(kind);
        for event in [Event::<Watched>::Init, Event::InitDone] {
            cx.cluster.index.see(id, &Ok(event));
        }
    }
}

#[tokio::test]
async fn what_was_written_is_asked_for_by_name_whatever_the_watches_say() {
    let (cx, log, objects) = server(model_deployment());
    watched(&cx);
    for _ in 0..5 {
        go(&cx).await.unwrap();
    }
    log.lock().unwrap().clear();
    go(&cx).await.unwrap();
    let job = objects.lock().unwrap().0.keys().find(|path| path.contains("/jobs/")).unwrap().clone();
    let claim = "GET /api/v1/namespaces/ns/persistentvolumeclaims/m-packages".to_owned();
    let budget = "GET /apis/policy/v1/namespaces/ns/poddisruptionbudgets/m".to_owned();
    let mut asked = lines(&log);
    asked.retain(|line| !line.contains("modeldeployments"));
    let is_named = |line: &&String| [&claim, &budget, &format!("GET {job}")].contains(line);
    assert!(asked.iter().all(|line| line.starts_with("GET ") && !line.contains("labelSelector")), "{asked:#?}");
    assert_eq!(
        asked.iter().filter(is_named).count(),
        asked.iter().filter(|l| !l.contains("/services/")).count(),
        "{asked:#?}"
    );
}

/// The Job has a pod, and the watch of pods has not heard of it.
#[tokio::test]
async fn pods_that_a_job_speaks_of_are_listed() {
    let (cx, log, objects) = server(model_deployment());
    watched(&cx);
    for _ in 0..5 {
        go(&cx).await.unwrap();
    }
    for (path, object) in &mut objects.lock().unwrap().0 {
        if path.contains("/jobs/") {
            object["status"] = json!({"active": 1});
        }
    }
    log.lock().unwrap().clear();
    go(&cx).await.unwrap();
    let listed: Vec<_> = lines(&log).into_iter().filter(|line| line.contains("labelSelector")).collect();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(listed[0].starts_with("GET /api/v1/namespaces/ns/pods "), "{listed:?}");
}

#[tokio::test]
async fn comes_to_rest_and_writes_nothing_then() {
    let (cx, log, _) = server(model_deployment());
    for _ in 0..5 {
        go(&cx).await.unwrap();
    }
    log.lock().unwrap().clear();
    go(&cx).await.unwrap();
    assert_eq!(writes(&log), Vec::<String>::new());
    // The object itself and eight kinds of children: asked once each, and at once.
    assert_eq!(lines(&log).len(), 9, "{:#?}", lines(&log));
    let selected = "labelSelector=drydock.dev%2Fname%3Dm%2Capp.kubernetes.io%2Fmanaged-by%3Ddrydock";
    assert!(lines(&log)[1..].iter().all(|l| l.ends_with(selected)), "{:#?}", lines(&log));
}

/// The chart of an earlier version grants no right to routes, and a cluster may lose the Gateway API: what does not ask for a gateway goes on.
#[tokio::test]
async fn routes_are_asked_for_where_there_are_such_and_those_that_cannot_be_listed_are_no_error() {
    for refused in
        [None, Some(refusal(403, "Forbidden", "grpcroutes is forbidden")), Some((404, "404 page not found".into()))]
    {
        let objects = Mutex::new(Objects([(PATH.to_owned(), model_deployment())].into()));
        let (mut cluster, log) = cluster(move |asked| match &refused {
            Some(refused) if asked.path.ends_with("grpcroutes") => refused.clone(),
            _ => objects.lock().unwrap().answer(asked),
        });
        cluster.gateway_api = GatewayApi::there();
        let cx = context(cluster);
        go(&cx).await.unwrap();
        let asked = |kind: &str| {
            let path = format!("GET /apis/gateway.networking.k8s.io/v1/namespaces/ns/{kind} ");
            lines(&log).iter().filter(|l| l.starts_with(&path)).count()
        };
        assert_eq!((asked("httproutes"), asked("grpcroutes")), (1, 1), "{:#?}", lines(&log));
        assert!(writes(&log).iter().any(|l| l.contains("/jobs/")), "{:#?}", writes(&log));
    }
}

#[tokio::test]
async fn one_that_is_gone_or_going_is_left_to_the_garbage_collector() {
    let mut going = model_deployment();
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for object in [going, Value::Null] {
        let (cx, log, objects) = server(object.clone());
        if object.is_null() {
            objects.lock().unwrap().0.clear();
        }
        assert_eq!(go(&cx).await.unwrap(), Action::await_change());
        assert_eq!(lines(&log), [format!("GET {PATH}")]);
    }
}

/// Its label may have changed since the watch told of it.
#[tokio::test]
async fn one_of_another_shard_is_left_to_its_operator() {
    let mut others = model_deployment();
    others["metadata"]["labels"] = json!({ "drydock.dev/shard": "a" });
    let (mut cx, log, _) = server(others);
    assert_eq!(go(&cx).await.unwrap(), Action::await_change());
    assert_eq!(lines(&log), [format!("GET {PATH}")]);
    cx.shard = "a".parse().unwrap();
    go(&cx).await.unwrap();
    assert!(writes(&log).iter().any(|l| l.contains("/jobs/")), "{:#?}", writes(&log));
}

#[tokio::test]
async fn a_spec_that_cannot_be_read_is_reported_once_and_makes_no_child() {
    let mut newer = model_deployment();
    newer["spec"]["optimization"] = json!({ "objective": "Happiness" });
    let (cx, log, _) = server(newer);
    go(&cx).await.unwrap();
    let written = writes(&log);
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written[0].starts_with(&format!("PATCH {PATH}/status")));
    assert!(written[1].starts_with("POST /apis/events.k8s.io/v1/"));
    log.lock().unwrap().clear();
    go(&cx).await.unwrap();
    assert_eq!(writes(&log), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_served_is_put_right_while_the_spec_cannot_be_read() {
    let (cx, log, objects) = server(model_deployment());
    for _ in 0..3 {
        go(&cx).await.unwrap();
    }
    let revision = json!({ "revision": "r1", "candidate": "original", "package": "sha256:0" });
    {
        let mut objects = objects.lock().unwrap();
        let object = objects.0.get_mut(PATH).unwrap();
        object["spec"]["optimization"] = json!({ "objective": "Happiness" });
        object["metadata"]["generation"] = 2.into();
        object["status"]["rollout"] = json!({ "stable": revision, "stableWasReady": true });
    }
    log.lock().unwrap().clear();
    go(&cx).await.unwrap();
    let children: Vec<_> = writes(&log).into_iter().filter(|l| l.ends_with("fieldManager=drydock")).collect();
    assert_eq!(
        children,
        [
            "PATCH /api/v1/namespaces/ns/services/m fieldManager=drydock",
            "PATCH /api/v1/namespaces/ns/services/m-canary fieldManager=drydock",
            "PATCH /apis/policy/v1/namespaces/ns/poddisruptionbudgets/m fieldManager=drydock",
        ]
    );
    log.lock().unwrap().clear();
    go(&cx).await.unwrap();
    assert_eq!(writes(&log), Vec::<String>::new());
}

#[tokio::test]
async fn a_status_that_cannot_be_read_is_left_as_it_is() {
    let mut newer = model_deployment();
    newer["status"] = json!({ "phase": "Dreaming" });
    let (cx, log, _) = server(newer);
    // Looked at again, since the watch tells of no status that has been put right.
    assert_ne!(go(&cx).await.unwrap(), Action::await_change());
    assert_eq!(lines(&log), [format!("GET {PATH}")]);
}

/// A write that always fails must not make each step of what goes on wait for minutes.
#[tokio::test(start_paused = true)]
async fn what_is_remembered_anew_does_not_wait_for_a_write_that_fails() {
    let (cx, ..) = server(model_deployment());
    let cx = Arc::new(cx);
    let watched: Arc<Watched> = Arc::new(serde_json::from_value(model_deployment()).unwrap());
    let after = |again| after_error(watched.clone(), &Error::Apply { failed: vec![], again }, cx.clone());
    for _ in 0..8 {
        after(false);
        tokio::time::advance(Duration::from_mins(5)).await;
    }
    assert_eq!(after(true), Action::requeue(Duration::from_secs(1)));
    assert_ne!(after(false), Action::requeue(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_list_that_fails_stops_the_pass_before_anything_is_written() {
    let objects = Mutex::new(Objects([(PATH.to_owned(), model_deployment())].into()));
    let (cluster, log) = cluster(move |asked: &Asked| {
        if asked.path.ends_with("/services") {
            return refusal(500, "InternalError", "etcd is away");
        }
        objects.lock().unwrap().answer(asked)
    });
    let error = go(&context(cluster)).await.unwrap_err();
    assert_eq!(error.stage(), "observe");
    assert_eq!(writes(&log), Vec::<String>::new());
}

/// Set by `kubectl annotate` on a pod that has nothing to send on: taken away once, and then there is rest.
#[tokio::test]
async fn a_split_set_by_hand_is_taken_away_once() {
    let (cx, log, objects) = server(model_deployment());
    let revision = json!({ "revision": "r1", "candidate": "original", "package": "sha256:0" });
    let pod = json!({ "metadata": {
        "name": "p", "namespace": "ns", "uid": "p",
        "labels": { "drydock.dev/name": "m", "drydock.dev/revision": "r1", "pod-template-hash": "5c8d" },
        "annotations": { "drydock.dev/split": "by hand" },
        "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "m-r1-5c8d", "uid": "r", "controller": true }],
    } });
    let deployment = json!({
        "metadata": {
            "name": "m-r1", "namespace": "ns", "uid": "d", "labels": { "drydock.dev/revision": "r1" },
            "ownerReferences": [{ "apiVersion": "drydock.dev/v1alpha1", "kind": "ModelDeployment", "name": "m", "uid": "u", "controller": true }],
        },
        "spec": { "replicas": 1, "selector": {}, "template": {} },
    });
    {
        let mut objects = objects.lock().unwrap();
        objects.0.get_mut(PATH).unwrap()["status"] =
            json!({ "rollout": { "stable": revision, "stableWasReady": true } });
        objects.0.insert("/api/v1/namespaces/ns/pods/p".to_owned(), pod);
        objects.0.insert("/apis/apps/v1/namespaces/ns/deployments/m-r1".to_owned(), deployment);
    }
    let of_pods = |log: &Log| writes(log).into_iter().filter(|l| l.contains("/pods/")).count();
    for (pass, expected) in [1, 0, 0].into_iter().enumerate() {
        log.lock().unwrap().clear();
        go(&cx).await.unwrap();
        assert_eq!(of_pods(&log), expected, "pass {pass}: {:#?}", writes(&log));
    }
}

#[test]
fn wakes_when_asked_and_at_the_resync_at_the_latest() {
    for (wake, jitter, seconds) in [
        (Wake::OnChange, 0.0, 540),
        (Wake::OnChange, 0.5, 600),
        (Wake::OnChange, 1.0, 660),
        (Wake::After(SignedDuration::from_secs(7)), 0.5, 7),
        (Wake::After(SignedDuration::from_secs(-7)), 0.5, 0),
        (Wake::After(SignedDuration::from_hours(9)), 0.5, 600),
    ] {
        assert_eq!(until(&wake, jitter).as_secs(), seconds, "{wake:?}, {jitter}");
    }
}
