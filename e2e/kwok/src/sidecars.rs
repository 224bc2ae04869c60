//! What the sidecars of kwok's pods would answer on their admin port. Every pod's address is this machine's in the control plane's
//! network, so one server answers for all, and tells them apart by the address that was asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use drydock_contract::{SPLIT_ANNOTATION, Split, SplitWindow, StableWindow};
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::net::TcpListener;

/// The sidecar's port for what only the operator asks.
const ADMIN_PORT: u16 = 8082;
/// Of each track, in each window: enough for a verdict at the first look.
const REQUESTS: u64 = 1000;

/// What is known of the pods, by address.
type Pods = Arc<Mutex<HashMap<String, Known>>>;

#[derive(Debug)]
struct Known {
    name: String,
    split: Option<Split>,
    revision: String,
    is_bad: bool,
}

/// Answers until the process ends. A revision whose image is named `bad` answers every request with an error.
pub async fn serve(client: Client) -> Result<()> {
    let pods = Pods::default();
    let listener = TcpListener::bind(("0.0.0.0", ADMIN_PORT)).await?;
    let router = Router::new().route("/drydock/split", get(answer)).with_state(pods.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::spawn(async move {
        let ours = watcher::Config::default().labels("app.kubernetes.io/component=serving");
        let events = watcher::watcher(Api::<Pod>::all(client), ours);
        pin_mut!(events);
        while let Some(event) = events.next().await {
            let mut pods = pods.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                    let ip = pod.status.as_ref().and_then(|s| s.pod_ip.clone());
                    pods.extend(ip.map(|ip| (ip, known(&pod))));
                }
                Ok(Event::Delete(pod)) => {
                    let name = pod.name_any();
                    pods.retain(|_, known| known.name != name);
                }
                Ok(_) | Err(_) => {}
            }
        }
    });
    Ok(())
}

fn known(pod: &Pod) -> Known {
    let image = pod.spec.as_ref().and_then(|s| s.containers.first()?.image.clone());
    Known {
        name: pod.name_any(),
        split: pod.annotations().get(SPLIT_ANNOTATION).and_then(|text| serde_json::from_str(text).ok()),
        revision: pod.labels().get("drydock.dev/revision").cloned().unwrap_or_default(),
        is_bad: image.is_some_and(|image| image.starts_with("bad")),
    }
}

async fn answer(State(pods): State<Pods>, headers: HeaderMap) -> Result<Json<SplitWindow>, StatusCode> {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let ip = host.split(':').next().unwrap_or_default();
    let pods = pods.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(pod) = pods.get(ip) else { return Err(StatusCode::NOT_FOUND) };
    let Some(split) = &pod.split else { return Ok(Json(SplitWindow::default())) };
    let is_bad = pods.values().any(|p| p.revision == split.revision && p.is_bad);
    Ok(Json(SplitWindow {
        revision: split.revision.clone(),
        window: split.window.clone(),
        weight: split.weight,
        requests: REQUESTS,
        errors: if is_bad { REQUESTS } else { 0 },
        stable: Some(StableWindow { requests: REQUESTS, ..StableWindow::default() }),
        ..SplitWindow::default()
    }))
}
