//! What a person decides in the spec: a step that waits, and the way back to the revision that was served before.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, condition, is_ready, reason, uid_of};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{ROLLED_OUT, assert_lossless, canary_revision, load, model, served, space, stable_revision};

fn version(label: &str, control: &Value) -> Value {
    json!({"spec": {
        "serving": {"podTemplate": {"labels": {"version": label}}},
        "rollout": {
            "steps": [{"weight": 50, "holdSeconds": 2, "pause": true}],
            "scaleDownDelaySeconds": 600,
            "control": control,
        },
    }})
}

/// `kubectl drydock ARGS` in the space, as built beside this test: its exit code, and what it said.
async fn drydock(space: &Space, args: &[&str]) -> Result<(Option<i32>, String)> {
    let test = std::env::current_exe().context("where is this test?")?;
    // target/PROFILE/deps/cluster-HASH
    let plugin = test.ancestors().nth(2).context("where are the binaries?")?.join("kubectl-drydock");
    ensure!(
        plugin.exists(),
        "{} is not built: cargo build -p kubectl-drydock, in the profile of the tests",
        plugin.display()
    );
    let output =
        Command::new(&plugin).args(args).args(["-n", &space.name]).output().await.context("kubectl-drydock")?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("kubectl drydock {}: {:?}\n{said}", args.join(" "), output.status.code());
    Ok((output.status.code(), said))
}

async fn pods_of(space: &Space, revision: &str) -> Result<BTreeSet<String>> {
    let pods = space.serving_pods("model").await?;
    let of = |p: &&k8s_openapi::api::core::v1::Pod| {
        p.metadata.labels.as_ref().and_then(|l| l.get("drydock.dev/revision")).is_some_and(|r| r == revision)
    };
    Ok(pods.iter().filter(of).map(uid_of).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_waits_for_a_person_and_a_rollback_is_a_flip() -> Result<()> {
    let space = space("control").await?;
    let first = stable_revision(&served(&space, &version("1", &json!({}))).await?);
    let traffic = load(&space, "model").await?;
    let pods = pods_of(&space, &first).await?;

    space.apply(model(&version("2", &json!({})))?).await?;
    let says_what_to_do = |m: &ModelDeployment| {
        m.status
            .as_ref()
            .is_some_and(|s| s.message.contains(&format!("set control.proceed to {}/0", canary_revision(m))))
    };
    let waiting = space.until("model", ROLLED_OUT, "to wait for a person", says_what_to_do).await?;
    let second = canary_revision(&waiting);
    assert_eq!((stable_revision(&waiting), reason(&waiting, "Reconciling")), (first.clone(), "Paused"));

    let (code, tree) = drydock(&space, &["get", "model"]).await?;
    assert!(code == Some(0) && tree.contains(&format!("canary  {second}")), "{tree}");
    let (code, refused) = drydock(&space, &["rollback", "model", "--to", "dead"]).await?;
    assert!(code == Some(1) && refused.contains(&first) && refused.contains(&second), "{refused}");
    let (code, timed_out) = drydock(&space, &["wait", "model", "--for", "promoted", "--timeout", "2s"]).await?;
    assert_eq!(code, Some(124), "{timed_out}");
    let (code, proceeds) = drydock(&space, &["proceed", "model"]).await?;
    assert!(code == Some(0) && proceeds.contains(", by "), "{proceeds}");
    let (code, _) = drydock(&space, &["wait", "model", "--for", "promoted", "--timeout", "3m"]).await?;
    assert_eq!(code, Some(0));
    let promoted = |m: &_| is_ready(m) && stable_revision(m) == second;
    space.until("model", ROLLED_OUT, "version 2 to be promoted", promoted).await?;

    // The first one is warm: it takes over as it is.
    space.apply(model(&version("2", &json!({"rollBackTo": first})))?).await?;
    let back = |m: &_| is_ready(m) && stable_revision(m) == first;
    let back = space.until("model", ROLLED_OUT, "version 1 to serve again", back).await?;
    assert_eq!(condition(&back, "HeldBack"), "True", "the spec asks for version 2");
    let (code, _) = drydock(&space, &["wait", "model", "--for", "promoted", "--timeout", "3m"]).await?;
    assert_eq!(code, Some(1), "what the spec asks for is held back");
    let (code, why) = drydock(&space, &["why", "model"]).await?;
    assert!(code == Some(0) && why.contains("StepPassed in step 1, by "), "{why}");
    assert_eq!(pods_of(&space, &first).await?, pods, "the rollback made pods");
    assert_lossless(&traffic.stop().await?, "a step that waits, a rollback");
    space.delete().await
}
