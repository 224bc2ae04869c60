//! Many objects of one controller at once: created, settled, at rest, changed, deleted; and what that costs it. Prints a line of JSON
//! for each phase. `e2e/kwok/run.sh scale` runs it for Drydock and for Argo Rollouts, one after the other, on one API server.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

mod audit;
mod contender;
mod times;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use contender::Contender;
use drydock_kwok::process::Process;
use drydock_kwok::{ground, sidecars};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use times::Times;
use tokio::time::{Instant, sleep};

/// Requests of ours that are under way at the same time.
const AT_ONCE: usize = 16;
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Debug, Parser)]
struct Args {
    contender: Contender,
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// As many of Drydock's operators, each with its share of the objects; 0: one for all.
    #[arg(long, default_value_t = 0)]
    shards: usize,
    /// Of rest, after everything has settled.
    #[arg(long, default_value_t = 60)]
    rest_seconds: u64,
    /// The controller's program.
    #[arg(long)]
    program: PathBuf,
    /// Of the user that the audit log knows the controller by.
    #[arg(long)]
    user_kubeconfig: PathBuf,
    /// What the controller says.
    #[arg(long)]
    log: PathBuf,
}

struct Fleet {
    args: Args,
    client: Client,
    processes: Vec<Process>,
    times: Arc<Times>,
    audit: String,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let client = ground::client().await?;
    let space = args.contender.namespace();
    ground::namespace(&client, space).await?;
    let times = Arc::new(Times::default());
    if args.contender == Contender::Drydock {
        sidecars::serve(client.clone()).await?;
        let client = &client;
        let volumes = (0..args.count).map(|n| async move { ground::volume(client, space, &name(n)).await });
        stream::iter(volumes).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    times::watch(&client, args.contender, &times);
    let start = |shard: Option<usize>| {
        let mut command = Command::new(&args.program);
        command.env("KUBECONFIG", &args.user_kubeconfig).args(args.contender.arguments(&args.user_kubeconfig));
        command.args(shard.map(|n| format!("--shard={n}")));
        Process::start(&mut command, &args.log)
    };
    let processes = match args.shards {
        0 => vec![start(None)?],
        shards => (0..shards).map(|n| start(Some(n))).collect::<Result<_>>()?,
    };
    let audit = std::env::var("DRYDOCK_AUDIT_LOG").context("run through e2e/kwok/control-plane exec")?;
    sleep(Duration::from_secs(5)).await;
    let mut fleet = Fleet { args, client, processes, times, audit };
    fleet.live().await
}

fn name(n: usize) -> String {
    format!("m-{n}")
}

impl Fleet {
    async fn live(&mut self) -> Result<()> {
        self.say("started", &json!({"rssKib": self.memory()?.0}));
        self.phase("created", Self::all_created).await?;
        // What follows from the last change is still part of the work.
        sleep(Duration::from_secs(20)).await;
        self.phase("at rest", Self::nothing).await?;
        self.phase("changed", Self::all_changed).await?;
        sleep(Duration::from_secs(20)).await;
        self.phase("deleted", Self::all_deleted).await?;
        Ok(())
    }

    /// Of all of them together.
    fn cpu(&self) -> Result<Duration> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// Resident set now and its peak, in KiB, of the largest of them.
    fn memory(&self) -> Result<(u64, u64)> {
        let all = self.processes.iter().map(Process::memory).collect::<Result<Vec<_>>>()?;
        Ok(all.into_iter().fold((0, 0), |most, m| (most.0.max(m.0), most.1.max(m.1))))
    }

    /// Does it, and says what it cost.
    async fn phase(&mut self, what: &str, act: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let (from, cpu, began) = (audit::length(&self.audit)?, self.cpu()?, Instant::now());
        self.times.forget();
        act(self).await?;
        let seconds = began.elapsed().as_secs_f64();
        if !self.processes.iter_mut().all(Process::is_alive) {
            bail!("the controller has ended: see {}", self.args.log.display());
        }
        let (rss, peak) = self.memory()?;
        let requests = audit::requests(&self.audit, from, self.args.contender.user())?;
        let mut said = json!({"seconds": seconds, "cpuSeconds": self.cpu()?.saturating_sub(cpu).as_secs_f64(), "rssKib": rss, "peakKib": peak,
            "reads": requests.reads, "writes": requests.writes, "refused": requests.refused, "byKind": requests.by_kind});
        for (key, quantiles) in self.times.quantiles() {
            said[key] = quantiles;
        }
        self.say(what, &said);
        Ok(())
    }

    fn say(&self, phase: &str, what: &Value) {
        let line = json!({"contender": self.args.contender.user(), "phase": phase, "count": self.args.count, "shards": self.args.shards, "is": what});
        println!("scale: {line}");
    }

    fn api(&self) -> Api<DynamicObject> {
        let contender = self.args.contender;
        Api::namespaced_with(self.client.clone(), contender.namespace(), &contender.resource())
    }

    async fn apply_all(&self, image: &str) -> Result<()> {
        let api = &self.api();
        let all = (0..self.args.count).map(|n| async move {
            let mut object = self.args.contender.object(&name(n), image);
            if let Some(shard) = n.checked_rem(self.args.shards) {
                object["metadata"]["labels"] = json!({"drydock.dev/shard": shard.to_string()});
            }
            let params = PatchParams::apply(ground::MANAGER).force();
            let applied = api.patch(&name(n), &params, &Patch::Apply(object)).await?;
            self.times.asked(&applied.name_any());
            anyhow::Ok(())
        });
        stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn nothing(&self) -> Result<()> {
        sleep(Duration::from_secs(self.args.rest_seconds)).await;
        Ok(())
    }

    async fn all_created(&self) -> Result<()> {
        self.apply_all("sidecar:1").await?;
        self.until_settled("sidecar:1").await
    }

    async fn all_changed(&self) -> Result<()> {
        self.apply_all("sidecar:2").await?;
        self.until_settled("sidecar:2").await
    }

    /// By the watch: to list them all, again and again, would be work for the API server.
    async fn until_settled(&self, image: &str) -> Result<()> {
        self.until("all are settled", || self.times.settled(image) >= self.args.count).await
    }

    async fn all_deleted(&self) -> Result<()> {
        let api = &self.api();
        let all = (0..self.args.count).map(|n| async move {
            api.delete(&name(n), &DeleteParams::background()).await?;
            anyhow::Ok(())
        });
        stream::iter(all).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.until("all are gone", || self.times.left() == 0).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let left =
            Api::<k8s_openapi::api::core::v1::Pod>::namespaced(self.client.clone(), self.args.contender.namespace());
        let end = Instant::now() + LIMIT;
        while !left.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
            if Instant::now() > end {
                bail!("pods are left");
            }
            sleep(Duration::from_secs(1)).await;
        }
        namespaces.delete(self.args.contender.namespace(), &DeleteParams::default()).await?;
        Ok(())
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !holds() {
            if Instant::now() > end {
                bail!("waited {LIMIT:?} until {what}: {}", self.times.summary());
            }
            sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }
}
