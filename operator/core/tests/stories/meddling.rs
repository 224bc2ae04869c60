//! What others do to our children, and specs that cannot be followed.

use super::*;

/// Each child, one after the other, at rest.
#[test]
fn deleted_by_hand() {
    use ChildKind::{Autoscaler, Claim, GrpcRoute, HttpRoute};
    let mut story = serving();
    for kind in ChildKind::ALL.into_iter().filter(|k| !matches!(k, Claim | Autoscaler | HttpRoute | GrpcRoute)) {
        let gone = story.cluster.children().into_iter().find(|c| c.kind == kind).unwrap();
        story.act(&format!("somebody deletes the {kind}"), |c| c.remove(&gone));
        story.run(15);
    }
    story.check("deleted_by_hand");
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

/// What bears our labels alone does not say how many pods there are to be.
#[test]
fn somebody_elses_autoscaler_is_none_of_ours() {
    let mut story = serving();
    story.act("a quantity that is none", misspell);
    story.act("an autoscaler with our labels, of something else, and a number that is set by hand", |c| {
        let deployment = &mut c.observed.deployments[0];
        deployment.spec.replicas = Some(5);
        let mut stranger = k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler::default();
        stranger.metadata.name = Some("somebody-elses".into());
        stranger.metadata.labels.clone_from(&deployment.metadata.labels);
        stranger.spec.scale_target_ref.name = "something-else".into();
        c.observed.autoscalers.push(stranger);
        c.wakes.changed = true;
    });
    story.run(5);
    assert_eq!(story.cluster.observed.deployments[0].spec.replicas, Some(1));
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
