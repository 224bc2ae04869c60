use crate::samples::simulation::Behaviour;
use crate::samples::{next_version, plain, run, served, with_canary};
use drydock_crds::{ExternalMetric, SaidBy, WebHook};
use drydock_operator_core::Answer;

use super::*;

#[test]
fn rolled_back_and_the_numbers_that_did_it() {
    let mut cluster = served();
    cluster.behaviours.insert("sidecar:2".into(), Behaviour { errors: 50, ..Behaviour::default() });
    next_version(&mut cluster);
    run(&mut cluster, 20);
    insta::assert_snapshot!(plain(&cluster, &why(&cluster.md, &cluster.observed.revisions)));
}

#[test]
fn rolled_back_by_what_others_say() {
    let mut cluster = served();
    let hook = WebHook { url: "http://gate.shop".into(), ..WebHook::default() };
    let gate = ExternalMetric { name: "gate".into(), web_hook: Some(hook), ..ExternalMetric::default() };
    cluster.edit(|spec| spec.rollout.analysis.external = vec![gate]);
    cluster.answers.insert("gate".into(), Answer::No("HTTP 403".into()));
    next_version(&mut cluster);
    run(&mut cluster, 20);
    let told = plain(&cluster, &why(&cluster.md, &cluster.observed.revisions));
    let row = told.lines().find(|l| l.contains("── External")).unwrap();
    let row: Vec<&str> = row.split("  ").map(str::trim).filter(|t| !t.is_empty()).collect();
    let expected = "gate says no: HTTP 403 (1 of 1 answers bad, 0 allowed)";
    assert_eq!(row[row.len() - 4..], ["Fail", "bad answers 1.00 of 1.00", "1 answers", expected], "{told}");
    assert!(told.contains("RolledBack in step 1: External: gate says no"), "{told}");
}

#[test]
fn promoted_by_somebody() {
    let mut cluster = with_canary();
    let canary = cluster.status().canary.unwrap().revision;
    cluster.edit(|spec| {
        spec.rollout.control.promote = Some(canary);
        spec.rollout.control.by = Some(SaidBy { promote: Some("jane".into()), ..SaidBy::default() });
    });
    run(&mut cluster, 10);
    let told = plain(&cluster, &why(&cluster.md, &cluster.observed.revisions));
    assert!(told.contains("Promoted, by jane"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn as_many_digits_as_say_something() {
    for (x, expected) in
        [(0.959_000_000_000_000_1, "0.959"), (2.62, "2.62"), (29.3, "29.3"), (160.0, "160"), (1e9, "1000000000")]
    {
        assert_eq!(digits(x), expected);
    }
}

#[test]
fn nothing_yet() {
    let mut cluster = served();
    cluster.md.status = None;
    assert_eq!(why(&cluster.md, &[]), "fashion\n└── nothing has been decided yet\n");
}
