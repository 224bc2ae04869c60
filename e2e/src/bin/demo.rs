//! The loop of the README on a real cluster: `make demo` runs it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use drydock_crds::{ModelDeployment, Phase};
use drydock_e2e::fashion::{self, CLASSES, Sample};
use drydock_e2e::forward::Forward;
use drydock_e2e::install::{self, kubectl};
use drydock_e2e::kubernetes::{Space, condition, is_ready};
use drydock_e2e::load_pod::LoadPod;
use drydock_e2e::oip;
use kube::api::Api;

const NAMESPACE: &str = "drydock-demo";
const NAME: &str = "fashion";
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result<()> {
    title("1. Install the operator: helm upgrade --install drydock charts/drydock");
    install::operator().await?;
    println!("{}", kubectl(&["-n", install::NAMESPACE, "get", "pods"]).await?);

    title("2. kubectl apply -f examples/quickstart.yaml");
    let space = Space::fresh(NAMESPACE).await?;
    apply("quickstart.yaml").await?;
    follow(&space, is_ready).await?;
    candidates(&space).await?;
    get(&[]).await?;

    title("3. Real images through the served int8 model");
    predictions(&space, &fashion::evaluation(1000)?).await?;

    title("4. Version 2 as a canary, under 60 requests a second: kubectl apply -f examples/quickstart-v2.yaml");
    let load = LoadPod::start(&space, NAME, 60).await?;
    let first = stable(&space).await?;
    apply("quickstart-v2.yaml").await?;
    follow_under_load(&space, &load, |m| is_ready(m) && revision(m) != first).await?;
    let second = stable(&space).await?;
    println!("promoted: {first} -> {second}");

    title("5. Version 3 is bad, and nobody closed the gates: kubectl apply -f examples/quickstart-v3-bad.yaml");
    apply("quickstart-v3-bad.yaml").await?;
    follow_under_load(&space, &load, |m| condition(m, "Stalled") == "True").await?;
    let report = load.stop().await?;
    get(&["-o", "wide"]).await?;
    println!(
        "{} requests at {:.0}/s during all of it: {} failed, {:.1} % right, p50 {:.1} ms, p99 {:.1} ms",
        report.sent,
        report.rate(),
        report.failed,
        100.0 * report.correct as f64 / report.answered.max(1) as f64,
        report.quantile(0.5) * 1e3,
        report.quantile(0.99) * 1e3
    );
    if report.failed > 0 {
        bail!("requests failed:\n{}", report.failures.join("\n"));
    }

    title("What to try next");
    println!(
        "  e2e/cluster/cluster exec kubectl -n {NAMESPACE} get modeldeployment {NAME} -o yaml   the whole status\n  \
         e2e/cluster/cluster exec kubectl -n {NAMESPACE} get events --sort-by=.lastTimestamp\n  \
         e2e/cluster/cluster exec kubectl -n {NAMESPACE} apply -f examples/quickstart.yaml   forward to version 1 again\n  \
         e2e/cluster/cluster exec kubectl -n {NAMESPACE} apply -f examples/edge.yaml   another example\n  \
         make test   all tests, on this cluster\n  \
         make cluster-down   end the cluster and put the machine back as it was"
    );
    Ok(())
}

fn title(text: &str) {
    println!("\n\x1b[1;36m{text}\x1b[0m");
}

async fn apply(file: &str) -> Result<()> {
    let path = install::root().join("examples").join(file);
    print!("{}", kubectl(&["-n", NAMESPACE, "apply", "-f", &path.to_string_lossy()]).await?);
    Ok(())
}

async fn get(more: &[&str]) -> Result<()> {
    let arguments = [&["-n", NAMESPACE, "get", "modeldeployment", NAME], more].concat();
    println!("{}", kubectl(&arguments).await?);
    Ok(())
}

fn revision(object: &ModelDeployment) -> String {
    object.status.as_ref().and_then(|s| s.stable.as_ref()).map(|s| s.revision.clone()).unwrap_or_default()
}

async fn stable(space: &Space) -> Result<String> {
    Ok(revision(&space.api::<ModelDeployment>().get(NAME).await?))
}

/// Prints what the status says whenever it says something new, until `done`.
async fn follow(space: &Space, done: impl FnMut(&ModelDeployment) -> bool) -> Result<()> {
    watch(space, None, done).await
}

async fn follow_under_load(space: &Space, load: &LoadPod, done: impl FnMut(&ModelDeployment) -> bool) -> Result<()> {
    watch(space, Some(load), done).await
}

async fn traffic(load: &LoadPod) -> Result<String> {
    let seen = load.seen().await?;
    let shares: Vec<String> = seen.by_revision.iter().map(|(r, n)| format!("{r} {n}")).collect();
    Ok(format!(" | answered by {} | {} failed", shares.join(", "), seen.failed))
}

async fn watch(space: &Space, load: Option<&LoadPod>, mut done: impl FnMut(&ModelDeployment) -> bool) -> Result<()> {
    let api: Api<ModelDeployment> = space.api();
    let (began, mut last, mut said) = (Instant::now(), String::new(), Instant::now());
    loop {
        let object = api.get(NAME).await?;
        let status = object.status.clone().unwrap_or_default();
        let line = format!("{:<11} {:<5} {}", format!("{:?}", status.phase), status.canary_weight, status.message);
        let moving =
            matches!(status.phase, Phase::Canary | Phase::Promoting) && said.elapsed() > Duration::from_secs(3);
        if line != last || moving {
            let more = if let Some(load) = load { traffic(load).await? } else { String::new() };
            println!("{:5.1} s  {line}{more}", began.elapsed().as_secs_f64());
            last = line;
            said = Instant::now();
        }
        if done(&object) {
            return Ok(());
        }
        if condition(&object, "Stalled") == "True" && status.observed_generation == object.metadata.generation {
            bail!("this should not have happened: {}", serde_json::to_string_pretty(&object.status)?);
        }
        if began.elapsed() > LIMIT {
            bail!("waited {LIMIT:?}: {}", serde_json::to_string_pretty(&object.status)?);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The table of candidates.
async fn candidates(space: &Space) -> Result<()> {
    let object = space.api::<ModelDeployment>().get(NAME).await?;
    let list = object.status.and_then(|s| s.optimization).context("no optimization in status")?.candidates;
    println!(
        "\n{:<12} {:<9} {:>8} {:>8} {:>9} {:>8} {:>8}",
        "CANDIDATE", "STATE", "TOP-1", "CHANGE", "CPU MS", "SPEEDUP", "SIZE"
    );
    let number = |v: Option<f64>, digits: usize, unit: &str| v.map_or("-".into(), |v| format!("{v:.digits$}{unit}"));
    for c in list {
        println!(
            "{:<12} {:<9} {:>8} {:>8} {:>9} {:>8} {:>8}",
            c.name,
            format!("{:?}", c.state),
            number(c.accuracy, 2, "%"),
            number(c.accuracy_change, 2, ""),
            number(c.latency_milliseconds, 3, ""),
            number(c.speedup, 2, "x"),
            number(c.size_ratio.map(|r| r * 100.0), 1, "%"),
        );
    }
    println!();
    Ok(())
}

async fn predictions(space: &Space, samples: &[Sample]) -> Result<()> {
    let forward = Forward::to(space, NAME).await?;
    let http = oip::client().build()?;
    println!("{}", samples.first().context("no images")?.drawing());
    println!("{:<14} {:<14}", "LABEL", "PREDICTION");
    let name = |class: usize| CLASSES.get(class).copied().unwrap_or("?");
    let mut right = 0;
    for (n, sample) in samples.iter().enumerate() {
        let answer = oip::infer(&http, &forward.http, NAME, &sample.tensor()).await?;
        right += usize::from(answer.class == sample.label);
        if n < 12 {
            let mark = if answer.class == sample.label { "✓" } else { "✗" };
            println!("{:<14} {:<14} {mark}", name(sample.label), name(answer.class));
        }
    }
    println!("…\n{right} of {} right", samples.len());
    Ok(())
}
