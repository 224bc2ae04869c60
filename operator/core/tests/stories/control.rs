//! What a person decides, and the way back.

use super::*;
use drydock_crds::SaidBy;
use drydock_operator_core::Wake;

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

/// A person may take days.
#[test]
fn who_waits_for_a_person_is_not_looked_at_every_second() {
    let wake = |story: &Story| story.cluster.plan().wake;
    let after = |seconds| Wake::After(jiff::SignedDuration::from_secs(seconds));
    let mut story = with(Behaviour::default());
    story.run(2);
    assert_eq!(wake(&story), after(1), "it is scaled");
    story.cluster.edit(|s| s.rollout.control.paused = true);
    story.run(5);
    assert_eq!(wake(&story), Wake::OnChange, "no request, nothing to judge");
    story.cluster.edit(|s| {
        s.rollout.control.paused = false;
        s.rollout.steps[0].pause = true;
    });
    story.run(3);
    assert_eq!(wake(&story), after(1), "it holds");
    story.run(20);
    assert!(story.cluster.status().message.contains("set control.proceed"), "{}", story.cluster.status().message);
    assert_eq!(wake(&story), after(5), "only the stable pods know how it does");
}

/// The record tells what was done, and who said so.
#[test]
fn who_promoted_is_recorded() {
    let mut story = with(Behaviour::default());
    story.run(8);
    let canary = canary_of(&story.cluster);
    story.cluster.edit(|s| {
        s.rollout.control.promote = Some(canary.clone());
        s.rollout.control.by = Some(SaidBy { promote: Some("jane".into()), ..SaidBy::default() });
    });
    story.run(10);
    let record = story.cluster.observed.revisions.iter().find(|c| c.metadata.name == Some(format!("fashion-{canary}")));
    let record = record.unwrap().metadata.annotations.as_ref().unwrap()[RECORD_ANNOTATION].as_str();
    let record: Record = serde_json::from_str(record).unwrap();
    let told: Vec<_> = record.decisions.iter().map(|d| (d.what, d.by.as_deref())).collect();
    assert_eq!(
        told,
        [(Decided::Started, None), (Decided::StepPassed, Some("jane")), (Decided::Promoted, Some("jane"))]
    );
}

/// What a record has besides decisions: the recipe, what it came to, and each gate with its number. As it was at first: what is asked for later
/// is about another revision.
#[test]
fn how_a_candidate_came_to_be_is_recorded() {
    let mut story = serving();
    story.act("a stricter gate", |c| c.edit(|s| s.optimization.as_mut().unwrap().gates.max_size_ratio = Some(0.27)));
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(40);
    let mut records: Vec<_> = story.cluster.observed.revisions.iter().collect();
    records.sort_by_key(|c| c.revision);
    let gates = |c: &ControllerRevision| {
        let record: Record =
            serde_json::from_str(&c.metadata.annotations.as_ref().unwrap()[RECORD_ANNOTATION]).unwrap();
        assert_eq!(record.measured, "accuracy -0.08, 3.80x as fast, 25.8 % of the size");
        assert_eq!(record.recipe.map(|r| r.name).as_deref(), Some("int8"));
        record.gates.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let first = ["accuracy drop 0.08 points, limit 1.00 points", "speedup 3.80x, limit 1.00x"];
    assert_eq!(gates(records[0]), first);
    assert_eq!(gates(records[1]), [first[0], first[1], "size 25.8 %, limit 27.0 %"]);
}

/// A gate is for what was made of it.
#[test]
fn the_model_as_it_came_keeps_no_gate() {
    let mut md = fashion();
    md.spec.optimization.as_mut().unwrap().recipes.clear();
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(200));
    let record = &cluster.observed.revisions[0].metadata.annotations.as_ref().unwrap()[RECORD_ANNOTATION];
    let record: Record = serde_json::from_str(record).unwrap();
    assert_eq!((record.recipe, record.gates), (None, Vec::new()));
    assert_eq!(record.measured, "accuracy +0.00, 1.00x as fast, 100.0 % of the size");
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
