//! What holds for whatever happens, on random lives of a simulated cluster.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod simulation;

use std::sync::LazyLock;

use drydock_contract::Split;
use drydock_crds::{
    AbTest, Amount, Autoscaling, BlueGreen, ModelDeploymentSpec, RequestKey, RequestMatch, Resources, Rollout,
    RolloutStage, Router, Shadow,
};
use drydock_operator_core::ChildKind;
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use simulation::fixtures::{behind_a_gateway, fashion, recipe};
use simulation::{Behaviour, Cluster};

/// Something that happens to a ModelDeployment or its children.
#[derive(Clone, Debug)]
enum Event {
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
    AllReady,
    Delete(u8),
    Traffic(u64),
    /// The steps wait for a person.
    Pauses(bool),
    Paused(bool),
    Strategy(u8),
    /// Who is sent on, by what, and copies.
    Sharing(u8),
    /// Whether requests come through a gateway.
    Router(bool),
    /// It accepts routes after so many seconds; `None`: never.
    Accepts(Option<i64>),
    /// What a person may say of the revision that is on its way, or was: a number for the word.
    Word(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4u8).prop_map(Event::Image),
        2 => (0..4i32).prop_map(Event::Replicas),
        1 => (1..4i32, 0..3i32).prop_map(|(min, more)| Event::Autoscaling(min, min + more)),
        1 => (1..3u8).prop_map(Event::Recipes),
        1 => any::<bool>().prop_map(Event::Search),
        1 => any::<bool>().prop_map(Event::MinSpeedup),
        1 => (0..3u8).prop_map(Event::Steps),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => any::<bool>().prop_map(Event::Invalid),
        8 => (1..25u8).prop_map(Event::Seconds),
        2 => (0..8u8).prop_map(Event::Death),
        3 => any::<u8>().prop_map(Event::Unready),
        2 => Just(Event::CanaryUnready),
        1 => Just(Event::ThereAndBack),
        2 => Just(Event::AllReady),
        1 => any::<u8>().prop_map(Event::Delete),
        1 => prop_oneof![Just(0), Just(1000)].prop_map(Event::Traffic),
        1 => any::<bool>().prop_map(Event::Pauses),
        1 => any::<bool>().prop_map(Event::Paused),
        3 => any::<u8>().prop_map(Event::Word),
        2 => (0..4u8).prop_map(Event::Strategy),
        2 => (0..8u8).prop_map(Event::Sharing),
        2 => any::<bool>().prop_map(Event::Router),
        1 => prop_oneof![Just(None), (0..12i64).prop_map(Some)].prop_map(Event::Accepts),
    ]
}

/// `sidecar:1` and `sidecar:0` are good; the others fail, each in its own way.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(fashion());
    cluster.observed.gateway_api = true;
    cluster.behaviours.insert("sidecar:2".into(), Behaviour { errors: 20, ..Behaviour::default() });
    cluster.behaviours.insert("sidecar:3".into(), Behaviour { ready_after: None, ..Behaviour::default() });
    cluster
}

/// The same, served by three pods and settled: where most of a life is spent. The replaced pods stay for long enough to
/// come back to.
fn served() -> Cluster {
    static SERVED: LazyLock<Cluster> = LazyLock::new(|| {
        let mut c = cluster();
        c.edit(|s| {
            s.serving.replicas = Some(3);
            s.rollout.scale_down_delay_seconds = 20;
        });
        assert!(c.settle(100));
        c
    });
    SERVED.clone()
}

fn edit(spec: &mut ModelDeploymentSpec, event: &Event) {
    let optimization = spec.optimization.as_mut().unwrap();
    match event {
        Event::Image(n) => spec.serving.image = Some(format!("sidecar:{n}")),
        Event::Replicas(n) => {
            spec.serving.autoscaling = None;
            spec.serving.replicas = Some(*n);
        }
        Event::Autoscaling(min, max) => {
            spec.serving.replicas = None;
            spec.serving.autoscaling =
                Some(Autoscaling { min_replicas: *min, max_replicas: *max, target_cpu_utilization_percentage: 70 });
        }
        Event::Recipes(n) => {
            optimization.recipes = (0..*n).map(|i| recipe(if i == 0 { "int8" } else { "int8-b" })).collect();
        }
        Event::Search(on) => optimization.search = on.then(drydock_crds::Search::default),
        Event::MinSpeedup(much) => optimization.gates.min_speedup = much.then_some(100.0),
        Event::Steps(n) => {
            spec.rollout.steps = fashion().spec.rollout.steps.into_iter().take(usize::from(*n)).collect();
        }
        Event::Suspend(on) => spec.suspend = *on,
        Event::Pauses(on) => spec.rollout.steps.iter_mut().for_each(|s| s.pause = *on),
        Event::Paused(on) => spec.rollout.control.paused = *on,
        Event::Strategy(n) => follow(&mut spec.rollout, *n),
        Event::Sharing(bits) => {
            let header = Some("x-user".to_owned());
            let key = RequestKey { header: header.clone(), ..RequestKey::default() };
            let vip = RequestMatch { header, value: "vip".into(), ..RequestMatch::default() };
            spec.rollout.sticky = (bits & 1 > 0).then_some(key);
            spec.rollout.matches = if bits & 2 > 0 { vec![vip] } else { vec![] };
            let shadows = bits & 4 > 0 || spec.rollout.strategy == drydock_crds::Strategy::Shadow;
            spec.rollout.shadow = shadows.then_some(Shadow { percentage: 30 });
        }
        Event::Router(gateway) => {
            spec.rollout.router = Router::Sidecar;
            spec.rollout.gateway = None;
            if *gateway {
                behind_a_gateway(&mut spec.rollout);
            }
        }
        Event::Invalid(on) => {
            let amounts = [("cpu".to_owned(), Amount("lots".into()))].into();
            spec.serving.resources = on.then(|| Resources { requests: amounts, ..Resources::default() });
        }
        _ => {}
    }
    if spec.rollout.router == Router::Gateway {
        // The API server refuses what a gateway cannot do.
        if matches!(spec.rollout.strategy, drydock_crds::Strategy::AbTest | drydock_crds::Strategy::Shadow) {
            follow(&mut spec.rollout, 0);
        }
        spec.rollout.sticky = None;
        spec.rollout.shadow = None;
    }
}

fn follow(rollout: &mut Rollout, strategy: u8) {
    use drydock_crds::Strategy;
    rollout.ab_test = None;
    rollout.strategy = match strategy {
        0 => Strategy::Canary,
        1 => Strategy::BlueGreen,
        2 => {
            rollout.ab_test = Some(AbTest { duration_seconds: Some(10), ..AbTest::default() });
            Strategy::AbTest
        }
        _ => {
            rollout.shadow = Some(Shadow { percentage: 30 });
            Strategy::Shadow
        }
    };
    rollout.blue_green = (strategy == 1).then_some(BlueGreen { preview_seconds: 5, pause: false });
}

fn say(control: &mut drydock_crds::Control, word: u8, revision: String) {
    match word % 6 {
        0 => control.promote = Some(revision),
        1 => control.proceed = Some(format!("{revision}/{}", word / 5 % 2)),
        2 => control.abort = Some(revision),
        3 => control.retry = Some(format!("{revision}@{}", word / 5)),
        4 => control.roll_back_to = Some(revision),
        _ => *control = drydock_crds::Control::default(),
    }
}

fn happen(c: &mut Cluster, event: &Event) {
    match event {
        Event::Seconds(n) => {
            for _ in 0..*n {
                pass(c);
                c.second();
            }
        }
        Event::Death(writes) => {
            c.reconcile(Some(usize::from(*writes)));
        }
        Event::Unready(at) => {
            let pods = &c.observed.pods;
            if !pods.is_empty() {
                c.unready.insert(pods[usize::from(*at) % pods.len()].metadata.name.clone().unwrap());
            }
        }
        Event::CanaryUnready => {
            let canary = c.status().canary.map(|t| t.revision);
            let is_of = |p: &Pod| p.metadata.labels.as_ref().unwrap().get("drydock.dev/revision") == canary.as_ref();
            let pods = c.observed.pods.iter().filter(|p| canary.is_some() && is_of(p));
            c.unready.extend(pods.map(|p| p.metadata.name.clone().unwrap()));
        }
        Event::ThereAndBack => {
            let before = c.md.spec.serving.image.clone();
            let there = if before.as_deref() == Some("sidecar:0") { "sidecar:1" } else { "sidecar:0" };
            c.edit(|s| s.serving.image = Some(there.into()));
            for _ in 0..45 {
                pass(c);
                c.second();
                if c.status().rollout.is_some_and(|r| r.previous.is_some()) {
                    break;
                }
            }
            c.edit(|s| s.serving.image = before);
            pass(c);
        }
        Event::AllReady => c.unready.clear(),
        Event::Delete(at) => {
            let children = c.children();
            if !children.is_empty() {
                c.remove(&children[usize::from(*at) % children.len()]);
            }
        }
        Event::Traffic(n) => c.requests_per_second = *n,
        Event::Accepts(after) => c.gateway.accepts_after = *after,
        Event::Word(n) => {
            let rollout = c.status().rollout.unwrap_or_default();
            let of = [rollout.canary, rollout.stable, rollout.previous].into_iter().flatten().map(|r| r.revision);
            let of: Vec<String> = of.chain(rollout.failed.map(|f| f.revision)).collect();
            let revision = of.get(usize::from(*n) / 5 % of.len().max(1)).cloned().unwrap_or_else(|| "none".into());
            c.edit(|s| say(&mut s.rollout.control, *n, revision));
        }
        change => c.edit(|spec| edit(spec, change)),
    }
}

/// A reconcile, and what must hold before and after it.
fn pass(c: &mut Cluster) {
    assert_eq!(c.plan(), c.plan(), "equal inputs give equal plans");
    let selected = c.selected();
    let before = c.status().rollout.unwrap_or_default();
    let plan = c.reconcile(None);
    let rollout = &plan.memory.rollout;

    // A step that a gateway has not accepted is not passed.
    let is_gateway = c.md.spec.rollout.router == Router::Gateway;
    let passed = before.stage == RolloutStage::Holding && before.canary == rollout.canary && rollout.step > before.step;
    let is_skipped = rollout.promoted != before.promoted || before.course != rollout.course;
    if is_gateway && passed && !is_skipped && c.md.spec.rollout.strategy == drydock_crds::Strategy::Canary {
        let step = &c.md.spec.rollout.steps[usize::try_from(before.step).unwrap()];
        assert_eq!(c.gateway.weight, step.weight, "passed without its weight: {before:?}");
    }
    // What a gateway still sends the canary finds its pods.
    let is_given_up = rollout
        .gateway
        .as_ref()
        .is_some_and(|g| g.pending_since.as_ref().is_some_and(|since| c.now.duration_since(since.0).as_secs() > 30));
    if is_gateway && c.gateway.weight > 0 && !is_given_up && !c.routes().is_empty() {
        let ends =
            |revision: &str| plan.prune.iter().any(|g| g.kind == ChildKind::Deployment && g.name.ends_with(revision));
        assert!(!before.canary.as_ref().is_some_and(|canary| ends(&canary.revision)), "{plan:#?}");
    }

    // What is pruned is neither selected nor about to be.
    let stable = rollout.stable.as_ref().map(|r| r.revision.clone());
    for gone in plan.prune.iter().filter(|g| matches!(g.kind, ChildKind::Deployment | ChildKind::Revision)) {
        let is_of = |revision: &Option<String>| revision.as_ref().is_some_and(|r| gone.name.ends_with(r.as_str()));
        assert!(!is_of(&stable) && !is_of(&c.selected()), "{gone} is in use");
    }

    // Scale first, then the switch; but for what is called back, which takes over with the pods that it has.
    let is_called_back = c.md.spec.rollout.control.roll_back_to.is_some();
    if let (Some(from), Some(to)) = (&selected, c.selected())
        && *from != to
    {
        let needed = if is_called_back { 1.min(c.ready(from)) } else { c.ready(from) };
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
    for pod in &c.observed.pods {
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
            assert_eq!(split, None, "only the stable revision sends on");
        }
    }
}

fn heal(c: &mut Cluster) {
    c.unready.clear();
    c.requests_per_second = 100;
    c.gateway.accepts_after = Some(1);
    c.edit(|s| {
        s.suspend = false;
        s.serving.resources = None;
        // Nobody is there to end a pause; what was said of single revisions stays.
        s.rollout.control.paused = false;
        if matches!(s.rollout.strategy, drydock_crds::Strategy::AbTest | drydock_crds::Strategy::Shadow) {
            follow(&mut s.rollout, 0);
        }
        s.rollout.steps.iter_mut().for_each(|s| s.pause = false);
    });
}

fn live(c: &mut Cluster, events: &[Event]) {
    for event in events {
        happen(c, event);
    }
    heal(c);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// Invariants 1, 2 and 3: on the way nobody is overloaded, and in the end nothing is left to do.
    #[test]
    fn never_overloaded_and_settled_in_the_end(new in prop::bool::weighted(0.2), events in prop::collection::vec(event(), 1..20)) {
        let mut c = if new { cluster() } else { served() };
        live(&mut c, &events);
        prop_assert!(c.settle(400), "{:?}", c.status());
        let plan = c.plan();
        prop_assert!(plan.is_empty(), "{plan:#?}");
        prop_assert_eq!(&plan.notices, &vec![]);
        // A deletion could have taken the last record of what was served; everything else leaves something served.
        let status = c.status();
        let deleted = events.iter().any(|e| matches!(e, Event::Delete(_)));
        let never = status.rollout.clone().unwrap().stable.is_none();
        prop_assert!(never || deleted || c.selected() == status.rollout.unwrap().stable.map(|r| r.revision));
    }

    /// Invariant 4: dead between any two writes, and the next pass ends where it would have ended.
    #[test]
    fn death_between_writes_changes_nothing(
        new in prop::bool::weighted(0.2),
        events in prop::collection::vec(event(), 1..8),
        writes in 0..10usize,
    ) {
        let mut c = if new { cluster() } else { served() };
        live(&mut c, &events);
        let mut died = c.clone();
        died.reconcile(Some(writes));
        prop_assert!(c.settle(400) && died.settle(400));
        prop_assert_eq!(end(&c), end(&died));
    }

    /// Invariant 5: it does not matter what was asked for before.
    #[test]
    fn the_last_spec_alone_decides(a in prop::collection::vec(event(), 1..6), b in prop::collection::vec(event(), 1..6)) {
        let good = |e: &&Event| !matches!(e, Event::Death(_) | Event::Delete(_) | Event::Unready(_) | Event::CanaryUnready | Event::MinSpeedup(_) | Event::Word(_));
        let good_image = |e: &Event| match e { Event::Image(n) => Event::Image(n % 2), e => e.clone() };
        let events = |list: &[Event]| list.iter().filter(good).map(good_image).collect::<Vec<_>>();
        let mut c = cluster();
        live(&mut c, &events(&a));
        prop_assert!(c.settle(400));
        live(&mut c, &events(&b));
        prop_assert!(c.settle(400));
        let mut fresh = cluster();
        fresh.md.spec = c.md.spec.clone();
        prop_assert!(fresh.settle(400));
        let children = |c: &Cluster| c.summary().into_iter().filter(|(k, _)| !k.starts_with("split")).collect::<std::collections::BTreeMap<_, _>>();
        let mut one = children(&c);
        let mut other = children(&fresh);
        // What there was before is recorded, and a fresh one has no before.
        for map in [&mut one, &mut other] {
            let all = map.clone();
            map.retain(|k, _| k.strip_prefix("ControllerRevision ").is_none_or(|name| all.contains_key(&format!("Deployment {name}"))));
        }
        // How many an autoscaler left is its own.
        if c.md.spec.serving.autoscaling.is_some() {
            for map in [&mut one, &mut other] {
                for (_, json) in map.iter_mut().filter(|(k, _)| k.starts_with("Deployment")) {
                    json["spec"].as_object_mut().unwrap().remove("replicas");
                }
            }
        }
        prop_assert_eq!(one, other);
    }
}

/// Where it ended, without the history.
fn end(c: &Cluster) -> (simulation::Summary, drydock_crds::Phase, String) {
    let status = c.status();
    (c.summary(), status.phase, status.message)
}

/// `PROPTEST_CASES=1000` for a night's run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
}
