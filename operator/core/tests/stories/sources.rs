//! What others say of a canary.

use drydock_crds::{CheckJob, ExternalMetric, PrometheusQuery, WebHook};
use drydock_operator_core::Answer;

use super::*;

fn prometheus() -> ExternalMetric {
    ExternalMetric {
        name: "checkout-errors".into(),
        prometheus: Some(PrometheusQuery {
            address: "http://prometheus.monitoring:9090".into(),
            query: r#"sum(rate(checkout_errors{revision="{{canary}}"}[1m]))"#.into(),
        }),
        max: Some(0.02),
        interval_seconds: Some(3),
        failure_limit: 1,
        ..ExternalMetric::default()
    }
}

fn gate() -> ExternalMetric {
    let web_hook = WebHook { url: "http://gate.{{namespace}}/{{name}}".into(), ..WebHook::default() };
    ExternalMetric { name: "gate".into(), web_hook: Some(web_hook), ..ExternalMetric::default() }
}

fn acceptance() -> ExternalMetric {
    let args = vec!["--against=http://{{name}}-canary:8080".into()];
    let job = CheckJob { image: "tests:1".into(), args, ..CheckJob::default() };
    ExternalMetric { name: "acceptance".into(), job: Some(job), ..ExternalMetric::default() }
}

fn judged_by(of: ExternalMetric) -> Story {
    let mut story = with(Behaviour::default());
    story.cluster.edit(|s| s.rollout.analysis.external = vec![of]);
    story
}

#[test]
fn good_by_every_source() {
    let mut story = judged_by(gate());
    story.cluster.edit(|s| s.rollout.analysis.external = vec![prometheus(), gate(), acceptance()]);
    story.run(50);
    story.check("good_by_every_source");
}

/// One bad answer is allowed, the second rolls back.
#[test]
fn rolled_back_by_prometheus() {
    let mut story = judged_by(prometheus());
    story.run(8);
    story.act("checkout-errors is 0.31", |c| {
        c.answers.insert("checkout-errors".into(), Answer::Number(0.31));
    });
    story.run(15);
    story.check("rolled_back_by_prometheus");
}

/// Neither a pass nor a failure: the step goes on until it says something.
#[test]
fn prometheus_cannot_be_reached() {
    let mut story = judged_by(prometheus());
    let nothing = Answer::Nothing("connection refused".into());
    story.cluster.answers.insert("checkout-errors".into(), nothing);
    story.run(40);
    story.act("it answers", |c| c.answers.clear());
    story.run(25);
    story.check("prometheus_cannot_be_reached");
}

#[test]
fn a_web_hook_says_no() {
    let mut story = judged_by(gate());
    story.cluster.answers.insert("gate".into(), Answer::No("HTTP 403".into()));
    story.run(15);
    story.check("a_web_hook_says_no");
}

/// A preview gets no requests that could be judged: a Job can try it all the same.
#[test]
fn a_preview_fails_its_acceptance() {
    let mut story = judged_by(acceptance());
    story.cluster.exit_codes.insert("tests:1".into(), 3);
    story.cluster.edit(|s| {
        s.rollout.strategy = Strategy::BlueGreen;
        s.rollout.blue_green = Some(BlueGreen { preview_seconds: 10, pause: false });
    });
    story.run(25);
    assert!(story.cluster.observed.jobs.iter().all(|j| !simulation::sources::is_check(j)), "a Job is left");
    story.check("a_preview_fails_its_acceptance");
}

/// What was heard is lost with the operator, and asked again: nothing is decided meanwhile, whatever becomes of missing evidence.
#[test]
fn an_operator_that_starts_anew_asks_again() {
    let mut story = judged_by(ExternalMetric {
        on_not_enough_evidence: Some(drydock_crds::OnNotEnoughEvidence::RollBack),
        ..gate()
    });
    story.run(40);
    let mut c = story.cluster;
    c.edit(|s| s.serving.image = Some("sidecar:3".into()));
    for _ in 0..60 {
        c.observed.external.clear();
        c.reconcile(None);
        c.second();
    }
    // It has never heard of an answer, and neither goes on nor back.
    let rollout = c.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.failed), (0, None));
    for _ in 0..60 {
        c.reconcile(None);
        c.second();
    }
    let rollout = c.status().rollout.unwrap();
    assert_eq!((rollout.canary, rollout.failed), (None, None));
}
