//! The load as a pod.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Request;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};

use crate::fashion::EVALUATION;
use crate::kubernetes::{Space, is_pod_ready, wait};
use crate::load::Report;

const IMAGE: &str = "localhost/drydock/load:dev";
const MODELS: &str = "localhost/drydock/fashion-models:1";
pub const PORT: u16 = 8080;

/// A running [`Load`](crate::load::Load) on a Service, in a pod beside it: requests go the way that those of a user's pods go,
/// and neither the machine that the test runs on nor the pods that come and go behind the Service are in its way. It is asked
/// through the API server.
#[derive(Debug)]
pub struct LoadPod {
    space: Space,
    name: String,
}

/// Where a load goes.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    pub address: IpAddr,
    pub http: u16,
    pub grpc: u16,
    model: &'a str,
    /// What the requests call it.
    hostname: Option<&'a str>,
    /// Where the load's pod runs.
    node: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The ports `http` and `grpc` of a Service that answers for a model.
    pub async fn of(space: &Space, service: &str, model: &'a str) -> Result<Self> {
        let spec = space.api::<Service>().get(service).await?.spec.context("no spec")?;
        let address = spec.cluster_ip.context("no cluster IP")?.parse()?;
        let port = |name: &str| {
            let port = spec.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name)).map(|p| p.port as u16);
            port.with_context(|| format!("no port {name}"))
        };
        Ok(Self { address, http: port("http")?, grpc: port("grpc")?, model, hostname: None, node: None })
    }

    /// Asked for by this name, which only the pod of the load knows.
    #[must_use]
    pub fn called(self, hostname: &'a str) -> Self {
        Self { hostname: Some(hostname), ..self }
    }

    /// Sent from this node.
    #[must_use]
    pub fn from_node(self, node: &'a str) -> Self {
        Self { node: Some(node), ..self }
    }

    fn url(&self, port: u16) -> String {
        match self.hostname {
            Some(name) => format!("http://{name}:{port}"),
            // Not its name: a look-up that fails would be a failed request that the model has no part in.
            None => format!("http://{}", SocketAddr::new(self.address, port)),
        }
    }
}

impl LoadPod {
    /// Returns when the load on a model's own Service is on.
    pub async fn start(space: &Space, service: &str, per_second: u32) -> Result<Self> {
        Self::start_at(space, &Place::of(space, service, service).await?, per_second).await
    }

    /// Returns when the load is on.
    pub async fn start_at(space: &Space, place: &Place<'_>, per_second: u32) -> Result<Self> {
        let rate = per_second.to_string();
        let urls = [place.url(place.http), place.url(place.grpc)];
        let arguments = json!([urls[0], urls[1], place.model, rate, format!("/models/{EVALUATION}")]);
        // In the pod's own /etc/hosts, for the same reason.
        let aliases = place.hostname.map(|name| json!([{"ip": place.address, "hostnames": [name]}]));
        let pods = space.api::<Pod>();
        let pod: Pod = pods
            .create(&PostParams::default(), &serde_json::from_value(pod(&arguments, aliases.as_ref(), place.node))?)
            .await?;
        let load = Self { space: space.clone(), name: pod.name_any() };
        let up = wait(Duration::from_secs(60), "the load's pod to be ready", || async {
            Ok(is_pod_ready(&pods.get(&load.name).await?).then_some(()))
        });
        if let Err(error) = up.await {
            let log = pods.logs(&load.name, &LogParams::default()).await.unwrap_or_else(|e| e.to_string());
            return Err(error.context(log));
        }
        Ok(load)
    }

    /// What it saw so far, less the latencies.
    pub async fn seen(&self) -> Result<Report> {
        self.ask(Request::get(self.path("seen"))).await
    }

    /// Sends no more, waits for the answers that are due.
    pub async fn stop(self) -> Result<Report> {
        let report = self.ask(Request::post(self.path("stop"))).await?;
        self.space.api::<Pod>().delete(&self.name, &DeleteParams::default().grace_period(0)).await?;
        Ok(report)
    }

    fn path(&self, verb: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{}:{PORT}/proxy/{verb}", self.space.name, self.name)
    }

    async fn ask(&self, request: http::request::Builder) -> Result<Report> {
        self.space.client.request(request.body(Vec::new())?).await.context("asking the load's pod")
    }
}

fn pod(arguments: &Value, aliases: Option<&Value>, node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "load-"},
        "spec": {
            "restartPolicy": "Never",
            "hostAliases": aliases,
            "nodeSelector": node.map(|name| json!({"kubernetes.io/hostname": name})),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "load",
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "readinessProbe": {"httpGet": {"path": "/seen", "port": PORT}, "periodSeconds": 1},
                "volumeMounts": [{"name": "models", "mountPath": "/models"}],
            }],
            "volumes": [{"name": "models", "image": {"reference": MODELS, "pullPolicy": "IfNotPresent"}}],
        },
    })
}
