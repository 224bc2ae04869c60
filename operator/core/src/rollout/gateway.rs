//! A gateway as the router: a weight counts when every parent of the routes has accepted it.

use drydock_crds::{GatewayStatus, Rollout, RolloutStage, RolloutStatus, Router};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Signals, whole_seconds};

/// For a parent to accept a route. It takes gateways well under a second; one that is just being installed takes more. And for pods that
/// do not say what they have counted: nobody answers in a canary's place here, so what it does must be known soon.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// How the routes stand to what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Routes {
    /// Every parent has accepted them just as they should be; or there is another router.
    #[default]
    InForce,
    /// Not written, or not accepted; why.
    Pending(String),
    /// The cluster does not have the Gateway API.
    ApiMissing,
}

/// Keeps in mind what the gateway does. A stage's time, and its counts, begin when its weight counts.
pub fn follow(next: &mut RolloutStatus, s: &Signals, policy: &Rollout, now: Timestamp) {
    if policy.router != Router::Gateway {
        next.gateway = None;
        return;
    }
    let before = next.gateway.clone().unwrap_or_default();
    let since =
        |holds: bool, before: &Option<Time>| holds.then(|| before.clone().unwrap_or_else(|| whole_seconds(now)));
    // Before the first revision there is nothing to route to.
    let is_pending = next.stable.is_some() && s.routes != Routes::InForce;
    next.gateway = Some(GatewayStatus {
        weight: if is_pending { before.weight } else { s.weight },
        pending_since: since(is_pending, &before.pending_since),
        silent_since: since(s.silent > 0 && next.canary.is_some(), &before.silent_since),
    });
    let is_news = before.pending_since.is_some() || before.weight != s.weight;
    if !is_pending && is_news && next.stage == RolloutStage::Holding && next.since.is_some() {
        next.since = Some(whole_seconds(now));
    }
}

/// Whether the routes have not been accepted for longer than that should take.
pub fn is_late(at: &RolloutStatus, now: Timestamp) -> bool {
    let since = at.gateway.as_ref().and_then(|g| g.pending_since.as_ref());
    since.is_some_and(|since| now.duration_since(since.0) > PATIENCE)
}

/// Whether pods have not said for longer than that what they have counted.
pub fn is_silent(at: &RolloutStatus, now: Timestamp) -> bool {
    let since = at.gateway.as_ref().and_then(|g| g.silent_since.as_ref());
    since.is_some_and(|since| now.duration_since(since.0) > PATIENCE)
}
