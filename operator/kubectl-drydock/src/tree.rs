//! `get`: how it stands now.

use drydock_crds::{ModelDeployment, RolloutStage, RolloutStatus, TrackStatus};
use drydock_operator_core::{Observed, REVISION_LABEL, Step, course};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::revisions::{Revision, revisions};
use crate::tell::{Node, age, short, table};
use crate::why::metrics;

pub fn tree(md: &ModelDeployment, observed: &Observed, now: Timestamp) -> String {
    let status = md.status.clone().unwrap_or_default();
    let rollout = status.rollout.clone().unwrap_or_default();
    let known = revisions(md, &observed.revisions);
    let mut under: Vec<Node> = Vec::new();
    for revision in &known {
        let track = match revision.part {
            "stable" => status.stable.as_ref(),
            "canary" => status.canary.as_ref(),
            _ => None,
        };
        under.push(of_revision(md, revision, track, &rollout, observed, now));
    }
    let rows: Vec<Vec<String>> = status
        .conditions
        .iter()
        .map(|c| {
            let since = age(c.last_transition_time.0, now);
            vec![c.type_.clone(), c.status.clone(), c.reason.clone(), since, c.message.clone()]
        })
        .collect();
    under.push(Node::over("conditions", table(&rows).into_iter().map(Node::leaf).collect()));
    let said = control(md);
    if !said.is_empty() {
        under.push(Node::over("control", said));
    }
    let name = md.metadata.name.as_deref().unwrap_or_default();
    let behind = match (status.observed_generation, md.metadata.generation) {
        (Some(seen), Some(now)) if seen < now => "  (the newest spec has not been seen by the operator yet)",
        (None, _) => "  (the operator has not seen it yet)",
        _ => "",
    };
    Node::over(format!("{name}  {:?}  {}{behind}", status.phase, status.message).trim_end(), under).to_string()
}

fn of_revision(
    md: &ModelDeployment,
    revision: &Revision,
    track: Option<&TrackStatus>,
    rollout: &RolloutStatus,
    observed: &Observed,
    now: Timestamp,
) -> Node {
    let status = md.status.as_ref();
    let weight = match revision.part {
        "canary" => status.map(|s| s.canary_weight.clone()).filter(|w| !w.is_empty()),
        // What the canary does not get.
        "stable" => status
            .map(|s| s.canary_weight.trim_end_matches('%').parse().map_or(100, |w: i32| 100 - w))
            .map(|w| format!("{w}%")),
        _ => None,
    };
    let pods = track.map(|t| format!("{} of {} pods ready", t.ready_replicas, t.replicas));
    let mut text = vec![revision.part.to_owned(), revision.name.clone()];
    text.extend(weight);
    text.push(revision.candidate.clone());
    text.push(short(&revision.package).to_owned());
    text.extend(pods);
    let mut under: Vec<Node> = Vec::new();
    if revision.part == "canary" {
        under.extend(step(md, rollout, now));
    }
    if let (Some(until), "previous") = (&rollout.previous_until, revision.part) {
        let left = until.0.duration_since(now).as_secs().max(0);
        under.push(Node::leaf(format!("its pods end in {left}s, unless it is rolled back to")));
    }
    if let (Some(failed), "failed") = (&rollout.failed, revision.part) {
        let when = age(failed.at.0, now);
        under.push(Node::leaf(format!("rolled back {when} ago: {}: {}", failed.reason, failed.message)));
    }
    if let Some(last) = revision.record.decisions.last().filter(|_| revision.part == "recorded") {
        under.push(Node::leaf(format!("{:?} {} ago", last.what, age(last.at.0, now))));
    }
    under.extend(pods_of(observed, &revision.name).into_iter().map(Node::leaf));
    Node::over(text.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("  "), under)
}

/// Where the canary is on its way, and how long it will be there.
fn step(md: &ModelDeployment, rollout: &RolloutStatus, now: Timestamp) -> Vec<Node> {
    let course = course(&md.spec.rollout);
    let index = usize::try_from(rollout.step).unwrap_or_default();
    let since = rollout.since.as_ref().map(|t| now.duration_since(t.0).as_secs().max(0));
    let told = course.get(index).map(Step::tell).unwrap_or_default();
    let number = format!("step {} of {}", index + 1, course.len());
    let text = match rollout.stage {
        RolloutStage::Holding => {
            let held = since.unwrap_or_default() + i64::from(rollout.held_seconds);
            let all = course.get(index).map_or(0, |s| i64::from(s.hold_seconds));
            let left = match all - held {
                left if left > 0 => format!("{left}s to go"),
                _ => "its time is over".to_owned(),
            };
            format!("{number}: {told}; held for {held}s, {left}")
        }
        RolloutStage::Scaling => {
            format!("{number}: {told}; scaling{}", since.map(|s| format!(" for {s}s")).unwrap_or_default())
        }
        RolloutStage::Promoting => "all steps are passed; it is scaled to take every request".to_owned(),
        RolloutStage::Idle => "about to begin".to_owned(),
    };
    let judged = rollout.analysis.as_ref().map(|a| metrics(&a.metrics)).unwrap_or_default();
    vec![Node::over(text, judged.into_iter().map(Node::leaf).collect())]
}

fn pods_of(observed: &Observed, revision: &str) -> Vec<String> {
    let is_of =
        |p: &&Pod| p.metadata.labels.as_ref().and_then(|l| l.get(REVISION_LABEL)).is_some_and(|r| r == revision);
    let mut pods: Vec<String> = observed.pods.iter().filter(is_of).map(pod).collect();
    pods.sort();
    pods
}

fn pod(p: &Pod) -> String {
    let name = p.metadata.name.as_deref().unwrap_or_default();
    let status = p.status.clone().unwrap_or_default();
    let is_ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    let restarts: i32 = status.container_statuses.iter().flatten().map(|c| c.restart_count).sum();
    let waiting =
        status.container_statuses.iter().flatten().find_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let state = match (p.metadata.deletion_timestamp.is_some(), is_ready, waiting) {
        (true, ..) => "ending".to_owned(),
        (_, true, _) => "ready".to_owned(),
        (_, _, Some(reason)) => format!("not ready: {reason}"),
        _ => "not ready".to_owned(),
    };
    let restarts = if restarts > 0 { format!(", {restarts} restarts") } else { String::new() };
    format!("pod {name}  {state}{restarts}")
}

/// The words that stand in the spec, and who said them.
fn control(md: &ModelDeployment) -> Vec<Node> {
    let control = &md.spec.rollout.control;
    let by = control.by.clone().unwrap_or_default();
    let paused = control.paused.then(|| "true".to_owned());
    let said = [
        ("paused", &paused, by.paused),
        ("promote", &control.promote, by.promote),
        ("proceed", &control.proceed, by.proceed),
        ("abort", &control.abort, by.abort),
        ("retry", &control.retry, by.retry),
        ("rollBackTo", &control.roll_back_to, by.roll_back_to),
    ];
    let line = |(field, word, by): (&str, &Option<String>, Option<String>)| {
        let by = by.map(|by| format!(", by {by}")).unwrap_or_default();
        word.as_ref().map(|word| Node::leaf(format!("{field}: {word}{by}")))
    };
    said.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests;
