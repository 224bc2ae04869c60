//! Writes that fail in the pass that decides something: what has happened is remembered and recorded, and nothing else is.

use super::*;
use drydock_crds::{Decision, Reason};
use drydock_operator_core::{Plan, announced};
use simulation::Pass;
use simulation::faults::Faults;

/// The pass that decides this, not carried out yet.
fn until(c: &mut Cluster, reason: Reason) -> Pass {
    for _ in 0..120 {
        let pass = c.begin();
        if pass.plan.notices.iter().any(|n| n.reason == reason) {
            return pass;
        }
        c.finish(&pass, &Faults::default());
        c.second();
    }
    panic!("{reason} is never decided");
}

/// Each write of a plan, refused or done without an answer.
fn each_write(plan: &Plan) -> Vec<Faults> {
    let count = plan.writes.len() + plan.scales.len() + plan.splits.len() + plan.records.len() + plan.prune.len();
    let refused = (0..count).map(|number| Faults { refused: 1 << number, ..Faults::default() });
    refused.chain((0..count).map(|number| Faults { unanswered: 1 << number, ..Faults::default() })).collect()
}

/// From all records.
fn decided(c: &Cluster, what: Decided) -> Vec<Decision> {
    assert_eq!(c.status().rollout.unwrap().unrecorded, [], "what is recorded is outstanding no more");
    let text = |r: &ControllerRevision| r.metadata.annotations.as_ref().unwrap().get(RECORD_ANNOTATION).cloned();
    let records = c.observed.revisions.iter().filter_map(text);
    let all = records.flat_map(|text| serde_json::from_str::<Record>(&text).unwrap().decisions);
    all.filter(|d| d.what == what).collect()
}

fn stable(c: &Cluster) -> Option<String> {
    c.status().rollout.unwrap().stable.map(|r| r.revision)
}

#[test]
fn a_rollback_is_recorded_whatever_write_of_its_pass_fails() {
    let mut at = with(Behaviour { errors: 10, ..Behaviour::default() }).cluster;
    let pass = until(&mut at, Reason::RolledBack);
    let record = pass.plan.writes.iter().find(|c| c.kind() == ChildKind::Revision).unwrap().to_string();
    for faults in each_write(&pass.plan) {
        let mut c = at.clone();
        c.finish(&pass, &faults);
        assert!(c.status().rollout.unwrap().failed.is_some(), "{faults:?}");
        assert_eq!(announced(&pass.plan, &c.status()).len(), pass.plan.notices.len(), "{faults:?}");
        assert!(c.settle(200));
        let told = decided(&c, Decided::RolledBack);
        assert_eq!(told.len(), 1, "{faults:?}");
        assert!(told[0].why.starts_with("ErrorRate: error rate") && !told[0].metrics.is_empty(), "{told:?}");
    }
    // Nor is it forgotten while the write is refused again and again.
    let at_once = {
        let mut c = at.clone();
        c.settle(200);
        decided(&c, Decided::RolledBack)
    };
    at.taken.insert(record);
    for _ in 0..20 {
        at.reconcile(None);
        at.second();
    }
    assert_eq!(at.status().rollout.unwrap().unrecorded.len(), 1);
    at.taken.clear();
    assert!(at.settle(200));
    assert_eq!(decided(&at, Decided::RolledBack), at_once);
}

#[test]
fn a_promotion_is_remembered_once_the_service_has_moved_and_not_before() {
    let mut at = with(Behaviour::default()).cluster;
    let before = at.selected();
    let pass = until(&mut at, Reason::Promoted);
    for faults in each_write(&pass.plan) {
        let mut c = at.clone();
        c.finish(&pass, &faults);
        if faults.unanswered == 0 {
            assert_eq!(stable(&c), c.selected(), "{faults:?}");
        }
        let is_announced = announced(&pass.plan, &c.status()).iter().any(|n| n.reason == Reason::Promoted);
        assert_eq!(is_announced, stable(&c) != before, "{faults:?}");
        assert!(c.settle(200));
        assert!(stable(&c) == c.selected() && stable(&c) != before, "{faults:?}");
        assert_eq!(decided(&c, Decided::Promoted).len(), 1, "{faults:?}");
    }
}

/// Somebody has a name that has nothing to do with it. Not to remember the promotion was to move the Service back at once, to the pods that
/// the old revision has, when the spec asked for it again.
#[test]
fn a_promotion_beside_a_name_that_is_taken_for_good() {
    let mut story = with(Behaviour::default());
    let c = &mut story.cluster;
    let budget = c.children().into_iter().find(|c| c.kind == ChildKind::Budget).unwrap();
    c.remove(&budget);
    c.taken.insert(budget.to_string());
    let before = c.selected();
    for _ in 0..60 {
        c.reconcile(None);
        assert_eq!(stable(c), c.selected());
        c.second();
    }
    let after = c.selected();
    assert_ne!(before, after);
    assert_eq!(decided(c, Decided::Promoted).len(), 1);
    c.edit(|s| s.serving.image = None);
    c.reconcile(None);
    assert_eq!((c.selected(), stable(c)), (after.clone(), after));
}
