//! Whole rollouts as text: what happened, when, and why. The files in `stories/` are the specification.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "stories/control.rs"]
mod control;
#[path = "stories/failing_writes.rs"]
mod failing_writes;
#[path = "stories/gateway.rs"]
mod gateway;
#[path = "stories/meddling.rs"]
mod meddling;
#[path = "stories/optimization.rs"]
mod optimization;
mod simulation;
#[path = "stories/sources.rs"]
mod sources;
#[path = "stories/strategies.rs"]
mod strategies;

use drydock_contract::FailureReason;
use drydock_crds::{
    AbTest, Amount, Analysis, Autoscaling, BlueGreen, CandidateFallback, Decided, FeedbackMetric, OnNoWinner, OnWinner,
    RECORD_ANNOTATION, Record, RequestKey, RequestMatch, Resources, Search, Shadow, Strategy, Winner,
};
use drydock_operator_core::{ChildKind, Memory, guard, keep, pods_to_ask};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use simulation::fixtures::{failure, fashion, recipe, report};
use simulation::story::Story;
use simulation::{Behaviour, Cluster, Outcome};

/// Served and settled.
fn serving() -> Story {
    let mut cluster = Cluster::new(fashion());
    assert!(cluster.settle(100));
    Story::of(cluster)
}

fn with(behaviour: Behaviour) -> Story {
    let mut story = serving();
    story.cluster.behaviours.insert("sidecar:2".into(), behaviour);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story
}

#[test]
fn first_deploy() {
    let mut story = Story::of(Cluster::new(fashion()));
    story.run(20);
    story.check("first_deploy");
}

#[test]
fn good_canary() {
    let mut story = with(Behaviour::default());
    story.run(50);
    story.check("good_canary");
}

#[test]
fn quiet_canary() {
    let mut story = with(Behaviour::default());
    story.cluster.edit(|s| s.rollout.analysis.synthetic_per_second = 0);
    story.cluster.requests_per_second = 5;
    story.run(40);
    story.act("20 requests a second", |c| c.requests_per_second = 20);
    story.run(90);
    story.check("quiet_canary");
}

/// Without users the stable pods ask, and the story says so.
#[test]
fn nobody_asks() {
    let mut story = with(Behaviour::default());
    story.cluster.requests_per_second = 0;
    story.run(200);
    assert_eq!(story.cluster.status().rollout.unwrap().failed, None);
    story.check("nobody_asks");
}

#[test]
fn nobody_asks_and_every_tenth_request_would_fail() {
    let mut story = with(Behaviour { errors: 10, ..Behaviour::default() });
    story.cluster.requests_per_second = 0;
    story.run(60);
    story.check("nobody_asks_and_every_tenth_request_would_fail");
}

fn agreeing(story: &mut Story) {
    story.act("minAgreement 95", |c| c.edit(|s| s.rollout.analysis.min_agreement = Some(95.0)));
}

#[test]
fn nobody_asks_and_answers_are_wrong() {
    let mut story = with(Behaviour { disagreements: 100, ..Behaviour::default() });
    story.cluster.requests_per_second = 0;
    agreeing(&mut story);
    story.run(60);
    story.check("nobody_asks_and_answers_are_wrong");
}

/// Four inputs that were answered rightly are not enough to say that 93 % are, however often they are asked.
#[test]
fn nobody_asks_and_four_inputs_are_answered_as_before() {
    let mut story = with(Behaviour::default());
    story.cluster.requests_per_second = 0;
    agreeing(&mut story);
    story.run(150);
    assert!(story.cluster.status().message.contains("agreement after 0 compared answers and 4 recorded inputs"));
    story.check("nobody_asks_and_four_inputs_are_answered_as_before");
}

#[test]
fn errors() {
    let mut story = with(Behaviour { errors: 10, ..Behaviour::default() });
    story.run(20);
    story.check("errors");
}

/// To 0 pods and back is no way round a rollback.
#[test]
fn rolled_back_then_scaled_to_none_and_back() {
    let mut story = with(Behaviour { errors: 10, ..Behaviour::default() });
    story.run(20);
    let served = story.cluster.selected();
    story.act("replicas 0", |c| c.edit(|s| s.serving.replicas = Some(0)));
    story.run(10);
    story.act("replicas 2", |c| c.edit(|s| s.serving.replicas = Some(2)));
    story.run(20);
    assert_eq!(story.cluster.selected(), served);
    story.check("rolled_back_then_scaled_to_none_and_back");
}

#[test]
fn crash_loop() {
    let mut story = with(Behaviour { crashes: true, ..Behaviour::default() });
    story.run(20);
    story.check("crash_loop");
}

#[test]
fn never_ready() {
    let mut story = with(Behaviour { ready_after: None, ..Behaviour::default() });
    story.run(30);
    story.check("never_ready");
}

#[test]
fn disagreement() {
    let mut story = with(Behaviour { disagreements: 30, ..Behaviour::default() });
    story.act("minAgreement 95", |c| {
        c.edit(|s| {
            s.rollout.analysis =
                Analysis { min_agreement: Some(95.0), compare_percentage: 100, ..s.rollout.analysis.clone() };
        });
    });
    story.run(45);
    story.check("disagreement");
}

fn canary_of(c: &Cluster) -> String {
    c.status().rollout.unwrap().canary.unwrap().revision
}

/// Anchors, part 2, rows 3 and 4: the autoscaler and we do not fight, and no capacity is lost to a canary: the stable revision keeps
/// its size, and the new one begins with what both had.
#[test]
fn grown_during_a_canary() {
    let mut md = fashion();
    md.spec.serving.replicas = None;
    md.spec.serving.autoscaling =
        Some(Autoscaling { min_replicas: 2, max_replicas: 10, target_cpu_utilization_percentage: 70 });
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let stable = format!("fashion-{}", cluster.selected().unwrap());
    let mut story = Story::of(cluster);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(8);
    story.act("the autoscaler has seen load: 6 stable pods", |c| {
        let d = c.observed.deployments.iter_mut().find(|d| d.metadata.name.as_ref() == Some(&stable)).unwrap();
        d.spec.replicas = Some(6);
    });
    story.run(60);
    story.check("grown_during_a_canary");
}

#[test]
fn edited_mid_canary() {
    let mut story = with(Behaviour::default());
    story.run(8);
    story.act("image sidecar:3", |c| c.edit(|s| s.serving.image = Some("sidecar:3".into())));
    story.run(50);
    story.check("edited_mid_canary");
}

#[test]
fn reverted_mid_canary() {
    let mut story = with(Behaviour::default());
    story.run(8);
    story.act("image sidecar:1", |c| c.edit(|s| s.serving.image = None));
    story.run(10);
    story.check("reverted_mid_canary");
}

#[test]
fn failed_revision_is_not_retried_then_changed() {
    let mut story = with(Behaviour { errors: 10, ..Behaviour::default() });
    story.run(20);
    story.act("maxErrorRate 50: the same revision", |c| c.edit(|s| s.rollout.analysis.max_error_rate = 50.0));
    story.run(10);
    story.act("image sidecar:3", |c| c.edit(|s| s.serving.image = Some("sidecar:3".into())));
    story.run(45);
    story.check("failed_revision_is_not_retried_then_changed");
}

#[test]
fn suspended_and_resumed() {
    let mut story = with(Behaviour::default());
    story.run(8);
    story.act("suspend", |c| c.edit(|s| s.suspend = true));
    story.run(40);
    story.act("resume", |c| c.edit(|s| s.suspend = false));
    story.run(40);
    story.check("suspended_and_resumed");
}

#[test]
fn scaled_during_canary() {
    let mut story = with(Behaviour::default());
    story.run(18);
    story.act("replicas 4", |c| c.edit(|s| s.serving.replicas = Some(4)));
    story.run(50);
    story.check("scaled_during_canary");
}

#[test]
fn autoscaled() {
    let mut md = fashion();
    md.spec.serving.replicas = None;
    md.spec.serving.autoscaling =
        Some(Autoscaling { min_replicas: 3, max_replicas: 5, target_cpu_utilization_percentage: 70 });
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let mut story = Story::of(cluster);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(50);
    story.check("autoscaled");
}

#[test]
fn pods_lost_while_holding() {
    let mut story = with(Behaviour::default());
    story.run(8);
    story.act("the canary's pod is not ready", |c| {
        let canary = c.status().canary.unwrap().revision;
        let pods = c.observed.pods.iter().filter(|p| p.metadata.labels.iter().flatten().any(|(_, v)| *v == canary));
        c.unready = pods.map(|p| p.metadata.name.clone().unwrap()).collect();
    });
    story.run(5);
    story.act("it is again", |c| c.unready.clear());
    story.run(35);
    story.check("pods_lost_while_holding");
}

#[test]
fn first_revision_crashes_then_is_replaced() {
    let mut cluster = Cluster::new(fashion());
    cluster.behaviours.insert("sidecar:1".into(), Behaviour { crashes: true, ..Behaviour::default() });
    let mut story = Story::of(cluster);
    story.run(35);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(10);
    story.check("first_revision_crashes_then_is_replaced");
}

/// A first revision has nothing to go back to: it is said to be stuck, and served when it comes up after all.
#[test]
fn first_revision_is_late_and_comes_up() {
    let mut cluster = Cluster::new(fashion());
    cluster.behaviours.insert("sidecar:1".into(), Behaviour { ready_after: None, ..Behaviour::default() });
    let mut story = Story::of(cluster);
    story.run(40);
    story.act("the image is there", |c| c.behaviours.clear());
    story.run(10);
    story.check("first_revision_is_late_and_comes_up");
}

/// All of the canary's pods, at the second step: the first step's share goes too.
#[test]
fn pods_lost_at_the_second_step() {
    let mut c = with(Behaviour::default()).cluster;
    for _ in 0..60 {
        c.reconcile(None);
        c.second();
        if c.status().canary_weight == "50%" {
            break;
        }
    }
    let canary = c.status().canary.unwrap().revision;
    let is_of = |p: &k8s_openapi::api::core::v1::Pod| p.metadata.labels.iter().flatten().any(|(_, v)| *v == canary);
    c.unready = c.observed.pods.iter().filter(|p| is_of(p)).map(|p| p.metadata.name.clone().unwrap()).collect();
    c.second();
    let plan = c.reconcile(None);
    assert_eq!(plan.splits.iter().map(|s| s.split.clone()).collect::<Vec<_>>(), vec![None]);
    assert_eq!((c.status().canary_weight.as_str(), plan.memory.rollout.step), ("0%", 1));
    c.unready.clear();
    // Ready again at once, and reachable a little later.
    c.second();
    c.reconcile(None);
    assert_eq!(c.status().canary_weight, "0%");
    for _ in 0..4 {
        c.second();
        c.reconcile(None);
    }
    assert_eq!(c.status().canary_weight, "50%");
}

/// No telemetry is not the same as no traffic: the rollout waits for it, and in the end goes back.
#[test]
fn a_canary_that_nobody_can_see_is_not_promoted() {
    let mut c = with(Behaviour::default()).cluster;
    for _ in 0..600 {
        c.observed.splits.clear();
        c.reconcile(None);
        c.second();
        if c.status().rollout.unwrap().failed.is_some() {
            break;
        }
    }
    let rollout = c.status().rollout.unwrap();
    assert_eq!(rollout.step, 0);
    let failed = rollout.failed.unwrap();
    assert_eq!(failed.reason, "ProgressDeadlineExceeded");
    assert!(failed.message.contains("port 8082"), "{}", failed.message);
}

/// Readiness that comes and goes begins the stage anew each time, but not the step: in the end it is rolled back.
#[test]
fn a_canary_that_flaps_is_rolled_back() {
    let mut c = with(Behaviour::default()).cluster;
    c.edit(|s| s.rollout.progress_deadline_seconds = 30);
    for second in 0..200 {
        c.reconcile(None);
        c.second();
        let rollout = c.status().rollout.unwrap();
        if let Some(failed) = rollout.failed {
            assert_eq!(failed.reason, "ProgressDeadlineExceeded", "{}", failed.message);
            assert_eq!(rollout.step, 0);
            return;
        }
        let canary = rollout.canary.map(|r| r.revision).unwrap_or_default();
        let is_of =
            |p: &&k8s_openapi::api::core::v1::Pod| p.metadata.labels.iter().flatten().any(|(_, v)| *v == canary);
        c.unready.clear();
        if second % 12 > 8 {
            c.unready = c.observed.pods.iter().filter(is_of).filter_map(|p| p.metadata.name.clone()).collect();
        }
    }
    panic!("still on its way after 200 seconds: {:?}", c.status().rollout);
}
