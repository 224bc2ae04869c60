//! What pods say of themselves.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels::{self, label};
use crate::names;

/// The pods of one revision, as [`of_revisions`].
pub fn of_revision<'a>(pods: &'a [Pod], md: &str, revision: &str) -> Vec<&'a Pod> {
    of_revisions(pods, md, |of| of == revision)
}

/// The pods of the revisions that `is_one` says, without those that are on their way out: the pods of their Deployments, and not what has
/// only their labels.
pub fn of_revisions<'a>(pods: &'a [Pod], md: &str, is_one: impl Fn(&str) -> bool) -> Vec<&'a Pod> {
    let is_of = |p: &&Pod| {
        let revision = label(&p.metadata, labels::REVISION).filter(|revision| is_one(revision));
        revision.is_some_and(|revision| is_of_deployment(&p.metadata, &names::revision(md, revision)))
    };
    let mut found: Vec<&Pod> = pods
        .iter()
        .filter(|p| label(&p.metadata, labels::NAME) == Some(md))
        .filter(is_of)
        .filter(|p| p.metadata.deletion_timestamp.is_none() && !is_over(p))
        .collect();
    found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    found
}

/// Whether a pod's controller is a ReplicaSet of the Deployment. By the ReplicaSet's name, which is the Deployment's and the hash
/// that the pod is labelled with: to look up the ReplicaSet's own owner, each pass would have to read one more kind.
fn is_of_deployment(pod: &ObjectMeta, deployment: &str) -> bool {
    let Some(hash) = label(pod, labels::POD_TEMPLATE_HASH) else { return false };
    let owners = pod.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|o| o.controller == Some(true) && o.kind == "ReplicaSet");
    controller.and_then(|o| o.name.strip_prefix(deployment)?.strip_prefix('-')) == Some(hash)
}

fn is_over(pod: &Pod) -> bool {
    matches!(phase(pod), Some("Succeeded" | "Failed"))
}

pub fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

pub fn is_ready(pod: &Pod) -> bool {
    readiness(pod).is_some_and(|c| c.status == "True")
}

/// Ready for long enough that every node sends it what its Service gets. Until then connections are refused, and a good
/// canary would begin with failures.
pub fn is_reachable(pod: &Pod, now: Timestamp) -> bool {
    /// EndpointSlices and kube-proxy take well under a second each; seen here: up to 1 s together.
    const PROPAGATION: SignedDuration = SignedDuration::from_secs(3);
    // By the kubelet's clock: where ours is slow, a pod has not been ready for a negative time.
    let since = readiness(pod).filter(|c| c.status == "True").map(|c| c.last_transition_time.as_ref());
    since.is_some_and(|since| since.is_none_or(|since| now.duration_since(since.0).abs() >= PROPAGATION))
}

fn readiness(pod: &Pod) -> Option<&PodCondition> {
    pod.status.as_ref()?.conditions.as_deref()?.iter().find(|c| c.type_ == "Ready")
}

pub fn containers(pod: &Pod) -> &[ContainerStatus] {
    pod.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or_default()
}

/// A container that cannot stay up: in back-off, or restarted again since `since` and not for the first time.
pub fn crash_loop(pods: &[&Pod], since: Option<Timestamp>) -> Option<String> {
    pods.iter().flat_map(|p| containers(p)).find_map(|c| {
        let waits = waiting(c).is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
        let last = last_end(c);
        let lately = match (last.and_then(|t| t.finished_at.as_ref()), since) {
            (Some(at), Some(since)) => at.0 >= since,
            _ => true,
        };
        (waits || (c.restart_count >= 2 && lately)).then(|| {
            let how = last.map_or_else(|| "it does not stay up".to_owned(), ended);
            format!("container {} restarted {} times; {how}", c.name, c.restart_count)
        })
    })
}

/// Why the first pod that is not ready is not.
pub fn excuse(pods: &[&Pod]) -> Option<String> {
    pods.iter().filter(|p| !is_ready(p)).find_map(|p| {
        let of_container = containers(p).iter().find_map(|c| {
            if let Some((reason, message)) = waiting(c) {
                // These are said of every pod that starts.
                return (!matches!(reason, "ContainerCreating" | "PodInitializing"))
                    .then(|| join(&format!("container {} waits: {reason}", c.name), message));
            }
            last_end(c).map(|t| format!("container {} ended: {}", c.name, ended(t)))
        });
        of_container.or_else(|| unscheduled(p))
    })
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    Some(join(scheduled.reason.as_deref().unwrap_or("Unschedulable"), scheduled.message.as_deref().unwrap_or_default()))
}

fn waiting(c: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = c.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
}

fn last_end(c: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now = c.state.as_ref().and_then(|s| s.terminated.as_ref());
    now.or_else(|| c.last_state.as_ref().and_then(|s| s.terminated.as_ref()))
}

fn ended(t: &ContainerStateTerminated) -> String {
    let reason = t.reason.as_deref().unwrap_or("Error");
    let what = format!("{reason}, exit code {}", t.exit_code);
    // The last line says most: it is where an error chain ends.
    join(&what, t.message.as_deref().unwrap_or_default().trim().lines().last().unwrap_or_default())
}

fn join(what: &str, message: &str) -> String {
    if message.is_empty() { what.to_owned() } else { format!("{what}: {}", cut(message, 300)) }
}

/// At most so many characters.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};

    use super::*;

    #[test]
    fn a_pod_with_copied_labels_is_not_of_the_revision() {
        let pod = |kind: &str, owner: &str, hash: Option<&str>| {
            let hash = hash.map(|h| (labels::POD_TEMPLATE_HASH, h));
            let labels = [(labels::NAME, "m"), (labels::REVISION, "r1")].into_iter().chain(hash);
            let owner = OwnerReference {
                kind: kind.into(),
                name: owner.into(),
                controller: Some(true),
                ..OwnerReference::default()
            };
            Pod {
                metadata: ObjectMeta {
                    labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
                    owner_references: (!kind.is_empty()).then(|| vec![owner]),
                    ..ObjectMeta::default()
                },
                ..Pod::default()
            }
        };
        for (kind, owner, hash, is_of) in [
            ("ReplicaSet", "m-r1-5c8d", Some("5c8d"), true),
            ("ReplicaSet", "m-r1-5c8d", Some("77f0"), false),
            ("ReplicaSet", "m-r1-5c8d", None, false),
            ("ReplicaSet", "m-debug-5c8d", Some("5c8d"), false),
            ("ReplicaSet", "m-r1-copy-5c8d", Some("5c8d"), false),
            ("StatefulSet", "m-r1-5c8d", Some("5c8d"), false),
            ("", "", Some("5c8d"), false),
        ] {
            let pod = pod(kind, owner, hash);
            assert_eq!(of_revision(std::slice::from_ref(&pod), "m", "r1").len(), usize::from(is_of), "{pod:?}");
        }
    }

    #[test]
    fn ready_is_not_yet_reachable() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (status, seconds_ago, reachable) in [
            ("True", Some(0), false),
            ("True", Some(2), false),
            ("True", Some(3), true),
            ("True", Some(-1), false),
            ("True", Some(-60), true),
            ("True", None, true),
            ("False", Some(60), false),
        ] {
            let condition = PodCondition {
                type_: "Ready".into(),
                status: status.into(),
                last_transition_time: seconds_ago.map(|s| Time(now - SignedDuration::from_secs(s))),
                ..PodCondition::default()
            };
            let status_ = PodStatus { conditions: Some(vec![condition]), ..PodStatus::default() };
            let pod = Pod { status: Some(status_), ..Pod::default() };
            assert_eq!(is_reachable(&pod, now), reachable, "{status} since {seconds_ago:?} s");
            assert_eq!(is_ready(&pod), status == "True");
        }
        assert!(!is_reachable(&Pod::default(), now));
    }
}
