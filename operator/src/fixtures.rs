//! An API server of a few lines for the shell's tests, behind the real client: what is tested is the requests.

#![allow(clippy::unwrap_used, clippy::missing_fields_in_debug, reason = "tests alone use it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::claim::Claim;
use crate::cluster::Kubernetes;
use crate::metrics::Metrics;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub content_type: String,
    pub body: Value,
}

impl Asked {
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// `PATCH /api/v1/… force=true&fieldManager=…`
    pub fn line(&self) -> String {
        format!("{} {} {}", self.method, self.path, self.query).trim_end().to_owned()
    }
}

pub type Log = Arc<Mutex<Vec<Asked>>>;

pub fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(Asked::line).collect()
}

pub fn writes(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().filter(|a| a.is_write()).map(Asked::line).collect()
}

/// A client whose requests are answered by `answer` with a status code and a body, and logged.
pub fn client(mut answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> (Client, Log) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let log = Log::default();
    let logged = log.clone();
    tokio::spawn(async move {
        while let Some((request, send)) = handle.next_request().await {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let asked = Asked {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().trim_matches('&').to_owned(),
                content_type: head
                    .headers
                    .get(CONTENT_TYPE)
                    .map(|v| v.to_str().unwrap().to_owned())
                    .unwrap_or_default(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let (code, body) = answer(&asked);
            logged.lock().unwrap().push(asked);
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            send.send_response(Response::builder().status(code).body(body).unwrap());
        }
    });
    (Client::new(service, "default"), log)
}

/// As [`client`], as the leader's cluster.
pub fn cluster(answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> (Kubernetes, Log) {
    let (client, log) = client(answer);
    (Kubernetes::new(client, Arc::new(Claim::without_end()), Metrics::new()).unwrap(), log)
}

pub fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {},
        "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    (code, status)
}

pub fn not_found() -> (u16, Value) {
    refusal(404, "NotFound", "not found")
}

/// Objects by path. Enough of an API server for a whole pass: get, list (all of a kind), apply, scale, status, delete.
#[derive(Debug, Default)]
pub struct Objects(pub BTreeMap<String, Value>);

impl Objects {
    pub fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let path = asked.path.as_str();
        match asked.method.as_str() {
            "GET" => match self.0.get(path) {
                Some(object) => (200, object.clone()),
                None if is_collection(path) => {
                    let items: Vec<_> = self.0.iter().filter(|(p, _)| parent(p) == path).map(|(_, o)| o).collect();
                    (200, json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": items }))
                }
                None => not_found(),
            },
            "POST" => (201, asked.body.clone()),
            "DELETE" => match self.0.remove(path) {
                Some(object) => (200, object),
                None => not_found(),
            },
            _ => self.patch(path, &asked.body),
        }
    }

    fn patch(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let uid = format!("uid-{}", self.0.len());
        if let Some(of) = path.strip_suffix("/status") {
            let Some(object) = self.0.get_mut(of) else { return not_found() };
            object["status"] = body["status"].clone();
            return (200, object.clone());
        }
        if let Some(of) = path.strip_suffix("/scale") {
            let Some(object) = self.0.get_mut(of) else { return not_found() };
            object["spec"]["replicas"] = body["spec"]["replicas"].clone();
            return (
                200,
                json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": body["spec"] }),
            );
        }
        let object = self.0.entry(path.to_owned()).or_insert_with(|| json!({ "metadata": { "uid": uid } }));
        json_patch::merge(object, body);
        (200, object.clone())
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// `…/namespaces/ns/deployments`, and not `…/namespaces/ns/deployments/d`.
fn is_collection(path: &str) -> bool {
    path.split("/namespaces/").nth(1).is_some_and(|rest| rest.split('/').count() == 2)
}
