use drydock_crds::ModelDeploymentStatus;
use drydock_operator_core::Notice;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::cluster::{ClusterError, WriteCluster};
use crate::seen::Seen;
use crate::target::Target;

const CONTROLLER: &str = "drydock.dev/operator";
/// The API server takes 1024 bytes.
const NOTE_LIMIT: usize = 1000;

/// Of what and in whose name something is said.
#[derive(Debug)]
pub struct Say<'a> {
    pub target: &'a Target,
    pub seen: &'a Seen,
    pub identity: &'a str,
    pub now: Timestamp,
}

/// Writes the status if it differs from what stands there, and then the events.
///
/// Events go out only beside a new status. The planner's memory is in the status: what is unchanged has not just
/// happened, and what could not be remembered will be said by the pass that remembers it.
pub async fn publish(
    cluster: &impl WriteCluster,
    say: &Say<'_>,
    next: &ModelDeploymentStatus,
    notices: &[Notice],
) -> Result<(), ClusterError> {
    if say.seen.status.as_ref() == Some(next) {
        return Ok(());
    }
    let target = say.target;
    cluster.apply_status(target, next).await?;
    for (i, notice) in notices.iter().enumerate() {
        let event = event(say, notice, i);
        if let Err(error) = cluster.create_event(&target.namespace, &event).await {
            // Events are for people and are gone after an hour anyway: no reason to do the pass again.
            tracing::warn!(model_deployment = %target, %error, reason = %notice.reason, "an event was not written");
        }
    }
    Ok(())
}

/// Not kube's `Recorder`: it takes two events with one reason for one event that happened twice and keeps the first's
/// text, so of three candidates that break a gate it would name one.
fn event(say: &Say<'_>, notice: &Notice, i: usize) -> Event {
    let Target { namespace, name } = say.target;
    let nanos = u128::try_from(say.now.as_nanosecond()).unwrap_or_default() + i as u128;
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{nanos:x}")),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(notice.reason.to_string()),
        note: Some(truncated(&notice.note)),
        action: Some("Reconcile".to_owned()),
        regarding: Some(say.seen.reference()),
        event_time: Some(MicroTime(say.now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(say.identity.to_owned()),
        ..Event::default()
    }
}

fn truncated(note: &str) -> String {
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    format!("{}…", &note[..note.floor_char_boundary(NOTE_LIMIT)])
}

#[cfg(test)]
mod tests;
