use drydock_crds::ModelDeploymentSpec;

use super::*;
use crate::images::{Given, images};
use crate::samples::simulation::Cluster;
use crate::samples::simulation::fixtures::{behind_a_gateway, recipe};
use crate::samples::{plain, served, with_canary};

fn told(cluster: &Cluster, change: impl FnOnce(&mut ModelDeploymentSpec)) -> String {
    let mut next = cluster.md.clone();
    change(&mut next.spec);
    let defaults = images(Some(&cluster.md), &next, &cluster.observed, &Given::default()).unwrap();
    if next.spec.serving.image.is_none() {
        assert_eq!(defaults, cluster.defaults, "what was read off is what the operator has");
    }
    let text = forecast(&next, Some(&cluster.md), &cluster.observed, &defaults, cluster.now);
    plain(cluster, &text)
}

#[test]
fn no_change_writes_nothing() {
    insta::assert_snapshot!(told(&served(), |_| ()));
}

#[test]
fn another_image_is_a_canary_and_no_job() {
    let text = told(&served(), |spec| spec.serving.resources = Some(drydock_crds::Resources::default()));
    assert!(text.contains("canary (new)"), "{text}");
    // The name of a revision that nobody has recorded yet is not among those that `plain` knows.
    let text: String = text
        .lines()
        .filter(|l| !l.contains("(new)") && !l.contains('+') && !l.contains("would say"))
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(text);
}

#[test]
fn those_who_are_asked_are_named() {
    let text = told(&served(), |spec| {
        let sources = serde_json::json!([
            { "name": "errors", "prometheus": { "address": "http://prometheus:9090", "query": "up" }, "max": 0.02 },
            { "name": "gate", "webHook": { "url": "http://gate.shop" } },
            { "name": "check", "job": { "image": "tests:1" } },
        ]);
        spec.rollout.analysis.external = serde_json::from_value(sources).unwrap();
    });
    for line in [
        "errors: a query of http://prometheus:9090, 0.02 at most",
        "gate: the web hook http://gate.shop",
        "check: a Job of tests:1 in each step",
    ] {
        assert!(text.lines().any(|l| l.ends_with(line)), "{line} is not in\n{text}");
    }
}

#[test]
fn another_recipe_is_measured_first() {
    insta::assert_snapshot!(told(&served(), |spec| {
        spec.optimization.as_mut().unwrap().recipes.push(recipe("int4"));
    }));
}

#[test]
fn a_spec_that_cannot_be_worked_with() {
    insta::assert_snapshot!(told(&served(), |spec| {
        spec.artifact_store.size = drydock_crds::Amount("many".into());
        spec.serving.replicas = Some(1);
        spec.serving.autoscaling = Some(serde_json::from_value(serde_json::json!({ "maxReplicas": 3 })).unwrap());
    }));
}

/// The same as the operator then does, to the last write: both ask the same planner.
#[test]
fn what_is_foretold_is_what_happens() {
    let mut cluster = with_canary();
    let steps = |spec: &mut ModelDeploymentSpec| spec.rollout.steps[0].weight = 30;
    let text = told(&cluster, steps);
    cluster.edit(steps);
    let plan = cluster.reconcile(None);
    assert!(!plan.is_empty());
    for split in &plan.splits {
        assert!(text.contains(&plain(&cluster, &format!("Pod {}: sends", split.pod))), "{text}");
    }
    for child in &plan.writes {
        assert!(text.contains(&plain(&cluster, &child.to_string())), "{child}: {text}");
    }
    let says = plain(&cluster, &cluster.status().message);
    assert!(text.contains(&says), "{says}: {text}");
}

/// And who has no Gateway API is told so before anything is applied.
#[test]
fn routes_are_foretold() {
    let mut cluster = served();
    let gateway = |spec: &mut ModelDeploymentSpec| behind_a_gateway(&mut spec.rollout);
    let text = told(&cluster, gateway);
    assert!(text.contains("install the Gateway API") && !text.contains("+ HTTPRoute"), "{text}");
    cluster.observed.gateway_api = true;
    let text = told(&cluster, gateway);
    assert!(text.contains("+ HTTPRoute fashion") && text.contains("+ GRPCRoute fashion"), "{text}");
    cluster.edit(gateway);
    let plan = cluster.reconcile(None);
    assert_eq!(plan.writes.len(), 2);
    assert!(text.contains(&plain(&cluster, &cluster.status().message)), "{text}");
}

#[test]
fn images_that_cannot_be_seen_are_asked_for() {
    let cluster = served();
    let error = images(None, &cluster.md, &Observed::default(), &Given::default()).unwrap_err().to_string();
    assert!(error.contains("--optimizer-image"), "{error}");
    let given = Given { optimizer: Some("o".into()), sidecar: Some("s".into()) };
    let defaults = images(None, &cluster.md, &Observed::default(), &given).unwrap();
    assert_eq!((defaults.optimizer_image.as_str(), defaults.sidecar_image.as_str()), ("o", "s"));
    let mut other = cluster.md.clone();
    other.spec.model.labels.push("bag".into());
    let error = images(Some(&other), &other, &cluster.observed, &Given::default()).unwrap_err().to_string();
    assert!(error.contains("is not the one that this version would make"), "{error}");
    let cluster = with_canary();
    let mut without = cluster.md.clone();
    without.spec.serving.image = None;
    let error = images(Some(&cluster.md), &without, &cluster.observed, &Given::default()).unwrap_err().to_string();
    assert!(error.contains("no revision was made with the second one"), "{error}");
}
