//! Every file of `examples/` is applied as it stands.

use anyhow::Result;
use drydock_crds::ModelDeployment;
use drydock_e2e::install::root;
use drydock_e2e::kubernetes::{changed, condition, example, is_ready, reason};
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::{OPTIMIZED, space};

/// The quick start's three versions have a test of their own (quickstart.rs), and so has what needs a gateway (tests/gateway).
const ELSEWHERE: [&str; 4] = ["gateway.yaml", "quickstart.yaml", "quickstart-v2.yaml", "quickstart-v3-bad.yaml"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_served() -> Result<()> {
    let space = space("examples").await?;
    let mut files: Vec<String> = std::fs::read_dir(root().join("examples"))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    for file in ELSEWHERE {
        assert!(files.contains(&file.to_owned()), "{file} is gone");
    }
    let rest: Vec<&String> = files.iter().filter(|f| !ELSEWHERE.contains(&f.as_str())).collect();
    assert!(!rest.is_empty());
    for file in rest {
        let name = example(file)?["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        space.apply_example(file).await?;
        let object = space.until(&name, OPTIMIZED, &format!("{file} to be served"), is_ready).await?;
        println!("{file}: {}", object.status.map(|s| s.message).unwrap_or_default());
        // One by one: two nodes of this machine have no room for all of them.
        space.api::<ModelDeployment>().delete(&name, &DeleteParams::default()).await?;
    }
    space.delete().await
}

/// Where nobody has the Gateway API, a spec that asks for a gateway is told so; on a cluster that has it, that no Gateway takes the route.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_not_there_is_missed() -> Result<()> {
    let space = space("no-gateway").await?;
    let nowhere = json!([{"name": "nowhere"}]);
    let parents =
        json!({"spec": {"rollout": {"gateway": {"http": {"parentRefs": nowhere}, "grpc": {"parentRefs": nowhere}}}}});
    space.apply(changed(example("gateway.yaml")?, &parents)).await?;
    let is_told = |m: &_| condition(m, "Stalled") == "True";
    let object = space.until("fashion-gateway", OPTIMIZED, "to be stalled", is_told).await?;
    let found = reason(&object, "Stalled");
    println!("{found}: {}", object.status.as_ref().map(|s| s.message.as_str()).unwrap_or_default());
    assert!(["GatewayApiMissing", "RouteNotAccepted"].contains(&found), "{found}");
    space.delete().await
}
