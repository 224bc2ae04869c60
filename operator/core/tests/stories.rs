//! Whole rollouts as text: what happened, when, and why. The files in `stories/` are the specification.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod simulation;

use drydock_contract::FailureReason;
use drydock_crds::{
    AbTest, Amount, Analysis, Autoscaling, BlueGreen, CandidateFallback, Decided, RECORD_ANNOTATION, Record,
    RequestKey, RequestMatch, Resources, Search, Shadow, Strategy,
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
    story.cluster.requests_per_second = 5;
    story.run(40);
    story.act("20 requests a second", |c| c.requests_per_second = 20);
    story.run(90);
    story.check("quiet_canary");
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

/// A step that waits for a person, and every word of `control`.
#[test]
fn approved_by_hand() {
    let mut story = with(Behaviour::default());
    story.act("the first step pauses", |c| c.edit(|s| s.rollout.steps[0].pause = true));
    story.run(60);
    story.act("control.proceed for the step", |c| {
        let proceed = format!("{}/0", canary_of(c));
        c.edit(|s| s.rollout.control.proceed = Some(proceed));
    });
    story.run(3);
    story.act("control.paused", |c| c.edit(|s| s.rollout.control.paused = true));
    story.run(30);
    story.act("control.paused is taken out", |c| c.edit(|s| s.rollout.control.paused = false));
    story.run(15);
    story.check("approved_by_hand");
}

#[test]
fn paused_before_it_starts() {
    // It has begun once, and is recorded: the story knows it by its letter.
    let mut story = with(Behaviour::default());
    story.run(2);
    story.act("image sidecar:1", |c| c.edit(|s| s.serving.image = None));
    story.run(3);
    story.act("control.paused", |c| c.edit(|s| s.rollout.control.paused = true));
    story.run(3);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(10);
    story.act("control.paused is taken out", |c| c.edit(|s| s.rollout.control.paused = false));
    story.run(3);
    story.check("paused_before_it_starts");
}

#[test]
fn promoted_by_hand() {
    let mut story = with(Behaviour::default());
    story.run(8);
    story.act("control.promote", |c| {
        let canary = canary_of(c);
        c.edit(|s| s.rollout.control.promote = Some(canary));
    });
    story.run(10);
    story.check("promoted_by_hand");
}

/// What failed is not tried again unless somebody asks.
#[test]
fn aborted_then_retried() {
    let mut story = with(Behaviour::default());
    story.run(8);
    let canary = canary_of(&story.cluster);
    story.act("control.abort", |c| c.edit(|s| s.rollout.control.abort = Some(canary.clone())));
    story.run(10);
    story.act("control.retry in its place", |c| {
        c.edit(|s| {
            s.rollout.control.abort = None;
            s.rollout.control.retry = Some(format!("{canary}@1"));
        });
    });
    story.run(35);
    story.check("aborted_then_retried");
}

/// All at once, after a look at the preview; and back, to pods that are still there. Anchors, part 2, row 5 (a promotion restarts nothing)
/// and row 14 (a rollback that is in Git, and says which version runs).
#[test]
fn blue_green_and_back() {
    let mut md = fashion();
    md.spec.serving.replicas = Some(2);
    md.spec.rollout.strategy = Strategy::BlueGreen;
    md.spec.rollout.blue_green = Some(BlueGreen { preview_seconds: 10, pause: true });
    md.spec.rollout.scale_down_delay_seconds = 60;
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let mut story = Story::of(cluster);
    let uids = |s: &Story, revision: &str| -> Vec<Option<String>> {
        let is_of =
            |p: &&k8s_openapi::api::core::v1::Pod| p.metadata.labels.iter().flatten().any(|(_, v)| v == revision);
        s.cluster.observed.pods.iter().filter(is_of).map(|p| p.metadata.uid.clone()).collect()
    };
    let old = story.cluster.selected().unwrap();
    let old_pods = uids(&story, &old);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(25);
    let new = canary_of(&story.cluster);
    let new_pods = uids(&story, &new);
    story.act("control.proceed", |c| c.edit(|s| s.rollout.control.proceed = Some(format!("{new}/0"))));
    story.run(10);
    assert_eq!((story.cluster.selected(), uids(&story, &new)), (Some(new.clone()), new_pods.clone()));
    story
        .act("control.rollBackTo the old revision", |c| c.edit(|s| s.rollout.control.roll_back_to = Some(old.clone())));
    story.run(3);
    assert_eq!(
        (story.cluster.selected(), uids(&story, &old)),
        (Some(old), old_pods),
        "at once, to the pods that were there"
    );
    story.run(5);
    story.act("rollBackTo is taken out", |c| c.edit(|s| s.rollout.control.roll_back_to = None));
    story.run(30);
    assert_ne!(
        story.cluster.selected().as_ref(),
        Some(&new),
        "what was said of the first attempt is not said of this one"
    );
    story.act("control.proceed is taken out", |c| c.edit(|s| s.rollout.control.proceed = None));
    story.run(2);
    story.act("and set again", |c| c.edit(|s| s.rollout.control.proceed = Some(format!("{new}/0"))));
    story.run(10);
    assert_eq!((story.cluster.selected(), uids(&story, &new)), (Some(new), new_pods));
    story.check("blue_green_and_back");
}

/// Nobody would see the preview: it does not begin until the name is free.
#[test]
fn preview_name_is_taken() {
    let mut md = fashion();
    md.spec.rollout.strategy = Strategy::BlueGreen;
    md.spec.rollout.blue_green = Some(BlueGreen { preview_seconds: 10, pause: false });
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let preview = |s: &k8s_openapi::api::core::v1::Service| s.metadata.name.as_deref() == Some("fashion-preview");
    let service = cluster.observed.services.iter_mut().find(|s| preview(s)).unwrap();
    service.metadata.owner_references = None;
    let mut story = Story::of(cluster);
    story.act("image sidecar:2, while fashion-preview is somebody else's", |c| {
        c.edit(|s| s.serving.image = Some("sidecar:2".into()));
    });
    story.run(40);
    story.act("fashion-preview is deleted", |c| c.observed.services.retain(|s| !preview(s)));
    story.run(20);
    story.check("preview_name_is_taken");
}

/// By the digest of a package, past a pause; and to one that is not recorded.
#[test]
fn rolled_back_to_a_package() {
    let mut story = serving();
    let package = story.cluster.status().stable.unwrap().package;
    story.act("a model that is half as large", |c| {
        let mut other = report("int8");
        other.package = Some(drydock_contract::Digest::of(b"another"));
        c.outcomes.insert("int8".into(), [Outcome::Report(Box::new(other))].into());
        c.edit(|s| s.model.source = simulation::fixtures::url("other.onnx"));
    });
    story.run(20);
    story.act("control.rollBackTo the package that is served", |c| {
        c.edit(|s| s.rollout.control.roll_back_to = Some(package.clone()));
    });
    story.run(5);
    story.act("control.rollBackTo what nobody knows", |c| {
        c.edit(|s| s.rollout.control.roll_back_to = Some("ffffffffff".into()));
    });
    story.run(5);
    story.check("rolled_back_to_a_package");
}

/// A record is enough: the pods are made again.
#[test]
fn rolled_back_to_what_has_no_pods_any_more() {
    let mut c = with(Behaviour::default()).cluster;
    let old = c.selected();
    assert!(c.settle(200));
    assert_ne!(c.selected(), old);
    assert_eq!(c.observed.deployments.len(), 1);
    c.edit(|s| s.rollout.control.roll_back_to.clone_from(&old));
    assert!(c.settle(200));
    assert_eq!(c.selected(), old);
    assert_eq!(c.status().stable.map(|t| t.ready_replicas), Some(1));
}

/// Anchors, part 2, row 7: no user sees the canary, and it is compared.
#[test]
fn shadow_only() {
    let mut story = with(Behaviour::default());
    story.act("strategy Shadow", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Shadow;
            s.rollout.shadow = Some(Shadow { percentage: 40 });
        });
    });
    story.run(30);
    story.act("control.promote", |c| {
        let canary = canary_of(c);
        c.edit(|s| s.rollout.control.promote = Some(canary));
    });
    story.run(10);
    story.check("shadow_only");
}

/// Another strategy is another way: nothing of it is passed already.
#[test]
fn strategy_changed_mid_canary() {
    let mut story = with(Behaviour::default());
    story.run(18);
    story.act("strategy Shadow, at the second step", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Shadow;
            s.rollout.shadow = Some(Shadow { percentage: 40 });
        });
    });
    story.run(60);
    story.act("strategy Canary", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Canary;
            s.rollout.shadow = None;
        });
    });
    story.run(35);
    story.check("strategy_changed_mid_canary");
}

#[test]
fn shadow_that_disagrees() {
    let mut story = with(Behaviour { disagreements: 30, ..Behaviour::default() });
    story.act("strategy Shadow", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Shadow;
            s.rollout.shadow = Some(Shadow { percentage: 40 });
            s.rollout.analysis.min_agreement = Some(95.0);
        });
    });
    story.run(15);
    story.check("shadow_that_disagrees");
}

/// Anchors, part 2, row 13: a user has one model. A person chooses.
#[test]
fn a_b_test() {
    let mut story = with(Behaviour::default());
    story.act("strategy ABTest", |c| {
        c.edit(|s| {
            let vip = RequestMatch { header: Some("x-vip".into()), value: "yes".into(), ..RequestMatch::default() };
            s.rollout.strategy = Strategy::AbTest;
            s.rollout.sticky = Some(RequestKey { cookie: Some("session".into()), ..RequestKey::default() });
            s.rollout.matches = vec![vip];
            s.rollout.ab_test = Some(AbTest { percentage: 50, duration_seconds: 20 });
        });
    });
    story.run(60);
    story.act("control.abort", |c| {
        let canary = canary_of(c);
        c.edit(|s| s.rollout.control.abort = Some(canary));
    });
    story.run(5);
    story.check("a_b_test");
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

/// What was decided stays when the pods are gone, of so many revisions as the spec says.
#[test]
fn records_are_kept() {
    let mut story = with(Behaviour::default());
    story.act("history of 1", |c| c.edit(|s| s.rollout.revision_history_limit = 1));
    story.run(40);
    let records = |s: &Story| -> Vec<Vec<Decided>> {
        let mut all: Vec<_> = s.cluster.observed.revisions.iter().collect();
        all.sort_by_key(|c| c.revision);
        let record = |c: &ControllerRevision| -> Record {
            serde_json::from_str(&c.metadata.annotations.as_ref().unwrap()[RECORD_ANNOTATION]).unwrap()
        };
        all.into_iter().map(|c| record(c).decisions.iter().map(|d| d.what).collect()).collect()
    };
    let promoted = vec![Decided::Started, Decided::StepPassed, Decided::StepPassed, Decided::Promoted];
    assert_eq!(records(&story), [vec![Decided::Deployed], promoted.clone()]);
    story.act("image sidecar:3", |c| c.edit(|s| s.serving.image = Some("sidecar:3".into())));
    story.run(40);
    assert_eq!(records(&story), [promoted.clone(), promoted], "the oldest is gone");
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
fn no_candidate_passes_keep_current() {
    let mut story = serving();
    story.act("minSpeedup 10", |c| c.edit(|s| s.optimization.as_mut().unwrap().gates.min_speedup = Some(10.0)));
    story.run(10);
    story.check("no_candidate_passes_keep_current");
}

#[test]
fn no_candidate_passes_serve_original() {
    let mut story = serving();
    story.act("minSpeedup 10, ServeOriginal", |c| {
        c.edit(|s| {
            let o = s.optimization.as_mut().unwrap();
            o.gates.min_speedup = Some(10.0);
            o.when_no_candidate_passes = CandidateFallback::ServeOriginal;
        });
    });
    story.run(45);
    story.check("no_candidate_passes_serve_original");
}

#[test]
fn source_unreachable_then_ok() {
    let mut cluster = Cluster::new(fashion());
    let f = failure("original", FailureReason::SourceUnreachable, "GET https://models.example/fashion.onnx: HTTP 503");
    cluster.outcomes.insert("original".into(), [Outcome::Report(Box::new(f))].into());
    let mut story = Story::of(cluster);
    story.run(20);
    story.check("source_unreachable_then_ok");
}

/// For longer than the Job tries: it is made again, each time after a longer while.
#[test]
fn source_unreachable_for_long() {
    let mut cluster = Cluster::new(fashion());
    let f = failure("original", FailureReason::SourceUnreachable, "GET https://models.example/fashion.onnx: HTTP 503");
    cluster.outcomes.insert("original".into(), vec![Outcome::Report(Box::new(f)); 16].into());
    let mut story = Story::of(cluster);
    story.run(140);
    assert_eq!(story.cluster.status().optimization.unwrap().attempt, 0);
    story.check("source_unreachable_for_long");
}

#[test]
fn invalid_model() {
    let mut cluster = Cluster::new(fashion());
    let f = failure("original", FailureReason::InvalidModel, "no ONNX model: found a web page");
    cluster.outcomes.insert("original".into(), [Outcome::Report(Box::new(f))].into());
    let mut story = Story::of(cluster);
    story.run(12);
    story.check("invalid_model");
}

#[test]
fn one_candidate_out_of_memory() {
    let mut md = fashion();
    md.spec.optimization.as_mut().unwrap().recipes.push(recipe("int8-b"));
    let mut cluster = Cluster::new(md);
    cluster.outcomes.insert("int8-b".into(), [Outcome::OutOfMemory].into());
    let mut story = Story::of(cluster);
    story.run(20);
    let status = story.cluster.status();
    let candidate = &status.optimization.unwrap().candidates[2];
    assert_eq!(candidate.reason.as_deref(), Some("OutOfMemory"));
    assert!(candidate.message.as_deref().unwrap().contains("2Gi"), "{candidate:?}");
    story.check("one_candidate_out_of_memory");
}

/// `auto` is shown, gated and chosen as any other candidate; other gates are another search, and a recipe's result comes again.
#[test]
fn searched() {
    let mut md = fashion();
    md.spec.optimization.as_mut().unwrap().search = Some(Search::default());
    let mut cluster = Cluster::new(md);
    let mut found = report("auto");
    found.measurements.latency.as_mut().unwrap().cpu = 0.5;
    cluster.outcomes.insert("auto".into(), vec![Outcome::Report(Box::new(found)); 2].into());
    let mut story = Story::of(cluster);
    story.run(20);
    let names = |s: &Story| -> Vec<String> {
        s.cluster
            .status()
            .optimization
            .unwrap()
            .candidates
            .into_iter()
            .map(|c| format!("{} {:?}", c.name, c.state))
            .collect()
    };
    assert_eq!(names(&story), ["original Passed", "int8 Passed", "auto Selected"]);
    story.act("at most 0.05 points lost", |c| {
        c.edit(|s| s.optimization.as_mut().unwrap().gates.max_accuracy_drop = 0.05);
    });
    story.run(12);
    assert_eq!(names(&story), ["original Passed", "int8 Rejected", "auto Rejected"]);
    story.check("searched");
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
fn suspended_while_optimizing() {
    let mut story = Story::of(Cluster::new(fashion()));
    story.run(2);
    story.act("suspend", |c| c.edit(|s| s.suspend = true));
    story.run(10);
    story.act("resume", |c| c.edit(|s| s.suspend = false));
    story.run(20);
    story.check("suspended_while_optimizing");
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

/// A rollback is a flip also where the autoscaler has made the new revision larger than the old one was, and has no room for more.
#[test]
fn autoscaled_and_called_back() {
    let mut md = fashion();
    md.spec.serving.replicas = None;
    md.spec.serving.autoscaling =
        Some(Autoscaling { min_replicas: 2, max_replicas: 10, target_cpu_utilization_percentage: 70 });
    md.spec.rollout.scale_down_delay_seconds = 60;
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let grow = |c: &mut Cluster, revision: &str, replicas| {
        let is_it = |d: &&mut k8s_openapi::api::apps::v1::Deployment| {
            d.metadata.name.as_deref() == Some(&format!("fashion-{revision}"))
        };
        c.observed.deployments.iter_mut().find(is_it).unwrap().spec.replicas = Some(replicas);
    };
    let old = cluster.selected().unwrap();
    let mut story = Story::of(cluster);
    story.act("the autoscaler makes it 6", |c| grow(c, &old, 6));
    story.run(5);
    story.act("image sidecar:2, without steps", |c| {
        c.edit(|s| {
            s.serving.image = Some("sidecar:2".into());
            s.rollout.steps = Vec::new();
        });
    });
    story.run(20);
    let new = story.cluster.selected().unwrap();
    assert_ne!(new, old);
    story.act("the autoscaler makes it 9, and the nodes are full", |c| {
        grow(c, &new, 9);
        c.behaviours.insert("sidecar:1".into(), Behaviour { ready_after: Some(20), ..Behaviour::default() });
        let pods = c.observed.pods.iter();
        let of_old = pods.filter(|p| p.metadata.labels.iter().flatten().any(|(_, v)| *v == old));
        // Two of them are gone too.
        c.unready = of_old.take(2).map(|p| p.metadata.name.clone().unwrap()).collect();
    });
    story.run(5);
    story
        .act("control.rollBackTo the old revision", |c| c.edit(|s| s.rollout.control.roll_back_to = Some(old.clone())));
    story.run(3);
    assert_eq!(story.cluster.selected(), Some(old));
    story.run(90);
    assert_eq!(story.cluster.status().rollout.unwrap().failed, None);
    story.check("autoscaled_and_called_back");
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

/// Each child, one after the other, at rest.
#[test]
fn deleted_by_hand() {
    let mut story = serving();
    for kind in ChildKind::ALL.into_iter().filter(|k| !matches!(k, ChildKind::Claim | ChildKind::Autoscaler)) {
        let gone = story.cluster.children().into_iter().find(|c| c.kind == kind).unwrap();
        story.act(&format!("somebody deletes the {kind}"), |c| c.remove(&gone));
        story.run(15);
    }
    story.check("deleted_by_hand");
}

/// By hand, to stop a Job, say: suspend is a field of the ModelDeployment.
#[test]
fn a_job_that_is_stopped_by_hand_goes_on() {
    let mut c = Cluster::new(fashion());
    c.reconcile(None);
    for stop in [|s: &mut JobSpec| s.parallelism = Some(0), |s: &mut JobSpec| s.suspend = Some(true)] {
        stop(c.observed.jobs[0].spec.as_mut().unwrap());
        c.reconcile(None);
        let spec = c.observed.jobs[0].spec.as_ref().unwrap();
        assert_eq!((spec.parallelism, spec.suspend), (Some(1), Some(false)));
        assert!(c.plan().is_empty());
    }
}

/// The packages are gone with the volume: the Job of the lost volume goes too, and the work is done again.
#[test]
fn volume_deleted_by_hand() {
    let mut story = serving();
    let gone = story.cluster.children().into_iter().find(|c| c.kind == ChildKind::Claim).unwrap();
    story.act("somebody deletes the volume", |c| c.remove(&gone));
    story.run(20);
    story.check("volume_deleted_by_hand");
}

/// A volume that pods use stays until they end: what is served is served on, and the volume is not forgotten.
#[test]
fn volume_deleted_under_its_pods() {
    let mut story = serving();
    let gone = story.cluster.children().into_iter().find(|c| c.kind == ChildKind::Claim).unwrap();
    story.act("somebody deletes the volume, which a pod holds", |c| {
        c.observed.claims[0].metadata.deletion_timestamp = Some(Time(c.now));
    });
    story.run(5);
    story.act("a quantity that is none", misspell);
    story.run(5);
    story.act("the quantity is taken out", |c| c.edit(|s| s.serving.resources = None));
    story.run(5);
    story.act("the volume is gone", |c| c.remove(&gone));
    story.run(20);
    story.check("volume_deleted_under_its_pods");
}

/// A Service of the name is there already, and not ours. Anchors, part 2, row 10: only what we have made is touched.
#[test]
fn name_is_taken() {
    let mut cluster = Cluster::new(fashion());
    let mut service = k8s_openapi::api::core::v1::Service::default();
    service.metadata.name = Some("fashion".into());
    service.metadata.uid = Some("somebody-else".into());
    cluster.observed.services.push(service);
    let mut story = Story::of(cluster);
    story.run(20);
    story.check("name_is_taken");
}

/// Somebody changes what is served.
fn meddle(c: &mut Cluster) {
    let template = &mut c.observed.deployments[0].spec.template;
    template.spec.as_mut().unwrap().containers[0].image = Some("sidecar:by-hand".into());
    c.observed.deployments[0].spec.replicas = Some(0);
    for service in &mut c.observed.services {
        service.spec.as_mut().unwrap().selector = Some([("app".to_owned(), "other".to_owned())].into());
    }
    for hpa in &mut c.observed.autoscalers {
        hpa.spec.max_replicas = 99;
    }
    c.observed.budgets.clear();
    let record = ChildKind::Revision;
    let record = c.children().into_iter().find(|c| c.kind == record).unwrap();
    c.remove(&record);
}

fn misspell(c: &mut Cluster) {
    c.edit(|s| {
        let amounts = [("cpu".to_owned(), Amount("lots".into()))].into();
        s.serving.resources = Some(Resources { requests: amounts, ..Resources::default() });
    });
}

/// What is served is guarded while the spec is wrong.
#[test]
fn guarded_while_invalid() {
    let mut story = serving();
    story.act("a quantity that is none", misspell);
    story.run(5);
    story.act("somebody changes what is served", meddle);
    story.run(10);
    story.act("the quantity is taken out", |c| c.edit(|s| s.serving.resources = None));
    story.run(5);
    story.check("guarded_while_invalid");
}

/// A canary that nobody can judge gets nothing; neither it nor its autoscaler goes.
#[test]
fn guarded_while_invalid_mid_canary() {
    let mut md = fashion();
    md.spec.serving.replicas = None;
    md.spec.serving.autoscaling =
        Some(Autoscaling { min_replicas: 1, max_replicas: 5, target_cpu_utilization_percentage: 70 });
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let mut story = Story::of(cluster);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(8);
    story.act("a quantity that is none", misspell);
    story.run(5);
    story.act("somebody changes what is served", meddle);
    story.run(10);
    story.act("the quantity is taken out", |c| c.edit(|s| s.serving.resources = None));
    story.run(40);
    story.check("guarded_while_invalid_mid_canary");
}

/// And while what the spec asks for cannot be made.
#[test]
fn guarded_while_stalled() {
    let mut story = serving();
    story.act("another model, which is none", |c| {
        let f = failure("original", FailureReason::InvalidModel, "no ONNX model: found a web page");
        c.outcomes.insert("original".into(), [Outcome::Report(Box::new(f))].into());
        c.edit(|s| s.model.source = simulation::fixtures::url("page.html"));
    });
    story.run(10);
    story.act("somebody changes what is served", meddle);
    story.run(10);
    story.check("guarded_while_stalled");
}

/// A spec of which nothing can be read says nothing of the number of pods either.
#[test]
fn guarded_while_the_spec_cannot_be_parsed() {
    let mut c = serving().cluster;
    c.edit(|s| s.serving.replicas = Some(3));
    assert!(c.settle(100));
    c.observed.budgets.clear();
    let kept = keep(&c.md.metadata, None, &c.defaults);
    let plan = guard(&kept, &c.observed, &Memory::of(c.md.status.as_ref()), c.now);
    assert_eq!(plan.writes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["PodDisruptionBudget fashion"]);
    assert_eq!((plan.scales, plan.splits, plan.prune), (vec![], vec![], vec![]));
}

/// Written by another version of the operator, say: what is served is not touched.
#[test]
fn unreadable_records_take_nothing_away() {
    let mut c = serving().cluster;
    let selected = c.selected();
    c.observed.revisions[0].data.0 = serde_json::json!({"something": "else"});
    let annotations = c.observed.deployments[0].metadata.annotations.as_mut().unwrap();
    annotations.insert("drydock.dev/revision-template".into(), "{}".into());
    c.edit(|s| s.serving.image = Some("sidecar:2".into()));
    for _ in 0..8 {
        let plan = c.reconcile(None);
        assert_eq!(plan.prune, vec![]);
        assert_eq!(c.selected(), selected);
        c.second();
    }
    assert_eq!(c.status().canary_weight, "20%");
    assert!(c.settle(100));
    assert_ne!(c.selected(), selected);
    assert_eq!(c.observed.deployments.len(), 1);
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

/// In a namespace on its way out the Job controller holds a failed pod for one in its place that cannot come: the Job goes,
/// and the namespace with it.
#[test]
fn a_job_whose_failed_pod_does_not_go_is_given_up() {
    let mut c = Cluster::new(fashion());
    let f = failure("original", FailureReason::SourceUnreachable, "GET https://models.example/fashion.onnx: HTTP 503");
    c.outcomes.insert("original".into(), [Outcome::Report(Box::new(f))].into());
    for _ in 0..6 {
        c.reconcile(None);
        c.second();
        if c.observed.pods.iter().any(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Failed")) {
            break;
        }
    }
    let deleted = c.now;
    let pod = c.observed.pods.iter_mut().find(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Failed"));
    pod.unwrap().metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(deleted));
    let jobs = |c: &Cluster| c.plan().prune.iter().filter(|p| p.kind == ChildKind::Job).count();
    assert_eq!(jobs(&c), 0, "the index may get another pod any moment");
    assert!(matches!(c.plan().wake, drydock_operator_core::Wake::After(_)));
    c.now = deleted + jiff::SignedDuration::from_secs(45);
    assert_eq!(jobs(&c), 1);
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

/// Neither is given a share to send on, nor asked what it has seen.
#[test]
fn a_pod_with_copied_labels_has_no_part_in_a_rollout() {
    let mut c = with(Behaviour::default()).cluster;
    let serves = |p: &&k8s_openapi::api::core::v1::Pod| {
        p.metadata.labels.iter().flatten().any(|(key, _)| key == "pod-template-hash")
    };
    let mut foreign = c.observed.pods.iter().find(serves).unwrap().clone();
    foreign.metadata.name = Some("foreign".into());
    foreign.metadata.owner_references = None;
    c.observed.pods.push(foreign);
    for _ in 0..60 {
        let plan = c.reconcile(None);
        assert!(plan.splits.iter().all(|s| s.pod != "foreign"), "{:?}", plan.splits);
        let asked = pods_to_ask("fashion", c.md.status.as_ref(), &c.observed.pods);
        assert!(asked.iter().all(|p| p.name != "foreign"), "{asked:?}");
        c.second();
    }
    assert!(c.plan().is_empty());
    let stable = c.status().stable.unwrap();
    assert_eq!((stable.ready_replicas, stable.replicas), (1, 1));
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
