//! What a person decides in the spec: a step that waits, and the way back to the revision that was served before.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{Space, changed, condition, is_ready, reason, uid_of};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    ROLLED_OUT, assert_lossless, canary_revision, failed, load, model, pods_of, served, space, stable_revision,
};

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

/// `kubectl drydock ARGS` in the space: its exit code, and what it said.
async fn drydock(space: &Space, args: &[&str]) -> Result<(Option<i32>, String)> {
    let plugin =
        std::env::var("DRYDOCK_PLUGIN").context("DRYDOCK_PLUGIN: expected the path that e2e/plugin.sh prints")?;
    let output =
        Command::new(&plugin).args(args).args(["-n", &space.name]).output().await.with_context(|| plugin.clone())?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("kubectl drydock {}: {:?}\n{said}", args.join(" "), output.status.code());
    Ok((output.status.code(), said))
}

/// The same, which has to end with this exit code and say all of this.
async fn says(space: &Space, args: &[&str], expected: i32, words: &[&str]) -> Result<String> {
    let (code, said) = drydock(space, args).await?;
    ensure!(code == Some(expected), "{args:?}: expected exit code {expected}");
    ensure!(words.iter().all(|word| said.contains(word)), "{args:?}: expected {words:?}");
    Ok(said)
}

async fn uids_of(space: &Space, revision: &str) -> Result<BTreeSet<String>> {
    Ok(pods_of(space, revision).await?.iter().map(uid_of).collect())
}

/// In its first step, whose time is over, for a person.
fn waits(object: &ModelDeployment) -> bool {
    let word = format!("{}/0 to go on", canary_revision(object));
    object.status.as_ref().is_some_and(|s| s.message.contains(&word))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_waits_for_a_person_and_a_rollback_is_a_flip() -> Result<()> {
    let space = space("control").await?;
    let first = stable_revision(&served(&space, &version("1", &json!({}))).await?);
    let traffic = load(&space, "model").await?;
    let pods = uids_of(&space, &first).await?;

    space.apply(model(&version("2", &json!({})))?).await?;
    let waiting = space.until("model", ROLLED_OUT, "to wait for a person", waits).await?;
    let second = canary_revision(&waiting);
    assert_eq!((stable_revision(&waiting), reason(&waiting, "Reconciling")), (first.clone(), "Paused"));

    says(&space, &["get", "model"], 0, &[&format!("canary  {second}")]).await?;
    says(&space, &["rollback", "model", "--to", "dead"], 1, &[&first, &second]).await?;
    says(&space, &["wait", "model", "--for", "promoted", "--timeout", "2s"], 124, &[]).await?;
    says(&space, &["proceed", "model"], 0, &[", by "]).await?;
    says(&space, &["wait", "model", "--for", "promoted", "--timeout", "3m"], 0, &[]).await?;
    let promoted = |m: &_| is_ready(m) && stable_revision(m) == second;
    space.until("model", ROLLED_OUT, "version 2 to be promoted", promoted).await?;

    // The first one is warm: it takes over as it is.
    space.apply(model(&version("2", &json!({"rollBackTo": first})))?).await?;
    let back = |m: &_| is_ready(m) && stable_revision(m) == first;
    let back = space.until("model", ROLLED_OUT, "version 1 to serve again", back).await?;
    assert_eq!(condition(&back, "HeldBack"), "True", "the spec asks for version 2");
    // What the spec asks for is held back.
    says(&space, &["wait", "model", "--for", "promoted", "--timeout", "3m"], 1, &[]).await?;
    says(&space, &["why", "model"], 0, &["StepPassed in step 1, by "]).await?;
    assert_eq!(uids_of(&space, &first).await?, pods, "the rollback made pods");
    assert_lossless(&traffic.stop().await?, "a step that waits, a rollback");
    space.delete().await
}

/// All that `kubectl drydock` can say, in one rollout: what it foretells comes so, and each word has its effect and stands in the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_decides_by_kubectl() -> Result<()> {
    let space = space("kubectl").await?;
    let steps = json!({"spec": {"rollout": {"steps": [
        {"weight": 50, "holdSeconds": 2, "pause": true},
        {"weight": 80, "holdSeconds": 600},
    ]}}});
    let version = |label| changed(version(label, &json!({})), &steps);
    let first = stable_revision(&served(&space, &version("1")).await?);
    let pods = uids_of(&space, &first).await?;
    let traffic = load(&space, "model").await?;
    let until = async |what: &str, holds: &(dyn Fn(&ModelDeployment) -> bool + Sync)| {
        space.until("model", ROLLED_OUT, what, holds).await
    };

    // What would follow from the next version. Nothing does yet.
    let next = model(&version("2"))?;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a-person-decides.json");
    std::fs::write(&file, next.to_string())?;
    let generation = space.api::<ModelDeployment>().get("model").await?.metadata.generation;
    let step = "step 2: 80 % of the requests for 600 seconds";
    let plan = says(&space, &["plan", "-f", &file.to_string_lossy()], 0, &["would be changed", step]).await?;
    let foretold = plan.split("canary (new)  ").nth(1).and_then(|rest| rest.split(' ').next()).context("no canary")?;
    let before = space.api::<ModelDeployment>().get("model").await?;
    assert_eq!((before.metadata.generation, canary_revision(&before)), (generation, String::new()));

    // Nothing starts in a pause.
    says(&space, &["pause", "model"], 0, &["pause, by "]).await?;
    space.apply(next).await?;
    let paused = until("to be paused", &|m| reason(m, "Reconciling") == "Paused").await?;
    assert_eq!((stable_revision(&paused), canary_revision(&paused)), (first.clone(), String::new()));
    says(&space, &["get", "model"], 0, &["paused: true, by "]).await?;
    says(&space, &["resume", "model"], 0, &["resume, by "]).await?;
    let second = canary_revision(&until("to wait for a person", &waits).await?);
    assert_eq!(foretold, second);
    let (canary, step) = (format!("canary  {second}  50%"), "step 1 of 2: 50 % of the requests for 2 seconds, then");
    says(&space, &["get", "model"], 0, &[&canary, step]).await?;

    // Back, and once more.
    says(&space, &["abort", "model"], 0, &[&format!("abort {second}, by ")]).await?;
    until("to be rolled back", &|m| failed(m) == Some((second.clone(), "Aborted".into()))).await?;
    says(&space, &["wait", "model", "--for=promoted"], 1, &["Aborted: "]).await?;
    says(&space, &["promote", "model"], 1, &["there is no canary", &first, &second]).await?;
    says(&space, &["retry", "model"], 0, &[&format!("retry {second}@1, by ")]).await?;
    until("to wait for a person again", &waits).await?;

    // On, past the step that waits, and past the one that takes too long.
    says(&space, &["proceed", "model"], 0, &[&format!("proceed {second}/0, by ")]).await?;
    until("the second step", &|m| m.status.as_ref().is_some_and(|s| s.canary_weight == "80%")).await?;
    says(&space, &["proceed", "model"], 1, &["step 2 does not wait for anybody"]).await?;
    says(&space, &["wait", "model", "--for=promoted", "--timeout=1s"], 124, &["not there after 1 seconds"]).await?;
    says(&space, &["promote", "model"], 0, &[&format!("promote {second}, by ")]).await?;
    says(&space, &["wait", "model", "--for=promoted", "--timeout=3m"], 0, &[&second]).await?;

    // To the one before, by the first letters of its name, and back to what the spec asks for.
    says(&space, &["rollback", "model", "--to", &first[..6]], 0, &[&format!("roll back to {first}, by ")]).await?;
    let back = until("the first version again", &|m| is_ready(m) && stable_revision(m) == first).await?;
    assert_eq!((condition(&back, "HeldBack"), uids_of(&space, &first).await?), ("True", pods));
    says(&space, &["wait", "model", "--for=ready"], 0, &[&first]).await?;
    says(&space, &["wait", "model", "--for=promoted"], 1, &["RollBackRequested: "]).await?;
    says(&space, &["rollback", "model", "--end"], 0, &["end the rollback, by "]).await?;
    until("to wait for a person once more", &waits).await?;
    // The same words as the first time.
    says(&space, &["promote", "model"], 0, &[&format!("promote {second}, by ")]).await?;
    says(&space, &["wait", "model", "--for=promoted", "--timeout=3m"], 0, &[&second]).await?;

    let record = ["RolledBack in step 1, by ", "Retried, by ", "StepPassed in step 1, by ", "Promoted, by "];
    says(&space, &["why", "model"], 0, &record).await?;
    assert_lossless(&traffic.stop().await?, "a person decides by kubectl");
    space.delete().await
}
