//! What is made before anything is served.

use super::*;

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
fn suspended_while_optimizing() {
    let mut story = Story::of(Cluster::new(fashion()));
    story.run(2);
    story.act("suspend", |c| c.edit(|s| s.suspend = true));
    story.run(10);
    story.act("resume", |c| c.edit(|s| s.suspend = false));
    story.run(20);
    story.check("suspended_while_optimizing");
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
