//! What can happen to a ModelDeployment, its children and its operator.

use drydock_crds::RolloutStage;
use drydock_operator_core::ChildRef;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::edits::{edit, follow, say};
use super::invariants::{pass_if_due, write};
use super::simulation::faults::Faults;
use super::simulation::fixtures::failure;
use super::simulation::strangers::Owner;
use super::simulation::{Cluster, Outcome};

/// Something that happens to a ModelDeployment or its children.
#[derive(Clone, Debug)]
pub enum Event {
    Image(u8),
    Replicas(i32),
    Autoscaling(i32, i32),
    Recipes(u8),
    Search(bool),
    MinSpeedup(bool),
    Steps(u8),
    Suspend(bool),
    /// A spec that cannot be worked with, or one that can again.
    Invalid(bool),
    Seconds(u8),
    /// The operator dies after so many writes.
    Death(u8),
    Unready(u8),
    CanaryUnready,
    /// A promotion, and back while the replaced pods are still there.
    ThereAndBack,
    /// A canary that loses one of the pods that its share needs, and keeps another.
    CanaryShort,
    AllReady,
    Delete(u8),
    Traffic(u64),
    /// The steps wait for a person.
    Pauses(bool),
    Paused(bool),
    Strategy(u8),
    /// Who is sent on, by what, and copies.
    Sharing(u8),
    /// What a person may say of the revision that is on its way, or was: a number for the word.
    Word(u8),
    /// What autoscalers make of the load.
    Load(Option<i32>),
    /// A kubelet that is not heard of any more, and all of them back.
    NodeSilent(u8),
    NodesBack,
    /// A machine that is gone for good.
    NodeGone(u8),
    /// How the next tries of the optimization end: a number for the way.
    JobDies(u8),
    /// A pass whose writes come so many seconds after it has read.
    Slow(u8),
    /// A pass with writes that are refused, and writes whose answer is lost.
    Faults(u8, u8),
    /// The operator's clock is set, by so many seconds from the cluster's.
    Clock(i8),
    /// A name of a child is somebody else's.
    Taken(u8),
    /// So is a copy of everything.
    Copied(u8),
    /// And what has the name of one that was deleted.
    Usurped(u8),
    /// Whether requests come through a gateway.
    Router(bool),
    /// It accepts routes after so many seconds; `None`: never.
    Accepts(Option<i64>),
}

macro_rules! events {
    ($($more:tt)*) => {
        prop_oneof![
            4 => (0..5u8).prop_map(Event::Image),
            2 => (0..4i32).prop_map(Event::Replicas),
            1 => (1..4i32, 0..3i32).prop_map(|(min, more)| Event::Autoscaling(min, min + more)),
            1 => (1..3u8).prop_map(Event::Recipes),
            1 => any::<bool>().prop_map(Event::Search),
            1 => any::<bool>().prop_map(Event::MinSpeedup),
            1 => (0..3u8).prop_map(Event::Steps),
            1 => any::<bool>().prop_map(Event::Suspend),
            1 => any::<bool>().prop_map(Event::Invalid),
            8 => (1..14u8).prop_map(Event::Seconds),
            2 => (0..8u8).prop_map(Event::Death),
            3 => any::<u8>().prop_map(Event::Unready),
            2 => Just(Event::CanaryUnready),
            1 => Just(Event::ThereAndBack),
            1 => Just(Event::CanaryShort),
            2 => Just(Event::AllReady),
            1 => any::<u8>().prop_map(Event::Delete),
            1 => prop_oneof![Just(0), Just(1000)].prop_map(Event::Traffic),
            1 => any::<bool>().prop_map(Event::Pauses),
            1 => any::<bool>().prop_map(Event::Paused),
            3 => any::<u8>().prop_map(Event::Word),
            2 => (0..4u8).prop_map(Event::Strategy),
            2 => (0..8u8).prop_map(Event::Sharing),
            1 => prop::option::of(1..6i32).prop_map(Event::Load),
            1 => any::<u8>().prop_map(Event::NodeSilent),
            1 => Just(Event::NodesBack),
            1 => any::<u8>().prop_map(Event::NodeGone),
            1 => (0..7u8).prop_map(Event::JobDies),
            1 => (1..6u8).prop_map(Event::Slow),
            2 => (any::<u8>(), any::<u8>()).prop_map(|(refused, unanswered)| Event::Faults(refused, unanswered)),
            1 => (-20..40i8).prop_map(Event::Clock),
            1 => (0..4u8).prop_map(Event::Taken),
            $($more)*
            2 => any::<bool>().prop_map(Event::Router),
            1 => prop_oneof![Just(None), (0..12i64).prop_map(Some)].prop_map(Event::Accepts),
        ]
    };
}

pub fn event() -> impl Strategy<Value = Event> {
    events!()
}

/// The same, and what has our labels and is not ours.
pub fn event_among_strangers() -> impl Strategy<Value = Event> {
    events!(
        1 => any::<u8>().prop_map(Event::Copied),
        1 => any::<u8>().prop_map(Event::Usurped),
    )
}

pub fn happen(c: &mut Cluster, event: &Event) {
    match event {
        Event::Seconds(n) => {
            for _ in 0..*n {
                pass_if_due(c);
                c.second();
            }
        }
        Event::Death(writes) => {
            let pass = c.look();
            write(c, &pass, &Faults { dies_after: Some(usize::from(*writes)), ..Faults::default() });
        }
        Event::Unready(at) => {
            let pods = &c.observed.pods;
            if !pods.is_empty() {
                c.unready.insert(pods[usize::from(*at) % pods.len()].metadata.name.clone().unwrap());
            }
        }
        Event::CanaryUnready => {
            let canary = c.status().canary.map(|t| t.revision);
            c.unready.extend(pods_of(c, canary.as_deref()));
        }
        Event::ThereAndBack => {
            let before = c.md.spec.serving.image.clone();
            there(c);
            until(c, |c| c.status().rollout.is_some_and(|r| r.previous.is_some()));
            c.edit(|s| s.serving.image = before);
            pass_if_due(c);
        }
        Event::CanaryShort => {
            there(c);
            let is_held = |c: &Cluster| c.status().rollout.is_some_and(|r| r.stage == RolloutStage::Holding);
            until(c, |c| is_held(c) && c.status().canary.is_some_and(|canary| canary.ready_replicas > 1));
            let canary = c.status().canary.map(|t| t.revision);
            c.unready.extend(pods_of(c, canary.as_deref()).into_iter().next());
            c.second();
            pass_if_due(c);
        }
        Event::AllReady => c.unready.clear(),
        Event::Delete(at) => {
            if let Some(child) = child(c, *at) {
                c.remove(&child);
            }
        }
        Event::Traffic(n) => c.requests_per_second = *n,
        Event::Word(n) => {
            let rollout = c.status().rollout.unwrap_or_default();
            let of = [rollout.canary, rollout.stable, rollout.previous].into_iter().flatten().map(|r| r.revision);
            let of: Vec<String> = of.chain(rollout.failed.map(|f| f.revision)).collect();
            let revision = of.get(usize::from(*n) / 5 % of.len().max(1)).cloned().unwrap_or_else(|| "none".into());
            c.edit(|s| say(&mut s.rollout.control, *n, revision));
        }
        Event::Accepts(after) => c.gateway.accepts_after = *after,
        Event::Load(n) => c.load = *n,
        Event::NodeSilent(n) => c.silence(*n),
        Event::NodesBack => c.nodes.silent.clear(),
        Event::NodeGone(n) => c.vanish(*n),
        Event::JobDies(how) => jobs_die(c, *how),
        Event::Slow(seconds) => {
            let pass = c.look();
            (0..*seconds).for_each(|_| c.second());
            write(c, &pass, &Faults::default());
        }
        Event::Faults(refused, unanswered) => {
            let pass = c.look();
            let (refused, unanswered) = (u64::from(*refused), u64::from(*unanswered));
            write(c, &pass, &Faults { refused, unanswered, ..Faults::default() });
        }
        Event::Clock(seconds) => {
            c.skew = SignedDuration::from_secs((*seconds).into());
            c.wakes.changed = true;
        }
        Event::Taken(n) => {
            let names =
                ["Service fashion", "Service fashion-canary", "Service fashion-preview", "PodDisruptionBudget fashion"];
            let taken = names[usize::from(*n) % names.len()];
            // What is there already is ours.
            if !c.children().iter().any(|child| child.to_string() == taken) {
                c.taken.insert(taken.into());
            }
        }
        Event::Copied(n) => c.copy(Owner::of(*n)),
        Event::Usurped(n) => {
            if let Some(child) = child(c, *n) {
                c.usurp(&child, Owner::of(*n));
            }
        }
        change => c.edit(|spec| edit(spec, change)),
    }
}

/// One of ours, by a number.
fn child(c: &Cluster, number: u8) -> Option<ChildRef> {
    let children = c.children();
    children.get(usize::from(number) % children.len().max(1)).cloned()
}

/// To another good revision.
fn there(c: &mut Cluster) {
    let is_first = c.md.spec.serving.image.as_deref() == Some("sidecar:0");
    c.edit(|s| s.serving.image = Some(if is_first { "sidecar:1" } else { "sidecar:0" }.into()));
}

/// For as long as a rollout takes, or until it is so.
fn until(c: &mut Cluster, is_so: impl Fn(&Cluster) -> bool) {
    for _ in 0..45 {
        pass_if_due(c);
        c.second();
        if is_so(c) {
            break;
        }
    }
}

/// The names of a revision's pods.
fn pods_of(c: &Cluster, revision: Option<&str>) -> Vec<String> {
    let of = |p: &Pod| p.metadata.labels.as_ref().unwrap().get("drydock.dev/revision").cloned();
    let pods = c.observed.pods.iter().filter(|p| revision.is_some() && of(p).as_deref() == revision);
    pods.map(|p| p.metadata.name.clone().unwrap()).collect()
}

fn jobs_die(c: &mut Cluster, how: u8) {
    use drydock_contract::FailureReason::{DiskFull, InvalidModel, SourceUnreachable};
    let fails = |reason| Outcome::Report(Box::new(failure("", reason, "as it may be")));
    let (candidate, outcomes) = match how {
        0 => ("int8", vec![Outcome::OutOfMemory]),
        1 => ("original", vec![fails(SourceUnreachable); 8]),
        2 => ("original", vec![fails(InvalidModel)]),
        3 => ("original", vec![Outcome::Evicted; 2]),
        4 => ("int8", vec![fails(DiskFull); 9]),
        5 => {
            // What they have said goes with them.
            c.observed.pods.retain(|p| p.spec.is_some());
            c.wakes.changed = true;
            return;
        }
        _ => {
            for job in &mut c.observed.jobs {
                let status = job.status.get_or_insert_default();
                if status.conditions.iter().flatten().all(|c| c.status != "True") {
                    status.conditions = Some(vec![JobCondition {
                        type_: "Failed".into(),
                        status: "True".into(),
                        reason: Some("DeadlineExceeded".into()),
                        last_transition_time: Some(Time(c.now)),
                        ..JobCondition::default()
                    }]);
                    c.wakes.changed = true;
                }
            }
            return;
        }
    };
    c.outcomes.insert(candidate.into(), outcomes.into());
}

/// The end of all trouble: what is left is to be done.
pub fn heal(c: &mut Cluster) {
    // A clock that goes forward may end a deadline, whether the pods that are waited for come a second later or not. So it is seen before all
    // else, and once: not by one copy of a life, and by the other a second later.
    if c.skew != SignedDuration::ZERO {
        c.skew = SignedDuration::ZERO;
        c.wakes.changed = true;
        pass_if_due(c);
    }
    c.unready.clear();
    c.nodes.silent.clear();
    c.taken.clear();
    c.free_names();
    c.outcomes.clear();
    c.gateway.accepts_after = Some(1);
    c.requests_per_second = 100;
    c.edit(|s| {
        s.suspend = false;
        s.serving.resources = None;
        // Nobody is there to end a pause; what was said of single revisions stays.
        s.rollout.control.paused = false;
        // Nor to take out what calls back a revision that never starts: it is waited for without end (docs/rollouts.md).
        s.rollout.control.roll_back_to = None;
        if matches!(s.rollout.strategy, drydock_crds::Strategy::AbTest | drydock_crds::Strategy::Shadow) {
            follow(&mut s.rollout, 0);
        }
        s.rollout.steps.iter_mut().for_each(|s| s.pause = false);
    });
}
