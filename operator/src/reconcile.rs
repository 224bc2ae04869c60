//! One pass over one ModelDeployment: the pipe, on one screen.

use std::sync::Arc;
use std::time::Duration;

use drydock_crds::{ModelDeployment, Reason};
use drydock_operator_core::{
    AT_ONCE, Defaults, Memory, Notice, SpecErrors, Wake, announced, guard, invalid_status, keep, plan, resolve, status,
    wake,
};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use tokio::time::Instant;

use crate::apply::apply;
use crate::backoff::{Backoff, FIRST};
use crate::cluster::{ClusterError, ReadCluster, WriteCluster};
use crate::metrics::Metrics;
use crate::named::Named;
use crate::observe::observe;
use crate::publish::{Say, publish};
use crate::seen::Seen;
use crate::shard::Shard;
use crate::sources::Sources;
use crate::target::Target;

/// What the watch holds of each: a pass asks for the rest. So one that cannot be parsed does not stop the others, too.
pub type Watched = Named<ModelDeployment>;

/// A look without a reason, in case an event was lost.
const RESYNC: Duration = Duration::from_mins(10);

/// What all passes share.
#[derive(Debug)]
pub struct Context<C> {
    pub cluster: C,
    pub defaults: Defaults,
    pub shard: Shard,
    pub sources: Sources,
    pub metrics: Metrics,
    pub backoff: Backoff,
    /// Of this replica; events name it.
    pub identity: String,
}

/// I/O failed: try again. A spec that is wrong is not an error but a status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the ModelDeployment or its children: {0}")]
    Observe(#[source] ClusterError),
    /// `again`: what is remembered has changed all the same, and the next step is not to wait for what fails.
    #[error("writes failed: {}", failed.join("; "))]
    Apply { failed: Vec<String>, again: bool },
    #[error("cannot write the status: {0}")]
    Publish(#[source] ClusterError),
}

impl Error {
    fn stage(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Apply { .. } => "apply",
            Self::Publish(_) => "publish",
        }
    }
}

pub async fn reconcile<C: ReadCluster + WriteCluster>(
    watched: Arc<Watched>,
    cx: Arc<Context<C>>,
) -> Result<Action, Error> {
    let target = Target::of(&*watched);
    let began = Instant::now();
    let result = Box::pin(pass(&cx, &target)).await;
    cx.metrics.reconciled(began.elapsed(), result.as_ref().err().map(Error::stage));
    if result.is_ok() {
        cx.backoff.reset(&target);
    }
    result
}

async fn pass<C: ReadCluster + WriteCluster>(cx: &Context<C>, target: &Target) -> Result<Action, Error> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    let now = Timestamp::now();
    // Asked again: the copy of the watch may be older than our last status, which is the planner's memory.
    let found = cx.cluster.model_deployment(target).await.map_err(Error::Observe)?;
    let Some(found) = found else {
        cx.sources.ask(target, &[], now);
        return Ok(Action::await_change());
    };
    // The children of one that is deleted are owned: the garbage collector takes them. One that is in another shard by now is another operator's.
    if found.metadata.deletion_timestamp.is_some() || !cx.shard.has(found.metadata.labels.as_ref()) {
        cx.sources.ask(target, &[], now);
        return Ok(Action::await_change());
    }
    let seen = match Seen::read(found) {
        Ok(seen) => seen,
        Err(error) => {
            tracing::error!(model_deployment = %target, %error, "the status cannot be read: left as it is; is this an older operator?");
            // The watch does not tell when it has been put right.
            return Ok(Action::requeue(until(&Wake::OnChange, fastrand::f64())));
        }
    };
    let (before, generation) = (seen.status.as_ref(), seen.generation());
    let say = Say { target, seen: &seen, identity: &cx.identity, now };

    let md = seen.md.as_ref();
    let resolved = md.map_err(SpecErrors::clone).and_then(|md| resolve(md, &cx.defaults));
    let mut observed = observe(&cx.cluster, target, before).await.map_err(Error::Observe)?;
    observed.external = cx.sources.heard(target);
    let memory = Memory::of(before);
    let mut plan = if let Ok(resolved) = &resolved {
        plan(resolved, &observed, &memory, now)
    } else {
        let kept = keep(&seen.metadata, md.ok().map(|md| &md.spec), &cx.defaults);
        guard(&kept, &observed, &memory, now)
    };
    let applied = apply(&cx.cluster, &target.namespace, &observed, &plan).await;
    // Of what is in force by now; the next pass knows the answers.
    cx.sources.ask(target, &plan.questions, now);
    let next = match &resolved {
        Ok(resolved) => status(before, generation, resolved, &plan, &applied, now),
        Err(errors) => {
            if before.and_then(|s| s.observed_generation) != Some(generation) {
                plan.notices.push(Notice { warning: true, reason: Reason::InvalidSpec, note: errors.to_string() });
            }
            invalid_status(before, generation, errors, &plan, &applied, now)
        }
    };
    publish(&cx.cluster, &say, &next, announced(&plan, &next)).await.map_err(Error::Publish)?;

    let wake = wake(&plan, &memory, &next);
    if applied.failed.is_empty() {
        return Ok(Action::requeue(until(&wake, fastrand::f64())));
    }
    let failed = applied.failed.iter().map(ToString::to_string).collect();
    Err(Error::Apply { failed, again: wake == AT_ONCE })
}

/// kube's hook for a pass that failed.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub fn after_error<C>(watched: Arc<Watched>, error: &Error, cx: Arc<Context<C>>) -> Action {
    let target = Target::of(&*watched);
    let mut wait = cx.backoff.failed(&target);
    if matches!(error, Error::Apply { again: true, .. }) {
        wait = wait.min(FIRST);
    }
    tracing::warn!(model_deployment = %target, stage = error.stage(), %error, again_in_seconds = wait.as_secs(), "the pass failed");
    Action::requeue(wait)
}

/// The wait until the next pass; `jitter` in `0.0..1.0` moves the resync by up to 10 % either way.
fn until(wake: &Wake, jitter: f64) -> Duration {
    let resync = RESYNC.mul_f64(0.9 + jitter / 5.0);
    match wake {
        Wake::OnChange => resync,
        Wake::After(wait) => Duration::try_from(*wait).unwrap_or_default().min(resync),
    }
}

#[cfg(test)]
mod tests;
