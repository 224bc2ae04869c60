//! Everything that can be wrong with a spec, and what it is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod simulation;

use drydock_crds::{
    Amount, CheckJob, ExternalMetric, FurtherModel, ModelDeploymentSpec, PodTemplate, Resources, Search, Source,
    UrlSource, WebHook,
};
use drydock_operator_core::{Defaults, resolve};
use serde_json::json;
use simulation::fixtures::fashion;

fn errors(change: impl FnOnce(&mut ModelDeploymentSpec)) -> Vec<String> {
    let mut md = fashion();
    change(&mut md.spec);
    match resolve(&md, &Defaults::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn overlay(spec: serde_json::Value) -> impl FnOnce(&mut ModelDeploymentSpec) {
    move |s| {
        s.serving.pod_template = Some(PodTemplate { spec: spec.as_object().cloned(), ..PodTemplate::default() });
    }
}

fn one(found: &[String], field: &str, says: &str) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!("{field}: ")) && found[0].contains(says), "{found:?}");
}

#[test]
fn a_good_one() {
    assert_eq!(errors(|_| {}), Vec::<String>::new());
    assert_eq!(
        errors(overlay(
            json!({"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "hostNetwork": null})
        )),
        Vec::<String>::new()
    );
}

#[test]
fn sources() {
    let url = |url: &str| Source { https: Some(UrlSource { url: url.into() }), ..Source::default() };
    one(&errors(|s| s.model.source = Source::default()), "spec.model.source", "exactly one");
    one(&errors(|s| s.model.source = url("http://a/b")), "spec.model.source.https.url", "sha256");
    one(&errors(|s| s.model.source = url("file:///etc/passwd")), "spec.model.source.https.url", "https://");
    one(&errors(|s| s.model.source.sha256 = Some("abc".into())), "spec.model.source.sha256", "64 hexadecimal");
    let up = |s: &mut ModelDeploymentSpec| {
        s.optimization.as_mut().unwrap().dataset.as_mut().unwrap().evaluation.pvc.as_mut().unwrap().path =
            "a/../../b".into();
    };
    one(&errors(up), "spec.optimization.dataset.evaluation.pvc.path", "'..'");
}

#[test]
fn words_that_a_question_does_not_have() {
    let hook = |url: &str, metadata: &str| {
        let metadata = [("team".to_owned(), metadata.to_owned())].into();
        let web_hook = Some(WebHook { url: url.into(), metadata, ..WebHook::default() });
        ExternalMetric { name: "gate".into(), web_hook, ..ExternalMetric::default() }
    };
    let with = |of: ExternalMetric| errors(|s| s.rollout.analysis.external = vec![of]);
    assert_eq!(with(hook("http://{{name}}-canary.{{namespace}}/{{canary}}", "{{ stable }}")), Vec::<String>::new());
    let field = "spec.rollout.analysis.external[0]";
    one(&with(hook("http://{{service}}/", "")), &format!("{field}.webHook.url"), "{{canary}}, {{stable}}");
    one(&with(hook("http://a/", "{{args.x}}")), &format!("{field}.webHook.metadata.team"), "found {{args.x}}");
    let job = |job| ExternalMetric { name: "check".into(), job: Some(job), ..ExternalMetric::default() };
    let args = |arg: &str| CheckJob { args: vec!["a".into(), arg.into()], ..CheckJob::default() };
    one(&with(job(args("{{revision}}"))), &format!("{field}.job.args[1]"), "found {{revision}}");
    let limits = [("memory".to_owned(), Amount("much".into()))].into();
    let resources = Some(Resources { limits, ..Resources::default() });
    let wrong = job(CheckJob { resources, ..CheckJob::default() });
    one(&with(wrong), &format!("{field}.job.resources.limits.memory"), "a quantity");
}

#[test]
fn fields_that_a_pod_does_not_have() {
    one(&errors(overlay(json!({"nodeSelektor": {}}))), "spec.serving.podTemplate.spec.nodeSelektor", "no field");
    one(
        &errors(overlay(json!({"containers": [{"name": "a"}, {"name": "b", "resources": {"limit": {"cpu": "1"}}}]}))),
        "spec.serving.podTemplate.spec.containers[1].resources.limit",
        "no field",
    );
    one(&errors(overlay(json!({"nodeSelector": 3}))), "spec.serving.podTemplate.spec", "");
}

#[test]
fn labels_that_services_select_by() {
    let found = errors(|s| {
        s.serving.pod_template = Some(PodTemplate {
            labels: [("drydock.dev/revision".into(), "x".into()), ("team".into(), "shop".into())].into(),
            ..PodTemplate::default()
        });
    });
    one(&found, "spec.serving.podTemplate.labels.drydock.dev/revision", "set by Drydock");
}

#[test]
fn amounts() {
    let resources = |requests: &str, limits: &str| {
        Some(Resources {
            requests: [("memory".into(), Amount(requests.into()))].into(),
            limits: [("memory".into(), Amount(limits.into()))].into(),
        })
    };
    one(
        &errors(|s| s.serving.resources = resources("2Gi", "1024Mi")),
        "spec.serving.resources.requests.memory",
        "over the limit",
    );
    one(
        &errors(|s| s.optimization.as_mut().unwrap().gates.max_memory = Some(Amount("-1".into()))),
        "spec.optimization.gates.maxMemory",
        "quantity",
    );
    assert!(errors(|s| s.serving.resources = resources("1Gi", "1024Mi")).is_empty());
}

/// A search looks for what the gates ask for; a recipe is made the same whatever they are.
#[test]
fn gates_are_part_of_the_work_where_there_is_a_search() {
    let work = |search: Option<Search>, max_accuracy_drop: f64| {
        let mut md = fashion();
        let optimization = md.spec.optimization.as_mut().unwrap();
        optimization.search = search;
        optimization.gates.max_accuracy_drop = max_accuracy_drop;
        optimization.gates.max_memory = Some(Amount("64Mi".into()));
        resolve(&md, &Defaults::default()).unwrap().optimization
    };
    let (without, other_gates) = (work(None, 1.0), work(None, 0.5));
    assert_eq!(without, other_gates);
    let minute = Search { time_budget_seconds: 60, ..Search::default() };
    let with = work(Some(minute.clone()), 0.5);
    assert_ne!(with.hash, work(Some(minute), 1.0).hash);
    assert_eq!((without.task.candidates(), with.task.candidates()), (2, 3));
    assert_eq!(with.deadline_seconds, without.deadline_seconds + 60, "the recipes keep their time");
    let search = with.task.search.unwrap();
    assert_eq!((search.limits.max_accuracy_drop, search.limits.max_memory_bytes), (0.5, Some(67_108_864.0)));
    assert_eq!((search.time_budget_seconds, search.max_candidates), (60, Search::default().max_candidates));

    let blind = |s: &mut ModelDeploymentSpec| {
        let optimization = s.optimization.as_mut().unwrap();
        optimization.search = Some(Search::default());
        optimization.recipes.clear();
        optimization.dataset = None;
    };
    one(&errors(blind), "spec.optimization.dataset", "is missing");
}

#[test]
fn further_models_and_training_data() {
    let file = |path: &str| Source { https: Some(UrlSource { url: format!("https://m/{path}") }), ..Source::default() };
    let named = |model: &str| {
        let distill = drydock_contract::Distill { teacher: Some(model.into()), ..Default::default() };
        let techniques = vec![drydock_contract::Technique { distill: Some(distill), ..Default::default() }];
        drydock_contract::Recipe { name: "taught".into(), techniques }
    };
    let mut md = fashion();
    let optimization = md.spec.optimization.as_mut().unwrap();
    optimization.models =
        vec![FurtherModel { name: "large".into(), source: optimization.dataset.clone().unwrap().evaluation }];
    optimization.dataset.as_mut().unwrap().training = Some(file("training.npz"));
    optimization.recipes = vec![named("large")];
    let work = resolve(&md, &Defaults::default()).unwrap().optimization;
    assert!(work.mounts.contains_key("model-large"), "{:?}", work.mounts);
    assert!(work.task_json.contains("/sources/model-large/") && work.task_json.contains("https://m/training.npz"));
    one(
        &errors(|s| s.optimization.as_mut().unwrap().recipes = vec![named("nobody")]),
        "spec.optimization.recipes[0]",
        "\"nobody\"",
    );
}

#[test]
fn all_of_them_at_once() {
    let found = errors(|s| {
        s.model.source = Source::default();
        s.artifact_store.size = Amount("much".into());
        s.model.labels = vec!["x".repeat(1000); 200];
    });
    assert_eq!(found.len(), 3, "{found:?}");
}
