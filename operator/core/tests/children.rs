//! Every child as it is sent, and the statuses, as YAML: a change of a field shows up in review.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod simulation;

use std::collections::BTreeMap;

use drydock_crds::{
    Amount, Autoscaling, Batching, CheckJob, ExternalMetric, ImageSource, ModelDeploymentStatus, PodTemplate,
    Resources, RolloutStatus, Source,
};
use drydock_operator_core::{Applied, Child, ChildKind, FailedWrite, Plan, resolve, status};
use serde_json::json;
use simulation::Cluster;
use simulation::fixtures::{behind_a_gateway, fashion, in_a_mesh, pvc};

/// Everything that is written until the model is served.
fn written(cluster: &mut Cluster) -> Vec<Child> {
    let mut all = Vec::new();
    for _ in 0..15 {
        let plan: Plan = cluster.reconcile(None);
        all.extend(plan.writes);
        cluster.second();
    }
    all
}

fn of(kind: ChildKind, all: &[Child]) -> Vec<serde_json::Value> {
    all.iter().filter(|c| c.kind() == kind).map(Child::to_json).collect()
}

macro_rules! snapshot {
    ($name:expr, $value:expr) => {
        insta::with_settings!({ sort_maps => true, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_yaml_snapshot!($name, $value);
        });
    };
}

#[test]
fn every_kind() {
    let mut md = fashion();
    md.spec.serving.replicas = None;
    md.spec.serving.autoscaling =
        Some(Autoscaling { min_replicas: 2, max_replicas: 6, target_cpu_utilization_percentage: 70 });
    behind_a_gateway(&mut md.spec.rollout);
    let mut cluster = Cluster::new(md);
    cluster.observed.gateway_api = true;
    let all = written(&mut cluster);
    for kind in ChildKind::ALL {
        let found = of(kind, &all);
        assert!(!found.is_empty(), "{kind} is never written");
        for child in &found {
            assert_eq!(child["apiVersion"], kind.api_version());
            assert_eq!(child["kind"], kind.kind());
            let metadata = &child["metadata"];
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "drydock");
            assert_eq!(metadata["ownerReferences"][0]["controller"], true);
            assert!(metadata["annotations"]["drydock.dev/applied"].is_string());
        }
        snapshot!(kind.plural(), found);
    }
}

#[test]
fn sources_in_images_and_volumes() {
    let mut md = fashion();
    md.spec.model.source = Source {
        oci: Some(ImageSource {
            image: "registry.example/models/fashion@sha256:00".into(),
            path: "models/fashion.onnx".into(),
        }),
        sha256: Some("A".repeat(64)),
        ..Source::default()
    };
    md.spec.optimization.as_mut().unwrap().dataset.as_mut().unwrap().calibration = pvc("a/b.npz");
    let all = written(&mut Cluster::new(md));
    snapshot!("job_with_image_volume", of(ChildKind::Job, &all));
}

/// The parent is the Service that is a backend too, by the port of each kind of route.
#[test]
fn routes_of_a_mesh() {
    let mut md = fashion();
    in_a_mesh(&mut md.spec.rollout);
    let mut cluster = Cluster::new(md);
    cluster.observed.gateway_api = true;
    let all = written(&mut cluster);
    let routes: Vec<_> = [ChildKind::HttpRoute, ChildKind::GrpcRoute].iter().flat_map(|kind| of(*kind, &all)).collect();
    snapshot!("routes_of_a_mesh", routes);
}

/// One that a step asks: restricted as all pods, run once, and gone with the step.
#[test]
fn a_job_that_checks_a_canary() {
    let mut cluster = Cluster::new(fashion());
    assert!(cluster.settle(100));
    cluster.edit(|s| {
        let args = vec!["--canary={{canary}}".into(), "http://{{name}}-canary.{{namespace}}:8080".into()];
        let job = CheckJob { image: "tests:1".into(), command: vec!["/try".into()], args, resources: None };
        s.rollout.analysis.external =
            vec![ExternalMetric { name: "acceptance".into(), job: Some(job), ..ExternalMetric::default() }];
        s.serving.image = Some("sidecar:2".into());
    });
    let all = written(&mut cluster);
    snapshot!("job_that_checks_a_canary", of(ChildKind::Job, &all));
}

#[test]
fn everything_that_shapes_a_pod() {
    let mut md = fashion();
    md.spec.serving.batching = Some(Batching { max_size: 8, max_delay_milliseconds: 2 });
    let amounts = |list: &[(&str, &str)]| {
        list.iter().map(|(k, v)| ((*k).into(), Amount((*v).into()))).collect::<BTreeMap<_, _>>()
    };
    md.spec.serving.resources =
        Some(Resources { requests: amounts(&[("cpu", "2")]), limits: amounts(&[("cpu", "2"), ("memory", "1Gi")]) });
    let overlay = json!({
        "nodeSelector": {"disk": "fast"},
        "containers": [
            {"name": "inference-sidecar", "env": [{"name": "RUST_LOG", "value": "debug"}]},
            {"name": "logs", "image": "logs:1"},
        ],
    });
    md.spec.serving.pod_template = Some(PodTemplate {
        labels: [("team".into(), "shop".into())].into(),
        annotations: [("note".into(), "mine".into())].into(),
        spec: overlay.as_object().cloned(),
    });
    let all = written(&mut Cluster::new(md));
    snapshot!("deployment_with_everything", of(ChildKind::Deployment, &all));
}

#[test]
fn statuses() {
    let mut cluster = Cluster::new(fashion());
    let seconds = |cluster: &mut Cluster, n: usize| {
        for _ in 0..n {
            cluster.reconcile(None);
            cluster.second();
        }
        cluster.reconcile(None);
    };
    seconds(&mut cluster, 4);
    snapshot!("status_optimizing", cluster.status());
    seconds(&mut cluster, 8);
    snapshot!("status_serving", cluster.status());
    cluster.edit(|s| s.serving.image = Some("sidecar:2".into()));
    seconds(&mut cluster, 5);
    snapshot!("status_canary", cluster.status());
    cluster.edit(|s| {
        s.serving.resources =
            Some(Resources { requests: [("cpu".into(), Amount("x".into()))].into(), ..Resources::default() });
    });
    cluster.reconcile(None);
    snapshot!("status_invalid_spec", cluster.status());
    let mut expected = cluster.status();
    cluster.second();
    cluster.reconcile(None);
    expected.canary.as_mut().unwrap().ready_replicas = 1;
    assert_eq!(cluster.status(), expected, "nothing moves but what is on its way already");
}

#[test]
fn an_overlay_needs_no_containers() {
    let mut md = fashion();
    let overlay = json!({"nodeSelector": {"disk": "fast"}});
    md.spec.serving.pod_template = Some(PodTemplate { spec: overlay.as_object().cloned(), ..PodTemplate::default() });
    let all = written(&mut Cluster::new(md));
    let pod = of(ChildKind::Deployment, &all)[0]["spec"]["template"]["spec"].clone();
    assert_eq!(pod["nodeSelector"], overlay["nodeSelector"]);
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
}

fn refused(why: &str, is_terminal: bool) -> Applied {
    let failed = vec![FailedWrite { what: "Deployment fashion-x".to_owned(), why: why.to_owned(), is_terminal }];
    Applied { failed, ..Applied::default() }
}

/// What would be refused again waits for a person, and says so.
#[test]
fn a_terminal_refusal_stalls() {
    let mut cluster = Cluster::new(fashion());
    written(&mut cluster);
    let resolved = resolve(&cluster.md, &cluster.defaults).unwrap();
    for (is_terminal, condition) in [(true, "Stalled"), (false, "Reconciling")] {
        let applied = refused("spec.replicas: Invalid value", is_terminal);
        let next = status(None, 1, &resolved, &cluster.plan(), &applied, cluster.now);
        assert_eq!((next.conditions[1].type_.as_str(), next.conditions[1].reason.as_str()), (condition, "ApplyFailed"));
        assert_eq!(next.conditions[1].message, "Deployment fashion-x: spec.replicas: Invalid value");
    }
}

/// A promotion has happened once the Service has moved, and not before; anything else is remembered, so that deadlines pass.
#[test]
fn a_service_that_was_not_written_holds_back_a_promotion_and_nothing_else() {
    let mut cluster = Cluster::new(fashion());
    written(&mut cluster);
    cluster.edit(|s| s.serving.image = Some("sidecar:2".into()));
    let applied = refused("exceeded quota", false);
    let mut unmoved = applied.clone();
    unmoved.failed[0].what = "Service fashion".to_owned();
    let mut promotion_seen = false;
    for pass in 0..60 {
        let (before, plan) = (cluster.status(), cluster.plan());
        let resolved = resolve(&cluster.md, &cluster.defaults).unwrap();
        let next = status(Some(&before), 2, &resolved, &plan, &applied, cluster.now);
        let was = before.rollout.clone().unwrap();
        // What was decided is in its record, as far as that was written.
        let remembered = |of: ModelDeploymentStatus| RolloutStatus { unrecorded: Vec::new(), ..of.rollout.unwrap() };
        let planned = RolloutStatus { unrecorded: Vec::new(), ..plan.memory.rollout.clone() };
        assert_eq!(remembered(next.clone()), planned, "pass {pass}");
        let held_back = status(Some(&before), 2, &resolved, &plan, &unmoved, cluster.now);
        let is_promoted = planned.stable != was.stable;
        promotion_seen |= is_promoted;
        assert_eq!(remembered(held_back), if is_promoted { was } else { planned }, "pass {pass}");
        assert_eq!(next.message, "Deployment fashion-x: exceeded quota");
        let found: Vec<_> =
            next.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect();
        assert_eq!(found[..2], [("Ready", "False", "ApplyFailed"), ("Reconciling", "True", "ApplyFailed")]);
        cluster.reconcile(None);
        cluster.second();
    }
    assert!(promotion_seen);
}
