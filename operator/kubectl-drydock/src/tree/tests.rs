use crate::samples::{plain, run, served, simulation::Cluster, with_canary};
use drydock_crds::{SaidBy, Strategy};

use super::*;

fn told(cluster: &Cluster) -> String {
    plain(cluster, &tree(&cluster.md, &cluster.observed, cluster.now))
}

#[test]
fn a_canary_in_a_step() {
    insta::assert_snapshot!(told(&with_canary()));
}

#[test]
fn promoted_and_the_one_before_still_there() {
    let mut cluster = with_canary();
    while cluster.status().rollout.unwrap().canary.is_some() {
        run(&mut cluster, 1);
    }
    insta::assert_snapshot!(told(&cluster));
}

#[test]
fn rolled_back_by_somebody() {
    let mut cluster = with_canary();
    let canary = cluster.status().canary.unwrap().revision;
    cluster.edit(|spec| {
        spec.rollout.control.abort = Some(canary);
        spec.rollout.control.by = Some(SaidBy { abort: Some("jane".into()), ..SaidBy::default() });
    });
    run(&mut cluster, 3);
    insta::assert_snapshot!(told(&cluster));
}

#[test]
fn a_preview_that_waits() {
    let mut cluster = served();
    cluster.edit(|spec| {
        spec.serving.image = Some("sidecar:2".into());
        spec.rollout.strategy = Strategy::BlueGreen;
        spec.rollout.blue_green = Some(drydock_crds::BlueGreen { preview_seconds: 1, pause: true });
    });
    run(&mut cluster, 9);
    insta::assert_snapshot!(told(&cluster));
}

#[test]
fn not_seen_yet() {
    let mut cluster = served();
    cluster.md.status = None;
    insta::assert_snapshot!(tree(&cluster.md, &Observed::default(), cluster.now));
}
