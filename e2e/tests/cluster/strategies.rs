//! Blue/green and shadow: a new revision that no user meets until somebody says so.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use drydock_crds::{Metric, MetricOutcome, ModelDeployment};
use drydock_e2e::forward::Forward;
use drydock_e2e::kubernetes::{Space, changed, condition, is_pod_ready, is_ready, uid_of, wait};
use drydock_e2e::{fashion, grpc, oip};
use serde_json::{Value, json};

use crate::support::{
    ROLLED_OUT, assert_lossless, broken, canary_revision, failed, load, metric, model, pods_of, served, space,
    stable_revision,
};

fn blue_green(label: &str, scale_down_delay: u32, control: &Value) -> Value {
    json!({"spec": {
        "serving": {"replicas": 2, "podTemplate": {"labels": {"version": label}}},
        "rollout": {
            "strategy": "BlueGreen",
            "blueGreen": {"previewSeconds": 1, "pause": true},
            "scaleDownDelaySeconds": scale_down_delay,
            "control": control,
        },
    }})
}

/// The pods of a revision that are ready.
async fn ready(space: &Space, revision: &str) -> Result<BTreeSet<String>> {
    Ok(pods_of(space, revision).await?.iter().filter(|p| is_pod_ready(p)).map(uid_of).collect())
}

/// The revision that answers at a Service, over REST and over gRPC.
async fn answering(space: &Space, service: &str) -> Result<[String; 2]> {
    let (forward, image) = (Forward::to(space, service).await?, fashion::evaluation(1)?[0].tensor());
    let rest = oip::infer(&oip::client().build()?, &forward.http, "model", &image).await?;
    let grpc = grpc::infer(&grpc::client(&forward.grpc)?, "model", &image).await?;
    Ok([rest.revision, grpc.revision])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blue_green_is_a_flip_and_so_is_the_way_back() -> Result<()> {
    let space = space("blue-green").await?;
    let none = json!({});
    let first = stable_revision(&served(&space, &blue_green("1", 600, &none)).await?);
    let blue = ready(&space, &first).await?;
    let traffic = load(&space, "model").await?;

    // The preview: all pods are there, and nobody is sent to them who does not ask for them.
    space.apply(model(&blue_green("2", 600, &none))?).await?;
    let waits = |m: &ModelDeployment| {
        m.status
            .as_ref()
            .is_some_and(|s| s.message.contains(&format!("set control.proceed to {}/0", canary_revision(m))))
    };
    let second = canary_revision(&space.until("model", ROLLED_OUT, "a preview", waits).await?);
    let green = ready(&space, &second).await?;
    assert_eq!((blue.len(), green.len()), (2, 2));
    assert_eq!(answering(&space, "model-preview").await?, [second.clone(), second.clone()]);
    let seen = traffic.seen().await?;
    assert_eq!(seen.by_revision.keys().collect::<Vec<_>>(), [&first], "somebody got an answer of the preview");

    // All at once, by pods that were there.
    let (mut weights, began) = (BTreeSet::new(), Instant::now());
    space.apply(model(&blue_green("2", 600, &json!({"proceed": format!("{second}/0")})))?).await?;
    let promoted = |m: &ModelDeployment| {
        weights.extend(m.status.as_ref().map(|s| s.canary_weight.clone()));
        is_ready(m) && stable_revision(m) == second
    };
    space.until("model", ROLLED_OUT, "to be promoted", promoted).await?;
    println!("blue/green: promoted {:.1} s after it was let go on", began.elapsed().as_secs_f64());
    assert!(weights.iter().all(|weight| ["0%", ""].contains(&weight.as_str())), "{weights:?}");
    assert_eq!(answering(&space, "model").await?, [second.clone(), second.clone()]);
    // Half of the load is on connections that are kept: their pods, which stay, ask it to connect again.
    wait(Duration::from_secs(20), "kept connections to lead to version 2", || async {
        let before = traffic.seen().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = traffic.seen().await?;
        let more = |of: &str| {
            let [before, after] = [&before, &after].map(|seen| seen.by_revision.get(of).copied().unwrap_or_default());
            after - before
        };
        let (old, new) = (more(&first), more(&second));
        println!("blue/green: in a second, {old} answers of version 1 and {new} of version 2");
        Ok((new > 0 && old == 0).then_some(()))
    })
    .await?;
    println!(
        "blue/green: nobody is answered by version 1 {:.1} s after version 2 was let go on",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(ready(&space, &second).await?, green, "the promotion made pods");
    assert_eq!(ready(&space, &first).await?, blue, "the replaced revision is not warm");

    // And back, to pods that are still there; what was given up goes after its own delay.
    let began = Instant::now();
    space.apply(model(&blue_green("2", 2, &json!({"rollBackTo": first})))?).await?;
    let is_back = |m: &_| is_ready(m) && stable_revision(m) == first;
    let back = space.until("model", ROLLED_OUT, "version 1 to serve again", is_back).await?;
    println!("blue/green: back {:.1} s after it was asked for", began.elapsed().as_secs_f64());
    assert_eq!(condition(&back, "HeldBack"), "True", "the spec asks for version 2");
    assert_eq!(answering(&space, "model").await?, [first.clone(), first.clone()]);
    assert_eq!(ready(&space, &first).await?, blue, "the way back made pods");
    wait(ROLLED_OUT, "the pods of version 2 to go", || async {
        Ok(pods_of(&space, &second).await?.is_empty().then_some(()))
    })
    .await?;
    assert_lossless(&traffic.stop().await?, "blue/green, and back");
    space.delete().await
}

fn shadow(label: &str, control: &Value) -> Value {
    json!({"spec": {
        "serving": {"podTemplate": {"labels": {"version": label}}},
        "rollout": {
            "strategy": "Shadow",
            "shadow": {"percentage": 100},
            "analysis": {"minAgreement": 90},
            "control": control,
        },
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_compared_and_answers_nobody() -> Result<()> {
    let space = space("shadow").await?;
    let none = json!({});
    let first = stable_revision(&served(&space, &shadow("1", &none)).await?);
    let traffic = load(&space, "model").await?;

    space.apply(model(&shadow("2", &none))?).await?;
    let agrees = |m: &ModelDeployment| metric(m, Metric::Agreement).is_some_and(|m| m.outcome == MetricOutcome::Pass);
    let compared = space.until("model", ROLLED_OUT, "enough compared answers", agrees).await?;
    println!("shadow: {:?}", metric(&compared, Metric::Agreement));
    let second = canary_revision(&compared);
    assert_eq!(stable_revision(&compared), first, "promoted by nobody");
    let seen = traffic.seen().await?;
    assert_eq!(seen.by_revision.keys().collect::<Vec<_>>(), [&first], "somebody got an answer of the shadow");

    space.apply(model(&shadow("2", &json!({"promote": second})))?).await?;
    let promoted = |m: &_| is_ready(m) && stable_revision(m) == second;
    space.until("model", ROLLED_OUT, "to be promoted", promoted).await?;

    // One that answers otherwise goes, and nobody has met it.
    space.apply(model(&changed(broken("wrong-answers"), &shadow("3", &none)))?).await?;
    let after = space.until("model", ROLLED_OUT, "a rollback", |m| failed(m).is_some()).await?;
    assert_eq!(failed(&after).map(|f| f.1).as_deref(), Some("Disagreement"));
    assert_eq!(stable_revision(&after), second);
    let report = traffic.stop().await?;
    assert_lossless(&report, "a shadow promoted, another rolled back");
    let answered: BTreeSet<_> = report.by_revision.keys().collect();
    assert_eq!(answered, BTreeSet::from([&first, &second]), "somebody got an answer of the bad shadow");
    space.delete().await
}
