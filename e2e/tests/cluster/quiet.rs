//! At rest the operator writes nothing. How long is rest: `DRYDOCK_E2E_REST_SECONDS` (default 60; `make bench-operator`: 600).
//!
//! Nothing in the namespaces of the operator and of its work may change, on any cluster; of events only the operator's count,
//! since the scheduler and the kubelet count theirs again for as long as they see fit. Where `DRYDOCK_AUDIT_LOG` names the API
//! server's audit log, as on the local one, the operator's requests are counted too: those that change nothing are in there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::ModelDeployment;
use drydock_e2e::install::NAMESPACE;
use drydock_e2e::kubernetes::{Space, is_ready};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::support::{OPTIMIZED, alone, model};

const COUNT: usize = 20;

/// Writes by the operator's service account since `from` bytes into the audit log, leases apart: a leader renews its lease.
fn writes(log: &str, from: usize) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read the audit log {log}"))?;
    let mut found = Vec::new();
    for line in text.get(from..).unwrap_or_default().lines() {
        let event: Value = serde_json::from_str(line).with_context(|| format!("audit log: {line}"))?;
        let user = event.pointer("/user/username").and_then(Value::as_str).unwrap_or_default();
        let resource = event.pointer("/objectRef/resource").and_then(Value::as_str).unwrap_or_default();
        if user.starts_with("system:serviceaccount:drydock-system:") && resource != "leases" {
            found.push(format!(
                "{} {resource} {}",
                event["verb"],
                event.pointer("/objectRef/name").unwrap_or(&Value::Null)
            ));
        }
    }
    Ok(found)
}

/// The resourceVersion of every object of the namespaces, leases apart.
async fn versions(client: &Client, namespaces: &[&str]) -> Result<BTreeMap<String, String>> {
    // Metrics are made up anew with each reading.
    let discovery = Discovery::new(client.clone()).exclude(&["metrics.k8s.io"]).run().await?;
    let mut found = BTreeMap::new();
    for (kind, capabilities) in discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources) {
        if capabilities.scope != Scope::Namespaced
            || !capabilities.supports_operation(verbs::LIST)
            || kind.plural == "leases"
        {
            continue;
        }
        // Each event is in two groups, and only this one can be asked for those of one component.
        let what = match (kind.plural.as_str(), kind.group.as_str()) {
            ("events", "") => ListParams::default().fields("reportingComponent=drydock.dev/operator"),
            ("events", _) => continue,
            _ => ListParams::default(),
        };
        for namespace in namespaces {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
            for object in api.list_metadata(&what).await? {
                let name = format!("{namespace} {} {}", kind.plural, object.name_any());
                found.insert(name, object.resource_version().unwrap_or_default());
            }
        }
    }
    Ok(found)
}

/// What came, went or has another resourceVersion.
fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let changed = after.iter().filter(|(name, version)| before.get(*name) != Some(version));
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    changed.map(|(name, _)| name.clone()).chain(gone.map(|(name, _)| format!("{name} is gone"))).collect()
}

async fn twenty_served(space: &Space) -> Result<()> {
    for n in 0..COUNT {
        let small = json!({"metadata": {"name": format!("quiet-{n}")}, "spec": {
            "serving": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
            "artifactStore": {"size": "64Mi"},
            "optimization": {"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}}});
        space.apply(model(&small)?).await?;
    }
    for n in 0..COUNT {
        space.until(&format!("quiet-{n}"), OPTIMIZED * 2, "to be served", is_ready).await?;
    }
    // What follows from the last change is still part of the work.
    tokio::time::sleep(Duration::from_secs(15)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_writes_at_rest() -> Result<()> {
    let log = std::env::var("DRYDOCK_AUDIT_LOG").ok();
    let seconds = std::env::var("DRYDOCK_E2E_REST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let space = alone("quiet").await?;
    twenty_served(&space).await?;

    let namespaces = [space.name.as_str(), NAMESPACE];
    let before = versions(&space.client, &namespaces).await?;
    let from = log.as_ref().map(|log| anyhow::Ok(std::fs::metadata(log)?.len() as usize)).transpose()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    if let (Some(log), Some(from)) = (&log, from) {
        let (found, all) = (writes(log, from)?, writes(log, 0)?.len());
        println!("at rest: {} writes in {seconds} s with {COUNT} ModelDeployments ({all} to get there)", found.len());
        assert!(all > COUNT, "the audit log does not show the operator's work: {all} writes");
        assert!(found.is_empty(), "{found:#?}");
    }
    let after = versions(&space.client, &namespaces).await?;
    let found = changes(&before, &after);
    let audit = if log.is_some() { "and the audit log" } else { "without an audit log" };
    println!("at rest: {} of {} objects changed in {seconds} s, by resourceVersion {audit}", found.len(), after.len());
    assert!(found.is_empty(), "{found:#?}");

    // What is compared does show a change.
    let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    space.api::<ModelDeployment>().patch("quiet-0", &PatchParams::default(), &touch).await?;
    assert!(!changes(&after, &versions(&space.client, &namespaces).await?).is_empty());
    space.delete().await
}
