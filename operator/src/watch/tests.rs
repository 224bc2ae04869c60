use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use drydock_operator_core::Defaults;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::backoff::Backoff;
use crate::claim::Claim;
use crate::fixtures::{Asked, Objects, client};
use crate::metrics::Metrics;
use crate::shard::Shard;
use crate::sources::{Hosts, Sources};

const PATH: &str = "/apis/drydock.dev/v1alpha1/namespaces/ns/modeldeployments/m";
const ALL: &str = "/apis/drydock.dev/v1alpha1/namespaces/ns/modeldeployments";

/// An API server whose watches have nothing to tell, but that of ModelDeployments is too old once `is_too_old`.
fn answer(objects: &mut Objects, is_too_old: &AtomicBool, asked: &Asked) -> (u16, Value) {
    if asked.query.contains("watch=true") {
        // Nothing is asked again at once.
        std::thread::sleep(Duration::from_millis(2));
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": "Expired", "code": 410, "message": "too old resource version"}});
        let nothing = json!({"type": "BOOKMARK", "object": {"kind": "Any", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}}});
        let is_gone = asked.path == ALL && is_too_old.swap(false, Ordering::SeqCst);
        return (200, if is_gone { gone } else { nothing });
    }
    let (code, mut body) = objects.answer(asked);
    if body.get("items").is_some() {
        body["metadata"] = json!({"resourceVersion": "5"});
    }
    (code, body)
}

/// Its spec has not changed, so it is the list alone that has it looked at: what the watch has missed meanwhile nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_looked_at_when_the_watch_lists_anew() {
    let object = json!({
        "apiVersion": "drydock.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "m", "namespace": "ns", "uid": "u", "generation": 1, "resourceVersion": "5"},
        "spec": {"model": {"source": {"pvc": {"claimName": "c", "path": "m.onnx"}}}},
    });
    let is_too_old = Arc::new(AtomicBool::new(false));
    let (objects, old) = (Mutex::new(Objects([(PATH.to_owned(), object)].into())), is_too_old.clone());
    let (client, log) = client(move |asked| answer(&mut objects.lock().unwrap(), &old, asked));
    let cx = Context {
        cluster: Kubernetes::new(client.clone(), Arc::new(Claim::without_end()), Metrics::new()).unwrap(),
        defaults: Defaults { optimizer_image: "o:1".into(), sidecar_image: "s:1".into(), image_pull_policy: None },
        shard: Shard::default(),
        sources: Sources::new(Hosts::default()).unwrap(),
        metrics: Metrics::new(),
        backoff: Backoff::default(),
        identity: "pod-1".into(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(client, Some("ns"), 1, cx, stop.clone()));

    let looks = || log.lock().unwrap().iter().filter(|asked| asked.method == "GET" && asked.path == PATH).count();
    // Until it has been looked at, and is no more.
    let rest = async || {
        let (mut seen, mut since) = (0, Instant::now());
        while seen == 0 || since.elapsed() < Duration::from_secs(1) {
            if looks() != seen {
                (seen, since) = (looks(), Instant::now());
            }
            sleep(Duration::from_millis(20)).await;
        }
        seen
    };
    let before = rest().await;
    let lists = || log.lock().unwrap().iter().filter(|a| a.path == ALL && !a.query.contains("watch=true")).count();
    assert_eq!(lists(), 1);
    let selected = log
        .lock()
        .unwrap()
        .iter()
        .filter(|a| a.path == ALL)
        .all(|a| a.query.contains("labelSelector=%21drydock.dev%2Fshard"));
    assert!(selected, "all ModelDeployments are asked for, those of shards too");
    is_too_old.store(true, Ordering::SeqCst);
    let end = Instant::now() + Duration::from_secs(20);
    while looks() == before {
        assert!(Instant::now() < end, "not looked at, after {} lists", lists());
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lists(), 2);
    stop.cancel();
    running.await.unwrap();
}
