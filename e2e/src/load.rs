//! A constant, open-loop load: requests leave on time whether or not the ones before were answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fashion::Sample;
use crate::oip;

/// What a load saw so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub sent: u64,
    pub answered: u64,
    /// Answers that are the class on the label.
    pub correct: u64,
    pub failed: u64,
    /// The first failures, with the time since the load began.
    pub failures: Vec<String>,
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

/// A running load. Every other request opens a connection of its own, so that both kept and fresh connections are tried.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    report: Arc<Mutex<Report>>,
    began: Instant,
}

const KEPT_FAILURES: usize = 20;

impl Load {
    pub fn start(base: String, model: String, samples: Arc<Vec<Sample>>, per_second: u32) -> Self {
        let stop = CancellationToken::new();
        let report = Arc::new(Mutex::new(Report::default()));
        let began = Instant::now();
        let task = tokio::spawn(run(base, model, samples, per_second, report.clone(), stop.clone(), began));
        Self { stop, task, report, began }
    }

    pub fn seen(&self) -> Report {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report.elapsed = self.began.elapsed();
        report
    }

    /// Sends no more, waits for the answers that are due.
    pub async fn stop(self) -> Report {
        let elapsed = self.began.elapsed();
        self.stop.cancel();
        let _ = self.task.await;
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report.elapsed = elapsed;
        report
    }
}

fn client(keep: bool) -> reqwest::Client {
    let builder = oip::client().timeout(Duration::from_secs(10));
    let builder = if keep { builder } else { builder.pool_max_idle_per_host(0) };
    builder.build().unwrap_or_default()
}

async fn run(
    base: String,
    model: String,
    samples: Arc<Vec<Sample>>,
    per_second: u32,
    report: Arc<Mutex<Report>>,
    stop: CancellationToken,
    began: Instant,
) {
    let clients = [client(true), client(false)];
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    let mut requests = JoinSet::new();
    for n in 0_usize.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        let due = Instant::now();
        let (http, base, model) = (clients[n % 2].clone(), base.clone(), model.clone());
        let (samples, report) = (samples.clone(), report.clone());
        report.lock().unwrap_or_else(PoisonError::into_inner).sent += 1;
        requests.spawn(async move {
            let sample = &samples[n % samples.len()];
            let answer = oip::infer(&http, &base, &model, &sample.tensor()).await;
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(answer) => {
                    report.answered += 1;
                    report.correct += u64::from(answer.class == sample.label);
                    *report.by_revision.entry(answer.revision).or_default() += 1;
                    report.latencies.push(due.elapsed().as_secs_f64());
                }
                Err(error) => {
                    report.failed += 1;
                    if report.failures.len() < KEPT_FAILURES {
                        let kind = if n % 2 == 0 { "kept" } else { "fresh" };
                        report
                            .failures
                            .push(format!("{:.2} s, {kind} connection: {error}", began.elapsed().as_secs_f64()));
                    }
                }
            }
        });
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}
