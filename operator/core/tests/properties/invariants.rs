//! What holds after every pass, whatever has happened.

use drydock_contract::Split;
use drydock_operator_core::ChildKind;

use super::simulation::Cluster;
use super::simulation::faults::Faults;

/// A pass, if there is something to wake for, and what must hold before and after it.
pub fn pass_if_due(c: &mut Cluster) {
    if !c.is_due() {
        return;
    }
    let selected = c.selected();
    let pass = c.look();
    if c.now.as_second() % 16 == 0 {
        assert_eq!(c.plan(), pass.plan, "equal inputs give equal plans");
    }
    c.act(&pass, &Faults::default());
    let plan = pass.plan;
    let rollout = &plan.memory.rollout;

    // What is pruned is neither selected nor about to be.
    let stable = rollout.stable.as_ref().map(|r| r.revision.clone());
    for gone in plan.prune.iter().filter(|g| matches!(g.kind, ChildKind::Deployment | ChildKind::Revision)) {
        let is_of = |revision: &Option<String>| revision.as_ref().is_some_and(|r| gone.name.ends_with(r.as_str()));
        assert!(!is_of(&stable) && !is_of(&c.selected()), "{gone} is in use");
    }

    // Scale first, then the switch; but for what is called back, which takes over with the pods that it has.
    let is_called_back = c.md.spec.rollout.control.roll_back_to.is_some();
    // While a write is refused for good, a promotion is written and not remembered, and is taken back as it is (docs/reliability.md).
    if let (Some(from), Some(to)) = (&selected, c.selected())
        && *from != to
        && c.taken.is_empty()
    {
        let needed = if is_called_back { 1.min(c.ready(from)) } else { c.ready(from) };
        assert!(c.ready(&to) >= needed, "from {} ready pods to {}", c.ready(from), c.ready(&to));
    }

    // Nobody gets more than it can take.
    let Some(stable) = stable else { return };
    let canary = rollout.canary.as_ref().map(|r| r.revision.clone());
    let ready = canary.as_ref().map_or(0, |r| c.ready(r));
    // A pod on its way out is sent nothing new, and is told nothing new.
    for pod in c.observed.pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none()) {
        let of = pod.metadata.labels.as_ref().unwrap().get("drydock.dev/revision");
        let split = pod.metadata.annotations.as_ref().and_then(|a| a.get(drydock_contract::SPLIT_ANNOTATION));
        let split: Option<Split> = split.map(|s| serde_json::from_str(s).unwrap());
        if of == Some(&stable) {
            match (&split, &canary) {
                (None, _) => {}
                (Some(split), None) => panic!("{split:?} without a canary"),
                (Some(split), Some(canary)) => {
                    assert_eq!(&split.revision, canary);
                    assert!(split.weight > 0 || split.shadow > 0 || !split.matches.is_empty());
                    let load = usize::from(split.weight) + usize::from(split.shadow);
                    assert!(ready > 0 && load * c.ready(&stable) <= 100 * ready, "{split:?}: {ready} ready");
                }
            }
        } else if canary.is_some() {
            assert_eq!(split, None, "only the stable revision sends on");
        }
    }
}
