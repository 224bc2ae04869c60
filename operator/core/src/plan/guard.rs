use drydock_crds::Router;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::revisions::Revisions;
use super::tracks::Tracks;
use super::{Plan, Wake, desired, diff, routing};
use crate::resolved::Replicas;
use crate::rollout::{Routes, Shares};
use crate::{Memory, Observed, Outlook, Resolved, labels};

/// One pass while the spec cannot be worked with: what is served is kept as it was made, the canary that nobody can judge
/// gets no request, and nothing goes. The rollout goes on at the step where it was once the spec is valid again.
///
/// `kept` comes from [`crate::keep`].
pub fn guard(kept: &Resolved, observed: &Observed, memory: &Memory, now: Timestamp) -> Plan {
    let mut memory = memory.clone();
    if memory.rollout.canary.is_some() {
        // The clock stands still: a stage without requests says nothing of the canary, and begins again.
        memory.rollout.since = None;
        memory.rollout.step_since = None;
    }
    let mut kept = kept.clone();
    kept_gateway(&mut kept, observed);
    if let Some(gateway) = &mut memory.rollout.gateway
        && routing::see(&kept, observed, &Shares::default()) == Routes::InForce
    {
        gateway.weight = 0;
    }
    let at = &memory.rollout;
    let is_ours = |a: &HorizontalPodAutoscaler| labels::is_controlled_by(&a.metadata, &kept.owner.uid);
    if matches!(kept.serving.replicas, Replicas::Fixed(_)) && observed.autoscalers.iter().any(is_ours) {
        // Those of the last valid spec are not pruned, and a number that is set beside one does not stay.
        kept.serving.replicas = Replicas::Unknown;
    }
    let revisions = Revisions::recorded(&kept, observed);
    let mut tracks = Tracks::see(&kept, observed, at, now);
    tracks.weight = 0;
    tracks.may_send = 0;
    let desired = desired::serving(&kept, observed, at, &tracks, &revisions, &desired::News::default());
    let diff = diff::diff(&kept, observed, desired, &desired::live(at));
    Plan {
        scales: tracks.scales(&kept, observed, &diff),
        splits: tracks.splits(&kept, at),
        outlook: Outlook { foreign: diff.foreign, ending: diff.ending, ..tracks.outlook(&kept, at, None, None, now) },
        writes: diff.writes,
        records: Vec::new(),
        prune: Vec::new(),
        questions: Vec::new(),
        notices: Vec::new(),
        wake: Wake::OnChange,
        memory,
    }
}

/// Where the spec cannot be read, the routes that are there: the gateway must not go on sending the canary its share.
fn kept_gateway(kept: &mut Resolved, observed: &Observed) {
    if kept.rollout.gateway.is_none()
        && let Some(gateway) = routing::found(kept, observed)
    {
        kept.rollout.router = Router::Gateway;
        kept.rollout.gateway = Some(gateway);
    }
}
