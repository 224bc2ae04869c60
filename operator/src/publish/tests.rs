use drydock_crds::{Phase, Reason};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{Asked, Log, cluster, lines, refusal};

fn seen(status: &Value) -> Seen {
    let object = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": { "name": "m", "namespace": "ns", "uid": "u" },
        "spec": { "model": { "source": { "pvc": { "claimName": "c", "path": "m.onnx" } } } },
        "status": status,
    });
    Seen::read(serde_json::from_value(object).unwrap()).unwrap()
}

fn notices() -> Vec<Notice> {
    let notice = |warning, reason, note: &str| Notice { warning, reason, note: note.to_owned() };
    vec![notice(true, Reason::GateBroken, "int8"), notice(true, Reason::GateBroken, &"é".repeat(2000))]
}

async fn say(
    before: Value,
    phase: Phase,
    answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static,
) -> (Result<(), ClusterError>, Log) {
    let (cluster, log) = cluster(answer);
    let (target, seen) = (Target::new("ns", "m"), seen(&before));
    let next = ModelDeploymentStatus { phase, ..seen.status.clone().unwrap_or_default() };
    let say = Say { target: &target, seen: &seen, identity: "pod-1", now: Timestamp::UNIX_EPOCH };
    (publish(&cluster, &say, &next, &notices()).await, log)
}

fn accept(asked: &Asked) -> (u16, Value) {
    let mut body = asked.body.clone();
    body["metadata"]["name"] = "m".into();
    (200, body)
}

const STATUS: &str =
    "PATCH /apis/drydock.dev/v1alpha1/namespaces/ns/modeldeployments/m/status force=true&fieldManager=drydock%2Fstatus";
const EVENT: &str = "POST /apis/events.k8s.io/v1/namespaces/ns/events";

#[tokio::test]
async fn an_equal_status_is_not_written_and_nothing_is_said() {
    let (result, log) = say(json!({ "phase": "Serving" }), Phase::Serving, accept).await;
    assert!(result.is_ok());
    assert!(lines(&log).is_empty());
}

#[tokio::test]
async fn the_status_first_and_then_each_event_with_its_own_text() {
    let (result, log) = say(Value::Null, Phase::Serving, accept).await;
    assert!(result.is_ok());
    assert_eq!(lines(&log), [STATUS, EVENT, EVENT]);
    let log = log.lock().unwrap();
    let status = &log[0].body;
    assert_eq!(status.as_object().unwrap().keys().collect::<Vec<_>>(), ["apiVersion", "kind", "status"]);
    let (first, second) = (&log[1].body, &log[2].body);
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
    assert_eq!(
        (&first["note"], &first["reason"], &first["type"]),
        (&json!("int8"), &json!("GateBroken"), &json!("Warning"))
    );
    assert_eq!((&first["regarding"]["uid"], &first["reportingInstance"]), (&json!("u"), &json!("pod-1")));
    assert!(second["note"].as_str().unwrap().len() <= 1024);
}

#[tokio::test]
async fn what_could_not_be_remembered_is_not_announced() {
    for (code, reason) in [(404, "NotFound"), (409, "Conflict"), (500, "InternalError")] {
        let (result, log) = say(Value::Null, Phase::Serving, move |_| refusal(code, reason, "no")).await;
        assert!(result.is_err(), "{reason}");
        assert_eq!(lines(&log), [STATUS], "{reason}");
    }
}

#[tokio::test]
async fn an_event_that_is_refused_is_no_failure() {
    let answer = |asked: &Asked| if asked.method == "POST" { refusal(403, "Forbidden", "no") } else { accept(asked) };
    let (result, log) = say(Value::Null, Phase::Serving, answer).await;
    assert!(result.is_ok());
    assert_eq!(lines(&log), [STATUS, EVENT, EVENT]);
}
