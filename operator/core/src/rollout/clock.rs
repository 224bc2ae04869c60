//! Moments that lie ahead: the clock that wrote them was set back, or that of the operator before this one was fast.

use drydock_crds::{GatewayStatus, Rollout, RolloutStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::whole_seconds;

/// What has begun has begun by now, and what is waited for is as far as the wait is long: a clock that was an hour fast would hold a step for
/// an hour more.
pub fn set_right(mut at: RolloutStatus, policy: &Rollout, now: Timestamp) -> RolloutStatus {
    let gateway =
        at.gateway.as_mut().map(|GatewayStatus { pending_since, silent_since, .. }| [pending_since, silent_since]);
    let test = at.ab_test.as_mut().map(|test| &mut test.since);
    let begun = [&mut at.since, &mut at.step_since].into_iter().chain(gateway.into_iter().flatten()).chain(test);
    for moment in begun {
        no_later(moment, &whole_seconds(now));
    }
    no_later(&mut at.previous_until, &replaced_until(policy, now));
    at
}

/// How long what is replaced now is kept.
pub fn replaced_until(policy: &Rollout, now: Timestamp) -> Time {
    let delay = SignedDuration::from_secs(policy.scale_down_delay_seconds.into());
    let now = whole_seconds(now);
    now.0.checked_add(delay).map_or(now, Time)
}

fn no_later(moment: &mut Option<Time>, most: &Time) {
    if moment.as_ref().is_some_and(|moment| moment.0 > most.0) {
        *moment = Some(most.clone());
    }
}
