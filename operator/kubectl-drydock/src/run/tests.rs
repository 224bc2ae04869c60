use std::sync::{Arc, Mutex};

use drydock_operator::fixtures::{Asked, Log, Objects, client, lines, refusal, writes};
use serde_json::{Value, json};

use super::*;
use crate::samples::{condition, model_deployment, recorded, revision};

const PATH: &str = "/apis/drydock.dev/v1alpha1/namespaces/ns/modeldeployments/m";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn object(change: &Value) -> Value {
    serde_json::to_value(model_deployment(change)).unwrap()
}

fn with_canary(rollout: &Value) -> Value {
    let mut rollout = rollout.clone();
    rollout["stable"] = revision("aaaa");
    rollout["canary"] = revision("cccc");
    object(&json!({ "status": { "rollout": rollout } }))
}

fn shell(objects: impl IntoIterator<Item = (&'static str, Value)>) -> (Shell, Log, Arc<Mutex<Objects>>) {
    let objects = objects.into_iter().map(|(path, object)| (path.to_owned(), object)).collect();
    let objects = Arc::new(Mutex::new(Objects(objects)));
    let shared = objects.clone();
    let (client, log) = client(move |asked: &Asked| {
        if asked.path == WHO {
            return (
                201,
                json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}, "status": { "userInfo": { "username": "jane" } } }),
            );
        }
        shared.lock().unwrap().answer(asked)
    });
    (Shell::new(client, Target::new("ns", "m")).unwrap(), log, objects)
}

async fn told(shell: &Shell, said: Said) -> Result<String, Error> {
    let mut out = Vec::new();
    say(shell, &said, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_word_is_one_merge_patch_with_who_said_it() {
    let (shell, log, objects) = shell([(PATH, with_canary(&json!({})))]);
    let text = told(&shell, Said::Promote { revision: None }).await.unwrap();
    assert_eq!(text, "ModelDeployment ns/m: promote cccc, by jane\n");
    assert_eq!(writes(&log), [format!("POST {WHO}"), format!("PATCH {PATH} fieldManager=kubectl-drydock")]);
    let patch = log.lock().unwrap().last().unwrap().clone();
    assert_eq!(patch.content_type, "application/merge-patch+json");
    assert_eq!(
        patch.body,
        json!({ "spec": { "rollout": { "control": { "promote": "cccc", "by": { "promote": "jane" } } } } })
    );
    assert_eq!(objects.lock().unwrap().0[PATH]["spec"]["rollout"]["control"]["promote"], "cccc");
}

#[tokio::test]
async fn a_word_that_is_refused_writes_nothing() {
    let record = recorded("bbbb", 1, "sha256:b", &json!({ "decisions": [] }));
    let (shell, log, _) =
        shell([(PATH, with_canary(&json!({}))), ("/apis/apps/v1/namespaces/ns/controllerrevisions/m-bbbb", record)]);
    let error = told(&shell, Said::RollBack { to: "dead".into() }).await.unwrap_err().to_string();
    assert!(error.contains("dead is no revision of this ModelDeployment; there are\n  aaaa  stable"), "{error}");
    assert!(error.contains("bbbb  recorded"), "{error}");
    assert_eq!(writes(&log), Vec::<String>::new());
}

/// The package stands for its revision: what was said against that one is taken back.
#[tokio::test]
async fn a_rollback_to_a_package_is_one_patch_too() {
    let record = recorded("bbbb", 1, "sha256:bb22", &json!({ "decisions": [] }));
    let mut aborted = with_canary(&json!({}));
    aborted["spec"]["rollout"]["control"]["abort"] = "bbbb".into();
    let (shell, log, objects) =
        shell([(PATH, aborted), ("/apis/apps/v1/namespaces/ns/controllerrevisions/m-bbbb", record)]);
    let text = told(&shell, Said::RollBack { to: "sha256:bb".into() }).await.unwrap();
    assert_eq!(text, "ModelDeployment ns/m: roll back to sha256:bb22, by jane\n");
    assert_eq!(writes(&log), [format!("POST {WHO}"), format!("PATCH {PATH} fieldManager=kubectl-drydock")]);
    let objects = objects.lock().unwrap();
    let control = &objects.0[PATH]["spec"]["rollout"]["control"];
    assert_eq!((&control["rollBackTo"], control.get("abort")), (&json!("sha256:bb22"), None));
    assert_eq!(control["by"], json!({ "rollBackTo": "jane" }));
}

/// An abort must not fail for want of a name.
#[tokio::test]
async fn who_it_is_may_be_unknown() {
    let objects = Mutex::new(Objects([(PATH.to_owned(), with_canary(&json!({})))].into()));
    let (client, _) = client(move |asked: &Asked| match asked.path.as_str() {
        WHO => refusal(403, "Forbidden", "no reviews here"),
        _ => objects.lock().unwrap().answer(asked),
    });
    let shell = Shell::new(client, Target::new("ns", "m")).unwrap();
    let text = told(&shell, Said::Abort { revision: None }).await.unwrap();
    assert!(text.starts_with("who you are is not recorded: "), "{text}");
    assert!(text.ends_with("\nModelDeployment ns/m: abort cccc\n"), "{text}");
    assert!(text.contains("no reviews here"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_word_that_had_its_effect_is_said_anew_once_it_is_forgotten() {
    let spent = with_canary(&json!({ "promoted": "cccc" }));
    let objects = Arc::new(Mutex::new(Objects([(PATH.to_owned(), spent)].into())));
    let shared = objects.clone();
    let (client, log) = client(move |asked: &Asked| {
        let mut objects = shared.lock().unwrap();
        let answer = objects.answer(asked);
        // The operator, which sees that the word is gone.
        if asked.method == "PATCH" {
            objects.0.get_mut(PATH).unwrap()["status"]["rollout"]["promoted"] = Value::Null;
        }
        answer
    });
    let shell = Shell::new(client, Target::new("ns", "m")).unwrap();
    told(&shell, Said::Promote { revision: None }).await.unwrap();
    let log = log.lock().unwrap();
    let patches: Vec<&Value> =
        log.iter().filter(|a| a.method == "PATCH").map(|a| &a.body["spec"]["rollout"]["control"]["promote"]).collect();
    assert_eq!(patches, [&Value::Null, &json!("cccc")]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_does_not_run_is_not_waited_for() {
    let (shell, _, _) = shell([(PATH, with_canary(&json!({ "promoted": "cccc" })))]);
    let error = told(&shell, Said::Promote { revision: None }).await.unwrap_err().to_string();
    assert!(error.contains("does it run?"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let (shell, _, _) = shell([]);
    let error = told(&shell, Said::Pause).await.unwrap_err().to_string();
    assert_eq!(error, "there is no ModelDeployment ns/m; the namespace has none");
    let (client, log) = client(|_| refusal(404, "NotFound", "the server could not find the requested resource"));
    let shell = Shell::new(client, Target::new("ns", "m")).unwrap();
    let error = told(&shell, Said::Pause).await.unwrap_err();
    assert!(matches!(error, Error::NoCrd), "{error}");
    assert_eq!(lines(&log).len(), 2);
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_what_is_refused() {
    let (shell, log, _) = shell([]);
    let file = object(&json!({}));
    let given = Given { optimizer: Some("o:1".into()), sidecar: Some("s:1".into()) };
    let mut out = Vec::new();
    plan(&shell, &file, &given, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("m  would be new") && text.contains("+ Job m-opt-"), "{text}");
    let written = writes(&log);
    assert!(written.iter().all(|l| l.contains("dryRun=All")) && written.len() == 1, "{written:?}");

    let (client, _) = client(|asked: &Asked| match asked.method.as_str() {
        "POST" => refusal(422, "Invalid", "the weights of the steps must not fall"),
        "GET" if asked.path == PATH => refusal(404, "NotFound", "no"),
        _ => (200, json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": [] })),
    });
    let shell = Shell::new(client, Target::new("ns", "m")).unwrap();
    let error = plan(&shell, &file, &given, &mut Vec::new()).await.unwrap_err().to_string();
    assert_eq!(error, "the API server would refuse it: the weights of the steps must not fall");
}

/// Only for who asks for a gateway: not everybody may list routes.
#[tokio::test]
async fn a_plan_behind_a_gateway_looks_for_the_gateway_api() {
    const GROUP: &str = "/apis/gateway.networking.k8s.io/v1";
    let resource =
        |name: &str| json!({ "name": name, "singularName": "", "kind": "K", "namespaced": true, "verbs": ["list"] });
    let found = json!({
        "kind": "APIResourceList", "groupVersion": "gateway.networking.k8s.io/v1",
        "resources": [resource("httproutes"), resource("grpcroutes")],
    });
    let gateway = json!({ "router": "Gateway", "gateway": { "http": { "parentRefs": [{ "name": "public" }] } } });
    for (rollout, is_there, expected) in [
        (json!({}), true, (false, 0, false)),
        (gateway.clone(), true, (true, 2, false)),
        (gateway, false, (true, 0, true)),
    ] {
        let (objects, found) = (Mutex::new(Objects::default()), found.clone());
        let (client, log) = client(move |asked: &Asked| match asked.path.as_str() {
            GROUP if is_there => (200, found.clone()),
            GROUP => (404, "404 page not found".into()),
            _ => objects.lock().unwrap().answer(asked),
        });
        let shell = Shell::new(client, Target::new("ns", "m")).unwrap();
        let given = Given { optimizer: Some("o:1".into()), sidecar: Some("s:1".into()) };
        let mut out = Vec::new();
        plan(&shell, &object(&json!({ "spec": { "rollout": rollout } })), &given, &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines = lines(&log);
        let is_asked = lines.contains(&format!("GET {GROUP}"));
        let lists = lines.iter().filter(|l| l.contains("routes ")).count();
        assert_eq!((is_asked, lists, text.contains("install the Gateway API")), expected, "{lines:#?}\n{text}");
    }
}

/// What a watch sees: an object for each look, each once.
async fn waited(looks: Vec<Value>, timeout: i64) -> (Outcome, String) {
    let first = looks[0].clone();
    let events = Mutex::new(looks.into_iter());
    let (client, _) = client(move |asked: &Asked| {
        if asked.path == PATH {
            return (200, first.clone());
        }
        let mut next = events.lock().unwrap();
        let list = |items: Vec<Value>| {
            (200, json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items }))
        };
        match (asked.query.contains("watch=true"), next.next()) {
            (true, Some(mut object)) => {
                object["metadata"]["resourceVersion"] = "2".into();
                (200, json!({ "type": "MODIFIED", "object": object }))
            }
            (true, None) => (200, Value::Null),
            (false, object) => list(object.into_iter().collect()),
        }
    });
    let shell = Shell::new(client, Target::new("ns", "m")).unwrap();
    let mut out = Vec::new();
    let outcome = wait(&shell, Goal::Promoted, SignedDuration::from_secs(timeout), &mut out).await.unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

fn says(phase: &str, conditions: &[Value], message: &str) -> Value {
    let status = json!({ "observedGeneration": 1, "phase": phase, "message": message, "conditions": conditions });
    object(&json!({ "status": status }))
}

#[tokio::test(start_paused = true)]
async fn waits_until_it_is_there_or_failed_or_the_time_is_over() {
    let canary = || says("Canary", &[condition("Ready", false, "CanaryProgressing")], "step 1");
    let served = says("Serving", &[condition("Ready", true, "Serving")], "serves int8");
    let (outcome, text) = waited(vec![canary(), served], 60).await;
    assert_eq!((outcome, text.as_str()), (Outcome::Done, "CanaryProgressing: step 1\nserves int8\n"));

    let conditions = [condition("Ready", false, "RolledBack"), condition("Stalled", true, "RolledBack")];
    let (outcome, text) = waited(vec![canary(), says("RolledBack", &conditions, "worse")], 60).await;
    assert_eq!((outcome, text.lines().last()), (Outcome::Failed, Some("RolledBack: worse")));

    let (outcome, text) = waited(vec![canary()], 60).await;
    assert_eq!(
        (outcome, text.as_str()),
        (Outcome::TimedOut, "CanaryProgressing: step 1\nnot there after 60 seconds\n")
    );
}
