//! What others say of a canary: a web hook, a Job.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, changed, is_pod_ready, is_ready, wait};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::support::{ROLLED_OUT, failed, load, model, served, space, stable_revision};

const SERVER: &str = "localhost/drydock/faulty-server:dev";

/// A pod that answers `POST /gate/STATUS` with this status.
async fn gate(space: &Space) -> Result<IpAddr> {
    let pods = space.api::<Pod>();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gate"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "gate",
                "image": SERVER,
                "imagePullPolicy": "IfNotPresent",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": 8080}, "periodSeconds": 1},
            }],
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let ready =
        wait(Duration::from_secs(60), "the gate", || async { Ok(pods.get_opt("gate").await?.filter(is_pod_ready)) });
    let ip = ready.await?.status.and_then(|s| s.pod_ip).context("no IP")?;
    Ok(ip.parse()?)
}

/// Another revision of the same model, which is good by all that the sidecars count.
fn canary(label: &str, external: &Value) -> Result<Value> {
    let labels = json!({"spec": {"serving": {"podTemplate": {"labels": {"try": label}}}}});
    let rules = json!({"spec": {"rollout": {"analysis": {"external": [external]}}}});
    model(&changed(labels, &rules))
}

fn why(object: &ModelDeployment) -> String {
    let failed = object.status.as_ref().and_then(|s| s.rollout.as_ref()?.failed.as_ref());
    failed.map(|f| f.message.clone()).unwrap_or_default()
}

fn message(object: &ModelDeployment) -> String {
    object.status.as_ref().map(|s| s.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_say_of_a_canary_counts() -> Result<()> {
    let space = space("sources").await?;
    let stable = stable_revision(&served(&space, &json!({})).await?);
    let traffic = load(&space, "model").await?;
    let gate = std::net::SocketAddr::new(gate(&space).await?, 8080);
    let hook = |status: u16| json!({"name": "gate", "intervalSeconds": 1, "webHook": {"url": format!("http://{gate}/gate/{status}")}});

    // No.
    space.apply(canary("no", &hook(403))?).await?;
    let after = space.until("model", ROLLED_OUT, "a rollback", |m| failed(m).is_some()).await?;
    println!("a web hook says no: {}", why(&after));
    assert_eq!(failed(&after).map(|f| f.1).as_deref(), Some("External"));
    assert!(why(&after).starts_with("gate says no: HTTP 403"), "{}", why(&after));
    assert_eq!(stable_revision(&after), stable);

    // A test that fails, in a pod as restricted as all others: the load wants five arguments.
    let job = json!({"name": "acceptance", "job": {"image": "localhost/drydock/load:dev", "args": ["{{canary}}"]}});
    space.apply(canary("job", &job)?).await?;
    let is_back = |m: &ModelDeployment| failed(m).is_some() && why(m).contains("acceptance");
    let after = space.until("model", ROLLED_OUT, "a rollback", is_back).await?;
    println!("a Job fails: {}", why(&after));
    assert!(why(&after).starts_with("acceptance says no: exit code "), "{}", why(&after));
    let is_no_check = || async {
        let jobs = space.api::<Job>().list(&ListParams::default().labels("app.kubernetes.io/component=check")).await?;
        Ok(jobs.items.is_empty().then_some(()))
    };
    wait(Duration::from_secs(30), "the Job to be gone", is_no_check).await?;

    // No word at all: held until there is one.
    space.apply(canary("yes", &hook(503))?).await?;
    let is_held = |m: &ModelDeployment| message(m).contains("gate does not say: HTTP 503");
    space.until("model", ROLLED_OUT, "to be held", is_held).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let held = space.api::<ModelDeployment>().get("model").await?;
    println!("a web hook is out of order: {}", message(&held));
    assert!(failed(&held).is_none() && stable_revision(&held) == stable, "{}", message(&held));
    space.apply(canary("yes", &hook(204))?).await?;
    let done = space.until("model", ROLLED_OUT, "a promotion", |m| is_ready(m) && stable_revision(m) != stable).await?;
    println!("a web hook says yes: {}", message(&done));
    assert_eq!(traffic.stop().await?.failed, 0);
    space.delete().await
}
