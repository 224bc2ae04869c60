use crate::samples::simulation::Behaviour;
use crate::samples::{next_version, plain, run, served, with_canary};
use drydock_crds::SaidBy;

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
