//! What holds after every pass, whatever has happened.

use drydock_contract::Split;
use drydock_crds::{RevisionStatus, RolloutStage, RolloutStatus, Router};
use drydock_operator_core::{Child, ChildKind, Plan};
use jiff::SignedDuration;

use super::kstatus;
use super::simulation::faults::Faults;
use super::simulation::strangers::Owner;
use super::simulation::{Cluster, Pass};

/// A pass, if there is something to wake for, and what must hold before and after it.
pub fn pass_if_due(c: &mut Cluster) {
    if !c.is_due() {
        return;
    }
    let selected = c.selected();
    let was = c.status();
    let pass = c.look();
    match c.now.as_second() % 16 {
        0 => assert_eq!(c.plan(), pass.plan, "equal inputs give equal plans"),
        8 => changes_nothing_beside_copies(c, &pass.plan),
        _ => {}
    }
    c.act(&pass, &Faults::default());
    kstatus::holds_together(&was, &c.status(), c.md.metadata.generation);
    let before = was.rollout.unwrap_or_default();
    let plan = pass.plan;
    let rollout = &plan.memory.rollout;
    keeps_what_was_replaced(c, selected.as_deref(), &before, rollout);

    // A step that a gateway has not accepted is not passed.
    let is_gateway = c.md.spec.rollout.router == Router::Gateway;
    let passed = before.stage == RolloutStage::Holding && before.canary == rollout.canary && rollout.step > before.step;
    // A person may, before the gateway has the weight, too.
    let word = c.md.spec.rollout.control.promote.as_ref();
    let named = word.is_some() && word == before.canary.as_ref().map(|canary| &canary.revision);
    let is_told = named && rollout.stage == RolloutStage::Promoting;
    let is_skipped = is_told || rollout.promoted != before.promoted || before.course != rollout.course;
    if is_gateway && passed && !is_skipped && c.md.spec.rollout.strategy == drydock_crds::Strategy::Canary {
        let step = &c.md.spec.rollout.steps[usize::try_from(before.step).unwrap()];
        assert_eq!(c.gateway.weight, step.weight, "passed without its weight: {before:?}");
    }
    // What a gateway still sends the canary finds its pods.
    let pending = rollout.gateway.as_ref().and_then(|g| g.pending_since.as_ref());
    let is_given_up = pending.is_some_and(|since| c.operators_now().duration_since(since.0).as_secs() > 30);
    if is_gateway && c.gateway.weight > 0 && !is_given_up && !c.routes().is_empty() {
        let ends =
            |revision: &str| plan.prune.iter().any(|g| g.kind == ChildKind::Deployment && g.name.ends_with(revision));
        assert!(!before.canary.as_ref().is_some_and(|canary| ends(&canary.revision)), "{plan:#?}");
    }

    // What is pruned is neither selected nor about to be, nor kept to be gone back to.
    let revision = |of: &Option<RevisionStatus>| of.as_ref().map(|r| r.revision.clone());
    let stable = revision(&rollout.stable);
    for gone in plan.prune.iter().filter(|g| matches!(g.kind, ChildKind::Deployment | ChildKind::Revision)) {
        let is_of = |revision: &Option<String>| revision.as_ref().is_some_and(|r| gone.name.ends_with(r.as_str()));
        assert!(!is_of(&stable) && !is_of(&c.selected()), "{gone} is in use");
        assert!(!is_of(&revision(&rollout.canary)) && !is_of(&revision(&rollout.previous)), "{gone} has a part");
    }

    // Scale first, then the switch; but for what is called back, which takes over with the pods that it has.
    let is_called_back = c.md.spec.rollout.control.roll_back_to.is_some();
    if let (Some(from), Some(to)) = (&selected, c.selected())
        && *from != to
    {
        let needed = match c.md.spec.serving.replicas {
            // All pods are about to go: nobody is to be answered.
            Some(0) => 0,
            _ if is_called_back => 1.min(c.ready(from)),
            _ => c.ready(from),
        };
        assert!(c.ready(&to) >= needed, "from {} ready pods to {}", c.ready(from), c.ready(&to));
    }

    // Nobody gets more than it can take.
    let Some(stable) = stable else { return };
    let canary = rollout.canary.as_ref().map(|r| r.revision.clone());
    let ready = canary.as_ref().map_or(0, |r| c.ready(r));
    for weight in c.asked_of_the_gateway() {
        let load = usize::try_from(weight).unwrap();
        assert!(load == 0 || (ready > 0 && load * c.ready(&stable) <= 100 * ready), "{weight} %: {ready} ready");
    }
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
                    let sends = split.weight > 0 || split.shadow > 0 || !split.matches.is_empty();
                    assert_eq!(sends, !is_gateway, "{split:?}: divided twice, or not at all");
                    assert!(is_gateway || c.asked_of_the_gateway().iter().all(|weight| *weight == 0));
                    let load = usize::from(split.weight) + usize::from(split.shadow);
                    assert!(ready > 0 && load * c.ready(&stable) <= 100 * ready, "{split:?}: {ready} ready");
                }
            }
        } else if is_gateway && of == canary.as_ref() {
            assert!(split.is_none_or(|s| s.weight == 0 && s.shadow == 0 && s.matches.is_empty()));
        } else if canary.is_some() {
            let is_replaced = split.as_ref().is_some_and(|s| *s == Split::replaced(&stable));
            assert!(split.is_none() || is_replaced, "only the stable revision sends on: {split:?}");
        }
    }
}

/// What a pass has decided, with whatever goes wrong; what it says of itself holds together all the same.
pub fn write(c: &mut Cluster, pass: &Pass, faults: &Faults) {
    let before = c.status();
    c.act(pass, faults);
    let status = c.status();
    if status != before {
        kstatus::holds_together(&before, &status, c.md.metadata.generation);
    }
}

/// What has our labels, and no more, changes nothing of what is done; but records are numbered on from whatever is there.
fn changes_nothing_beside_copies(c: &Cluster, plan: &Plan) {
    let mut beside = c.clone();
    beside.copy(Owner::of((c.now.as_second() / 16 % 3) as u8));
    let [mut alone, mut beside] = [plan.clone(), beside.plan()];
    for child in [&mut alone, &mut beside].into_iter().flat_map(|plan| plan.writes.iter_mut().chain(&mut plan.records))
    {
        if let Child::Revision(record) = child {
            record.revision = None;
        }
    }
    assert_eq!(alone, beside);
}

/// What was replaced stays for `scaleDownDelaySeconds`, unless it is called back, or replaced in its part by the next one.
fn keeps_what_was_replaced(c: &Cluster, selected: Option<&str>, before: &RolloutStatus, after: &RolloutStatus) {
    let now = c.operators_now();
    // One that has nobody to protect is replaced at once, and is never ready before.
    if !after.stable_was_ready || !before.stable_was_ready || after.stable.is_none() {
        return;
    }
    if after.stable != before.stable {
        // Promoted by one that died of it, and called back since.
        let was_switched = before.stage == RolloutStage::Promoting
            && selected.is_some_and(|of| before.canary.as_ref().is_some_and(|canary| canary.revision == of));
        if was_switched && after.canary == before.stable {
            return;
        }
        assert_eq!(after.previous, before.stable, "{before:?}");
        let delay = SignedDuration::from_secs(c.md.spec.rollout.scale_down_delay_seconds.into());
        let until = after.previous_until.as_ref().unwrap().0;
        assert!(until.duration_since(now) >= delay, "replaced at {now} and kept until {until}");
    } else if let (Some(previous), Some(until)) = (&before.previous, &before.previous_until)
        && after.previous.is_none()
    {
        assert!(until.0 <= now || after.canary.as_ref() == Some(previous), "dropped at {now}: {before:?}");
    }
}
