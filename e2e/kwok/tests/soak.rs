//! Continuous changes, faults and deaths (`e2e/kwok/run.sh soak`), for `SOAK_MINUTES` (2) with `SOAK_COUNT` (20) ModelDeployments: memory,
//! children that are left over, objects that are stuck. Long: `SOAK_MINUTES=120 SOAK_COUNT=200`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use drydock_crds::ModelDeployment;
use drydock_kwok::proxy::{Faults, Proxy};
use drydock_kwok::{ground, sidecars};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Between two changes.
const CHANGE: Duration = Duration::from_millis(500);
/// Of one operator, before the next death.
const LIFE: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(900);

fn number(variable: &str, default: u64) -> Result<u64> {
    std::env::var(variable).map_or(Ok(default), |n| n.parse().with_context(|| format!("{variable}: expected a number")))
}

/// The same for the same seed, change and question.
fn dice(seed: u64, n: u64, question: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, n, question).hash(&mut hasher);
    hasher.finish()
}

/// Kibibytes an hour, by least squares over (seconds, KiB).
fn slope(samples: &[(f64, f64)]) -> f64 {
    let n = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|s| s.0), mean(|s| s.1));
    let over: f64 = samples.iter().map(|s| (s.0 - x) * (s.1 - y)).sum();
    over / samples.iter().map(|s| (s.0 - x).powi(2)).sum::<f64>().max(f64::EPSILON) * 3600.0
}

async fn count<K>(client: &Client, space: &str) -> Result<usize>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=drydock");
    Ok(Api::<K>::namespaced(client.clone(), space).list_metadata(&ours).await?.items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_leaks_or_sticks() -> Result<()> {
    let (minutes, objects) = (number("SOAK_MINUTES", 2)?, number("SOAK_COUNT", 20)?);
    let seed = number("DRYDOCK_SEED", 1)?;
    println!("{minutes} minutes, {objects} ModelDeployments, DRYDOCK_SEED={seed}");
    let client = ground::client().await?;
    sidecars::serve(client.clone()).await?;
    let space = format!("soak-{:x}", std::time::UNIX_EPOCH.elapsed()?.as_millis());
    ground::namespace(&client, &space).await?;
    let names: Vec<String> = (0..objects).map(|n| format!("m-{n}")).collect();
    for name in &names {
        ground::volume(&client, &space, name).await?;
    }
    let proxy = Proxy::start(&space, Faults::Random { seed, percent: 2 }, &std::env::temp_dir()).await?;
    let api: Api<ModelDeployment> = Api::namespaced(client.clone(), &space);
    let apply = async |name: &str, image: &str, replicas: u64, suspend: bool| -> Result<()> {
        let mut md = ground::model(name);
        md["spec"]["suspend"] = json!(suspend);
        md["spec"]["serving"] = json!({"image": image, "replicas": replicas});
        api.patch(name, &PatchParams::apply(ground::MANAGER).force(), &Patch::Apply(md)).await?;
        Ok(())
    };
    for name in &names {
        apply(name, "sidecar:1", 1, false).await?;
    }

    let began = Instant::now();
    let half = Duration::from_secs(minutes * 30);
    let (mut changes, mut deaths, mut last_death, mut samples) = (0_u64, 0, began, Vec::new());
    let mut said = 0;
    while began.elapsed() < half * 2 {
        let name = &names[(dice(seed, changes, "which") % objects) as usize];
        let image = match dice(seed, changes, "image") % 6 {
            0 => "bad:1".to_owned(),
            n => format!("sidecar:{n}"),
        };
        apply(name, &image, 1 + dice(seed, changes, "replicas") % 2, dice(seed, changes, "suspend").is_multiple_of(20))
            .await?;
        changes += 1;
        // One that is killed has nothing to grow: the second half is one life.
        if began.elapsed() < half && last_death.elapsed() > LIFE {
            proxy.kill()?;
            (deaths, last_death) = (deaths + 1, Instant::now());
        }
        if last_death.elapsed() > LIFE {
            samples.push((began.elapsed().as_secs_f64(), proxy.memory()?.0 as f64));
        }
        if let (minute, Some(&(_, rss))) = (began.elapsed().as_secs() / 60, samples.last())
            && minute > said
        {
            said = minute;
            println!("{minute} min: {changes} changes, {deaths} deaths, RSS {:.1} MiB", rss / 1024.0);
        }
        sleep(CHANGE).await;
    }
    let growth = slope(&samples) / 1024.0;
    let (least, most) =
        samples.iter().fold((f64::MAX, 0.0), |(least, most): (f64, f64), s| (least.min(s.1), most.max(s.1)));
    println!("{changes} changes, {deaths} deaths, {} faults", proxy.done().len());
    println!(
        "RSS {:.1} to {:.1} MiB over {:.0} s, slope {growth:.2} MiB/h",
        least / 1024.0,
        most / 1024.0,
        half.as_secs_f64()
    );

    proxy.calm();
    for name in &names {
        apply(name, "sidecar:1", 1, false).await?;
    }
    let settled = |md: &ModelDeployment| {
        ground::is_settled(md) && md.status.as_ref().and_then(|s| s.stable.as_ref()).is_some_and(|t| t.replicas == 1)
    };
    for name in &names {
        ground::until(&api, name, LIMIT, &format!("{name} to settle"), settled).await?;
    }
    sleep(Duration::from_secs(3)).await;
    let found = BTreeMap::from([
        ("Deployment", count::<Deployment>(&client, &space).await?),
        ("Job", count::<Job>(&client, &space).await?),
        ("PersistentVolumeClaim", count::<PersistentVolumeClaim>(&client, &space).await?),
        ("Service", count::<Service>(&client, &space).await?),
    ]);
    println!("children of {objects}: {found:?}");
    for (kind, each) in [("Deployment", 1), ("Job", 1), ("PersistentVolumeClaim", 1), ("Service", 2)] {
        assert_eq!(found[kind], names.len() * each, "{kind}");
    }

    for name in &names {
        api.delete(name, &DeleteParams::background()).await?;
    }
    let end = Instant::now() + LIMIT;
    loop {
        let left = count::<Deployment>(&client, &space).await?
            + count::<Job>(&client, &space).await?
            + count::<Pod>(&client, &space).await?
            + count::<Service>(&client, &space).await?
            + count::<PersistentVolumeClaim>(&client, &space).await?;
        if left == 0 {
            break;
        }
        if Instant::now() > end {
            bail!("{left} children are left {LIMIT:?} after the deletion");
        }
        sleep(Duration::from_secs(1)).await;
    }
    proxy.stop();
    Api::<Namespace>::all(client).delete(&space, &DeleteParams::default()).await?;
    // What memory does in a minute says nothing of an hour.
    assert!(minutes < 30 || growth < 1.0, "the operator's memory grows by {growth:.2} MiB/h");
    Ok(())
}

#[test]
fn a_line_has_its_slope() {
    let line: Vec<(f64, f64)> = (0..100).map(|s| (f64::from(s), 5.0 + 2.0 * f64::from(s))).collect();
    assert!((slope(&line) - 7200.0).abs() < 1e-6, "{}", slope(&line));
}
