//! What an event makes of the spec.

use drydock_crds::{
    AbTest, Amount, Autoscaling, BlueGreen, ModelDeploymentSpec, RequestKey, RequestMatch, Resources, Rollout, Router,
    Shadow,
};

use super::begin::cluster;
use super::events::Event;
use super::simulation::fixtures::{behind_a_gateway, recipe};

pub fn edit(spec: &mut ModelDeploymentSpec, event: &Event) {
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
            spec.rollout.steps = cluster().md.spec.rollout.steps.into_iter().take(usize::from(*n)).collect();
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
        Event::Invalid(on) => {
            let amounts = [("cpu".to_owned(), Amount("lots".into()))].into();
            spec.serving.resources = on.then(|| Resources { requests: amounts, ..Resources::default() });
        }
        Event::Router(gateway) => {
            spec.rollout.router = Router::Sidecar;
            spec.rollout.gateway = None;
            if *gateway {
                behind_a_gateway(&mut spec.rollout);
            }
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

pub fn follow(rollout: &mut Rollout, strategy: u8) {
    use drydock_crds::Strategy;
    rollout.ab_test = None;
    rollout.strategy = match strategy {
        0 => Strategy::Canary,
        1 => Strategy::BlueGreen,
        2 => {
            rollout.ab_test = Some(AbTest { duration_seconds: Some(4), ..AbTest::default() });
            Strategy::AbTest
        }
        _ => {
            rollout.shadow = Some(Shadow { percentage: 30 });
            Strategy::Shadow
        }
    };
    rollout.blue_green = (strategy == 1).then_some(BlueGreen { preview_seconds: 3, pause: false });
}

pub fn say(control: &mut drydock_crds::Control, word: u8, revision: String) {
    match word % 6 {
        0 => control.promote = Some(revision),
        1 => control.proceed = Some(format!("{revision}/{}", word / 5 % 2)),
        2 => control.abort = Some(revision),
        3 => control.retry = Some(format!("{revision}@{}", word / 5)),
        4 => control.roll_back_to = Some(revision),
        _ => *control = drydock_crds::Control::default(),
    }
}
