//! A constant, open-loop load: requests leave on time whether or not the ones before were answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::fashion::Sample;
use crate::{grpc, oip};

/// What a load saw so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub sent: u64,
    pub answered: u64,
    /// Answers that are the class on the label.
    pub correct: u64,
    pub failed: u64,
    /// The first and the last failures, with the time since the load began.
    pub failures: Vec<String>,
    /// Answers by protocol and kind of connection.
    pub by_way: BTreeMap<String, u64>,
    /// Answers by the revision that gave them.
    pub by_revision: BTreeMap<String, u64>,
    /// Seconds from the moment a request was due to its answer.
    pub latencies: Vec<f64>,
    pub elapsed: Duration,
}

impl Report {
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64()
    }

    pub fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
            .get(((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// Where the load goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// `http://host:port` of each protocol.
    pub http: String,
    pub grpc: String,
    pub model: String,
}

/// A running load. The requests take turns among the [`Way`]s.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    seen: Arc<Seen>,
}

/// What a client without CPU has missed for longer it does not send in one heap, which would be another load; the rate tells.
const LONGEST_DELAY: Duration = Duration::from_millis(250);
const KEPT_FAILURES: usize = 20;

impl Load {
    pub fn start(target: &Target, samples: Vec<Sample>, per_second: u32) -> Result<Self> {
        let stop = CancellationToken::new();
        let seen = Arc::new(Seen { report: Mutex::default(), began: Instant::now() });
        let senders = Sender::all(target)?;
        let task = tokio::spawn(run(senders, Arc::new(samples), per_second, seen.clone(), stop.clone()));
        Ok(Self { stop, task: Some(task), seen })
    }

    pub fn seen(&self) -> Report {
        let mut report = self.seen.report().clone();
        report.elapsed = self.seen.began.elapsed();
        report
    }

    /// Sends no more, waits for the answers that are due.
    pub async fn stop(&mut self) -> Report {
        let elapsed = self.seen.began.elapsed();
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        Report { elapsed, ..self.seen.report().clone() }
    }
}

#[derive(Debug)]
struct Seen {
    report: Mutex<Report>,
    began: Instant,
}

impl Seen {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both protocols, each on a connection that is kept and on one of its own, so that all of them are tried.
#[derive(Clone, Debug)]
enum Way {
    Rest(reqwest::Client),
    GrpcKept(grpc::Client),
    GrpcFresh,
}

#[derive(Clone, Debug)]
struct Sender {
    name: &'static str,
    way: Way,
    target: Target,
}

impl Sender {
    fn all(target: &Target) -> Result<[Self; 4]> {
        let rest = || oip::client().timeout(Duration::from_secs(10));
        let sender = |name, way| Self { name, way, target: target.clone() };
        Ok([
            sender("REST, kept connection", Way::Rest(rest().build()?)),
            sender("gRPC, kept connection", Way::GrpcKept(grpc::client(&target.grpc)?)),
            sender("REST, fresh connection", Way::Rest(rest().pool_max_idle_per_host(0).build()?)),
            sender("gRPC, fresh connection", Way::GrpcFresh),
        ])
    }

    async fn send(&self, tensor: &[u8]) -> Result<oip::Answer> {
        let Target { http, grpc, model } = &self.target;
        match &self.way {
            Way::Rest(client) => oip::infer(client, http, model, tensor).await,
            Way::GrpcKept(client) => grpc::infer(client, model, tensor).await,
            Way::GrpcFresh => grpc::infer(&grpc::client(grpc)?, model, tensor).await,
        }
    }
}

async fn run(
    senders: [Sender; 4],
    samples: Arc<Vec<Sample>>,
    per_second: u32,
    seen: Arc<Seen>,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    let mut requests = JoinSet::new();
    for n in 0_usize.. {
        tokio::select! {
            () = stop.cancelled() => break,
            at = tick.tick() => {
                if at.elapsed() > LONGEST_DELAY {
                    tick.reset();
                }
            }
        }
        let due = Instant::now();
        let (sender, samples, seen) = (senders[n % senders.len()].clone(), samples.clone(), seen.clone());
        seen.report().sent += 1;
        requests.spawn(async move {
            let sample = &samples[n % samples.len()];
            let answer = sender.send(&sample.tensor()).await;
            let mut report = seen.report();
            match answer {
                Ok(answer) => {
                    report.answered += 1;
                    report.correct += u64::from(answer.class == sample.label);
                    *report.by_way.entry(sender.name.to_owned()).or_default() += 1;
                    *report.by_revision.entry(answer.revision).or_default() += 1;
                    report.latencies.push(due.elapsed().as_secs_f64());
                }
                Err(error) => {
                    report.failed += 1;
                    let at = seen.began.elapsed().as_secs_f64();
                    if report.failures.len() == KEPT_FAILURES {
                        report.failures.remove(KEPT_FAILURES / 2);
                    }
                    report.failures.push(format!("{at:.2} s, {}: {error:#}", sender.name));
                }
            }
        });
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}
