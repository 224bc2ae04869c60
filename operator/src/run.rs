use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::claim::Claim;
use crate::cluster::Kubernetes;
use crate::config::{Config, LeaseName};
use crate::lease::Election;
use crate::metrics::Metrics;
use crate::reconcile::Context;
use crate::sources::Sources;
use crate::{admin, watch};

/// For passes under way after SIGTERM; below the 30 s that a pod is given.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// The operator, until SIGTERM (`Ok`) or until it may not write any more (`Err`).
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut kube_config = kube::Config::infer().await.context("no kubeconfig and not in a pod")?;
    kube_config.connect_timeout = Some(Duration::from_secs(5));
    let watching = Client::try_from(kube_config.clone())?;
    // A question that stays without an answer must not hold a pass for ever; a watch is silent for minutes by nature.
    kube_config.read_timeout = Some(Duration::from_secs(15));
    kube_config.write_timeout = Some(Duration::from_secs(15));
    let asking = Client::try_from(kube_config)?;

    let metrics = Metrics::new();
    let stop = on_signal()?;
    let admin = tokio::spawn(admin::serve(config.http_port, asking.clone(), metrics.clone()));
    // What lists and bursts of passes have left.
    tokio::spawn(drydock_heap::give_back_while(|| true));
    let work = work(config, watching, asking, metrics, stop);
    tokio::select! {
        ended = admin => Err(anyhow::anyhow!("the HTTP server ended: {ended:?}")),
        ended = work => ended,
    }
}

async fn work(
    config: Config,
    watching: Client,
    asking: Client,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = watch::until_established(&asking, config.namespace.as_deref()) => {}
    }
    let claim = Arc::new(if config.lease.is_some() { Claim::not_held() } else { Claim::without_end() });
    let mut election = config.lease.as_ref().map(|LeaseName { name, namespace }| {
        let namespace = namespace.as_deref().unwrap_or(asking.default_namespace());
        Election::new(asking.clone(), namespace, name, &config.identity, claim.clone(), metrics.clone())
    });
    if let Some(election) = &mut election {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = election.win() => {}
        }
    } else {
        metrics.leader.set(1);
    }

    let cx = Context {
        cluster: Kubernetes::new(asking, claim, metrics.clone())?,
        defaults: config.defaults,
        shard: config.shard,
        sources: Sources::new(config.external_hosts)?,
        metrics,
        backoff: Backoff::default(),
        identity: config.identity,
    };
    let passes = watch::run(watching, config.namespace.as_deref(), config.concurrency, cx, stop.clone());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        // Ends the process, and with it every pass: nothing is written beside the new leader.
        () = keep(election.as_mut()) => anyhow::bail!("the Lease is lost"),
        () = drained => tracing::warn!("passes under way did not end within {DRAIN_WITHIN:?}"),
        () = passes => {}
    }
    if let Some(election) = &mut election {
        election.release().await;
    }
    Ok(())
}

async fn keep(election: Option<&mut Election>) {
    match election {
        Some(election) => election.keep().await,
        None => std::future::pending().await,
    }
}

/// Cancelled by SIGTERM and SIGINT.
fn on_signal() -> anyhow::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("stopping: passes under way are finished first");
        cancel.cancel();
    });
    Ok(stop)
}
