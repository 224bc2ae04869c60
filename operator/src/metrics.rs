use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A write to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    kind: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

/// What `/metrics` shows. No label is an object's name: their number has no limit.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Counter,
    errors: Family<Stage, Counter>,
    seconds: Histogram,
    writes: Family<Write, Counter>,
    pub leader: Gauge,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("drydock");
        let reconciles = Counter::default();
        registry.register("reconcile", "Passes over a ModelDeployment", reconciles.clone());
        let errors = Family::default();
        registry.register("reconcile_errors", "Passes that failed, by the stage that failed", errors.clone());
        let seconds = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        registry.register("reconcile_duration_seconds", "Time of a pass", seconds.clone());
        let writes = Family::default();
        registry.register("api_writes", "Writes sent to the API server; none while nothing changes", writes.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 in the replica that holds the Lease", leader.clone());
        Self { registry: Arc::new(registry), reconciles, errors, seconds, writes, leader }
    }

    /// A pass took `time` and, if it failed, failed in a stage.
    pub fn reconciled(&self, time: Duration, failed: Option<&'static str>) {
        self.reconciles.inc();
        self.seconds.observe(time.as_secs_f64());
        if let Some(stage) = failed {
            self.errors.get_or_create(&Stage { stage }).inc();
        }
    }

    /// A write is sent. Counted before the answer: a write that fails is one too.
    pub fn wrote(&self, kind: &'static str, verb: &'static str) {
        self.writes.get_or_create(&Write { kind, verb }).inc();
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let metrics = Metrics::new();
        metrics.reconciled(Duration::from_millis(7), Some("apply"));
        metrics.wrote("Deployment", "apply");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, metrics.registry()).unwrap();
        for line in [
            "drydock_reconcile_total 1",
            "drydock_reconcile_errors_total{stage=\"apply\"} 1",
            "drydock_reconcile_duration_seconds_count 1",
            "drydock_api_writes_total{kind=\"Deployment\",verb=\"apply\"} 1",
            "drydock_leader 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
