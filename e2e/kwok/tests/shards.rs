//! Operators that share the ModelDeployments of a cluster (`e2e/kwok/run.sh shards`): each looks after those of its shard and no other,
//! and one whose label changes in the middle of a rollout goes on with its new operator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use drydock_crds::ModelDeployment;
use drydock_kwok::operator::Operator;
use drydock_kwok::{ground, sidecars};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(180);
const LABEL: &str = "drydock.dev/shard";

fn has_canary(md: &ModelDeployment) -> bool {
    md.status.as_ref().and_then(|s| s.rollout.as_ref()).is_some_and(|r| r.canary.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operator_looks_after_its_own() -> Result<()> {
    let client = ground::client().await?;
    sidecars::serve(client.clone()).await?;
    let space = format!("shards-{:x}", std::time::UNIX_EPOCH.elapsed()?.as_millis());
    ground::namespace(&client, &space).await?;
    let api: Api<ModelDeployment> = Api::namespaced(client.clone(), &space);
    let jobs: Api<Job> = Api::namespaced(client.clone(), &space);
    let apply = async |name: &str, shard: Option<&str>, image: &str, hold: u32| -> Result<()> {
        let mut md = ground::model(name);
        md["metadata"]["labels"] = shard.map_or(json!({}), |shard| json!({LABEL: shard}));
        md["spec"]["serving"]["image"] = json!(image);
        md["spec"]["rollout"]["steps"] = json!([{"weight": 50, "holdSeconds": hold}]);
        api.patch(name, &PatchParams::apply(ground::MANAGER).force(), &Patch::Apply(md)).await?;
        Ok(())
    };
    let untouched = async |name: &str| -> Result<bool> {
        let own = ListParams::default().labels(&format!("drydock.dev/name={name}"));
        Ok(api.get(name).await?.status.is_none() && jobs.list_metadata(&own).await?.items.is_empty())
    };
    let operator = |shard: &str| -> Result<Operator> {
        let kubeconfig = std::env::var_os("KUBECONFIG").map(PathBuf::from).context("use e2e/kwok/run.sh")?;
        let log = std::env::temp_dir().join(format!("{space}-{shard}.log"));
        let operator = Operator::new(kubeconfig, Some(&space), &log, None).of_shard(shard);
        operator.start()?;
        Ok(operator)
    };
    for (name, shard) in [("of-none", None), ("of-a", Some("a")), ("of-b", Some("b"))] {
        ground::volume(&client, &space, name).await?;
        apply(name, shard, "sidecar:1", 1).await?;
    }

    let of_a = operator("a")?;
    ground::until(&api, "of-a", LIMIT, "to settle", ground::is_settled).await?;
    assert!(untouched("of-none").await? && untouched("of-b").await?, "shard a touched what is not its own");
    let of_none = operator("")?;
    ground::until(&api, "of-none", LIMIT, "to settle", ground::is_settled).await?;
    assert!(untouched("of-b").await?, "an operator without a shard touched what is in one");

    // In the middle of a rollout from one to the other, and both are there.
    apply("of-a", Some("a"), "sidecar:2", 5).await?;
    let before = ground::until(&api, "of-a", LIMIT, "to have a canary", has_canary).await?;
    apply("of-a", None, "sidecar:2", 5).await?;
    let after =
        ground::until(&api, "of-a", LIMIT, "to be promoted", |md| ground::is_settled(md) && !has_canary(md)).await?;
    assert_ne!(ground::stable(&before), ground::stable(&after));
    assert_eq!(ground::failed(&after), "");
    // The one has nothing to look after any more, and the other goes on alone.
    of_a.kill();
    apply("of-b", None, "sidecar:1", 1).await?;
    ground::until(&api, "of-b", LIMIT, "to settle", ground::is_settled).await?;
    apply("of-a", None, "sidecar:1", 1).await?;
    let back = |md: &ModelDeployment| ground::is_settled(md) && ground::stable(md) == ground::stable(&before);
    ground::until(&api, "of-a", LIMIT, "to be what it was", back).await?;
    // At rest, with its label on: nobody's.
    apply("of-none", Some("c"), "sidecar:2", 1).await?;
    sleep(Duration::from_secs(5)).await;
    let left = api.get("of-none").await?;
    assert_ne!(
        left.status.as_ref().and_then(|s| s.observed_generation),
        left.metadata.generation,
        "{}",
        left.name_any()
    );
    of_none.kill();
    Ok(())
}
