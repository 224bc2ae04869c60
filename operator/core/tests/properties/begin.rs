//! Where a life begins.

use std::sync::LazyLock;

use super::simulation::fixtures::fashion;
use super::simulation::{Behaviour, Cluster};

/// `sidecar:1` and `sidecar:0` are good; the others fail, each in its own way. Its deadlines and delays are short: a schedule is as good
/// in seconds as in minutes, and there are many more of them.
pub fn cluster() -> Cluster {
    let mut cluster = Cluster::new(fashion());
    cluster.observed.gateway_api = true;
    let rollout = &mut cluster.md.spec.rollout;
    rollout.steps.iter_mut().for_each(|s| s.hold_seconds = 3);
    rollout.progress_deadline_seconds = 12;
    for (image, behaviour) in [
        ("sidecar:2", Behaviour { errors: 20, ..Behaviour::default() }),
        ("sidecar:3", Behaviour { ready_after: None, ..Behaviour::default() }),
        ("sidecar:4", Behaviour { crashes: true, ..Behaviour::default() }),
    ] {
        cluster.behaviours.insert(image.into(), behaviour);
    }
    cluster
}

/// The same, served by three pods and settled: where most of a life is spent. The replaced pods stay for long enough to
/// come back to.
pub fn served() -> Cluster {
    static SERVED: LazyLock<Cluster> = LazyLock::new(|| {
        let mut c = cluster();
        c.edit(|s| {
            s.serving.replicas = Some(3);
            s.rollout.scale_down_delay_seconds = 8;
        });
        assert!(c.come_to_rest(100));
        c
    });
    SERVED.clone()
}
