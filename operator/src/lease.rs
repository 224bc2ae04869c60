//! Leader election on a `coordination.k8s.io` Lease. Who may write is decided here, by [`decide`]; [`Claim`] carries it.
//!
//! Times, from the side of a leader that is cut off: it stops by itself 10 s after the last renewal was *sent*; nobody
//! takes over before 15 s after that renewal *arrived*. The clocks of two machines are never compared.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use crate::claim::Claim;
use crate::cluster::ClusterError;
use crate::metrics::Metrics;

/// Others leave a Lease alone for this long after its last renewal.
const DURATION: Duration = Duration::from_secs(15);
/// A leader stops this long after its last successful renewal.
const DEADLINE: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Between tries of a standby, and of a leader whose renewal failed.
const TRY_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Create,
    Take,
    Renew,
    Wait,
}

/// `unchanged`: how long we have seen just this Lease, by our own clock.
pub fn decide(lease: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Decision {
    let Some(lease) = lease else { return Decision::Create };
    match lease.holder_identity.as_deref() {
        None | Some("") => Decision::Take,
        Some(holder) if holder == me => Decision::Renew,
        Some(_) => {
            let duration = lease.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
            if unchanged >= duration.map_or(DURATION, Duration::from_secs) { Decision::Take } else { Decision::Wait }
        }
    }
}

/// The Lease as `me` would write it.
fn held(before: Option<&LeaseSpec>, me: &str, now: Timestamp) -> LeaseSpec {
    let transitions = before.and_then(|l| l.lease_transitions).unwrap_or_default();
    let since = before.filter(|l| l.holder_identity.as_deref() == Some(me)).and_then(|l| l.acquire_time.clone());
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(DURATION.as_secs() as i32),
        lease_transitions: Some(transitions + i32::from(before.is_some() && since.is_none())),
        acquire_time: Some(since.unwrap_or(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    }
}

/// Why a try did not make us leader, or keep us so.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("{0} holds the Lease")]
    Held(String),
    #[error("no answer from the API server within {ANSWER_WITHIN:?}")]
    NoAnswer,
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Takes part in the election.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    me: String,
    claim: Arc<Claim>,
    metrics: Metrics,
    /// The Lease's resourceVersion, and when we first saw it.
    seen: Option<(String, Instant)>,
}

impl Election {
    pub fn new(client: Client, namespace: &str, name: &str, me: &str, claim: Arc<Claim>, metrics: Metrics) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, name: name.to_owned(), me: me.to_owned(), claim, metrics, seen: None }
    }

    /// Returns when the Lease is ours.
    pub async fn win(&mut self) {
        let mut said = String::new();
        loop {
            match self.attempt().await {
                Ok(()) => {
                    tracing::info!(lease = self.name, identity = self.me, "leading");
                    self.metrics.leader.set(1);
                    return;
                }
                Err(error) => {
                    // A standby asks every second; the log says only what is new.
                    let now = error.to_string();
                    if now != said {
                        tracing::info!(lease = self.name, reason = now, "standing by");
                        said = now;
                    }
                }
            }
            sleep(TRY_EVERY.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Renews the Lease; returns when it is lost, or could be.
    pub async fn keep(&mut self) {
        loop {
            sleep(RENEW_EVERY.min(self.claim.left())).await;
            while let Err(error) = self.attempt().await {
                tracing::warn!(lease = self.name, %error, "the Lease was not renewed");
                if matches!(error, TryError::Held(_)) || !self.claim.is_held() {
                    self.claim.give_up();
                    self.metrics.leader.set(0);
                    return;
                }
                sleep(TRY_EVERY.min(self.claim.left())).await;
            }
        }
    }

    /// Leaves the Lease without a holder, so that a standby takes it at once. Nothing may be written after this.
    pub async fn release(&mut self) {
        self.claim.give_up();
        self.metrics.leader.set(0);
        // A renewal that was under way may arrive in between and cause a conflict.
        for _ in 0..3 {
            match self.write_released().await {
                Ok(()) => return tracing::info!(lease = self.name, "released"),
                Err(error) => tracing::warn!(lease = self.name, %error, "the Lease was not released"),
            }
        }
    }

    async fn attempt(&mut self) -> Result<(), TryError> {
        let sent = Instant::now();
        timeout(ANSWER_WITHIN, self.read_and_write()).await.map_err(|_| TryError::NoAnswer)??;
        self.claim.hold_until(sent + DEADLINE);
        Ok(())
    }

    async fn read_and_write(&mut self) -> Result<(), TryError> {
        let found = self.leases.get_opt(&self.name).await.map_err(ClusterError::from)?;
        let version = found.as_ref().and_then(|l| l.metadata.resource_version.clone()).unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => self.seen.insert((version, Instant::now())).1,
        };
        let before = found.as_ref().and_then(|l| l.spec.as_ref());
        // A Lease without a spec has no holder.
        let empty = LeaseSpec::default();
        let decision = decide(found.as_ref().map(|_| before.unwrap_or(&empty)), &self.me, since.elapsed());
        if decision == Decision::Wait {
            let holder = before.and_then(|l| l.holder_identity.clone());
            return Err(TryError::Held(holder.unwrap_or_default()));
        }
        #[expect(clippy::disallowed_methods, reason = "for people: no decision compares it with another clock")]
        let spec = held(before, &self.me, Timestamp::now());
        self.write(found, spec).await.map_err(ClusterError::from)?;
        Ok(())
    }

    async fn write_released(&self) -> Result<(), TryError> {
        let release = async {
            let Some(found) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
            let Some(spec) = found.spec.clone().filter(|l| l.holder_identity.as_ref() == Some(&self.me)) else {
                return Ok(());
            };
            self.write(Some(found), LeaseSpec { holder_identity: None, ..spec }).await
        };
        timeout(ANSWER_WITHIN, release).await.map_err(|_| TryError::NoAnswer)?.map_err(ClusterError::from)?;
        Ok(())
    }

    /// The one place that reads, changes and replaces: of two that try at once, the resourceVersion lets one through.
    async fn write(&self, found: Option<Lease>, spec: LeaseSpec) -> Result<(), kube::Error> {
        if let Some(found) = found {
            self.metrics.wrote("Lease", "update");
            let lease = Lease { spec: Some(spec), ..found };
            self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
        } else {
            self.metrics.wrote("Lease", "create");
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            self.leases.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
