//! A gateway as the router.

use drydock_crds::Rollout;

use super::simulation::fixtures::{behind_a_gateway, fashion, in_a_mesh};
use super::simulation::story::Story;
use super::simulation::{Behaviour, Cluster};

fn behind(change: impl FnOnce(&mut Cluster)) -> Story {
    routed(behind_a_gateway, change)
}

fn routed(by: fn(&mut Rollout), change: impl FnOnce(&mut Cluster)) -> Story {
    let mut md = fashion();
    by(&mut md.spec.rollout);
    md.spec.rollout.analysis.min_requests = 20;
    let mut cluster = Cluster::new(md);
    cluster.observed.gateway_api = true;
    assert!(cluster.settle(100));
    change(&mut cluster);
    Story::of(cluster)
}

fn next(story: &mut Story) {
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
}

/// A weight counts when it is accepted, and not before.
#[test]
fn gateway_that_accepts_late() {
    let mut story = behind(|c| c.gateway.accepts_after = Some(4));
    next(&mut story);
    story.run(60);
    story.check("gateway_that_accepts_late");
}

/// What the canary fails its users see: it is rolled back by its own counts, and its pods stay until it gets nothing.
#[test]
fn gateway_and_a_bad_canary() {
    let mut story = behind(|c| {
        c.behaviours.insert("sidecar:2".into(), Behaviour { errors: 30, ..Behaviour::default() });
        c.gateway.accepts_after = Some(2);
    });
    next(&mut story);
    story.run(40);
    story.check("gateway_and_a_bad_canary");
}

/// Nobody answers in its place: it is not waited for as long as one whose stable pods are silent.
#[test]
fn gateway_and_a_silent_canary() {
    let mut story = behind(|c| {
        c.behaviours.insert("sidecar:2".into(), Behaviour { silent: true, ..Behaviour::default() });
    });
    next(&mut story);
    story.run(50);
    story.check("gateway_and_a_silent_canary");
}

/// No step is passed, and the parent's reason is told; then somebody corrects the listener.
#[test]
fn gateway_that_refuses() {
    let mut story = behind(|c| c.gateway.accepts_after = None);
    next(&mut story);
    story.run(45);
    story.act("the listener takes the route", |c| c.gateway.accepts_after = Some(1));
    story.run(40);
    story.check("gateway_that_refuses");
}

/// The Service that users talk to is the parent, and a backend: its users see nothing of what the mesh refuses.
#[test]
fn in_a_mesh_that_refuses_and_then_accepts() {
    let mut story = routed(in_a_mesh, |c| c.gateway.accepts_after = None);
    next(&mut story);
    story.run(45);
    story.act("the mesh takes the routes", |c| c.gateway.accepts_after = Some(1));
    story.run(40);
    story.check("in_a_mesh_that_refuses_and_then_accepts");
}

#[test]
fn gateway_api_missing_then_installed() {
    let mut md = fashion();
    behind_a_gateway(&mut md.spec.rollout);
    let mut story = Story::of(Cluster::new(md));
    story.run(15);
    story.act("the Gateway API is installed", |c| c.observed.gateway_api = true);
    story.run(15);
    story.check("gateway_api_missing_then_installed");
}

/// One router ends before the other begins, in the middle of a step too.
#[test]
fn from_the_sidecar_to_a_gateway_and_back() {
    let mut cluster = Cluster::new(fashion());
    cluster.observed.gateway_api = true;
    assert!(cluster.settle(100));
    let mut story = Story::of(cluster);
    next(&mut story);
    story.run(9);
    story.act("router Gateway", |c| c.edit(|s| behind_a_gateway(&mut s.rollout)));
    story.run(9);
    story.act("router Sidecar", |c| {
        c.edit(|s| {
            s.rollout.router = drydock_crds::Router::Sidecar;
            s.rollout.gateway = None;
        });
    });
    story.run(40);
    story.check("from_the_sidecar_to_a_gateway_and_back");
}

/// A spec that cannot even be read: the canary gets nothing, and the routes stay.
#[test]
fn gateway_guarded_while_invalid() {
    let mut story = behind(|_| {});
    next(&mut story);
    story.run(10);
    story.act("resources that are no quantity", |c| {
        c.edit(|s| {
            let lots = [("cpu".to_owned(), drydock_crds::Amount("lots".into()))].into();
            s.serving.resources =
                Some(drydock_crds::Resources { requests: lots, ..drydock_crds::Resources::default() });
        });
    });
    story.run(6);
    story.act("resources as before", |c| c.edit(|s| s.serving.resources = None));
    story.run(45);
    story.check("gateway_guarded_while_invalid");
}

/// The gateway sends the old weight for a while: to pods that answer.
#[test]
fn canary_replaced_behind_a_gateway() {
    let mut story = behind(|c| c.gateway.accepts_after = Some(4));
    next(&mut story);
    while story.cluster.gateway.weight == 0 {
        story.run(1);
    }
    story.act("image sidecar:3", |c| c.edit(|s| s.serving.image = Some("sidecar:3".into())));
    for _ in 0..10 {
        story.run(1);
        let c = &story.cluster;
        let service =
            c.observed.services.iter().find(|s| s.metadata.name.as_deref() == Some("fashion-canary")).unwrap();
        let selector = service.spec.as_ref().unwrap().selector.as_ref().unwrap();
        let answers = |p: &k8s_openapi::api::core::v1::Pod| {
            let conditions = p.status.iter().flat_map(|s| s.conditions.iter().flatten());
            let is_ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
            let labels = p.metadata.labels.clone().unwrap_or_default();
            is_ready && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        assert!(c.gateway.weight == 0 || c.observed.pods.iter().any(answers), "nobody answers {} %", c.gateway.weight);
    }
}
