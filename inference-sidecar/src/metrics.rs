use std::sync::atomic::AtomicU64;
use std::time::Duration;

use drydock_contract::PackageManifest;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::queue::Queue;
use crate::serve::Model;
use crate::split::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's value as it is written")]
pub(crate) enum Protocol {
    http,
    grpc,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    revision: String,
    protocol: Protocol,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    revision: String,
    protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RevisionLabels {
    revision: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    revision: String,
    reason: &'static str,
}

/// What came of a signal to serve another package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's value as it is written")]
pub(crate) enum Reload {
    /// It is served.
    swapped,
    /// It is the one that is served already.
    unchanged,
    /// The old one is served still; the log says why.
    refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: Reload,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    revision: String,
    digest: String,
    candidate: String,
    recipe: String,
    provider: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FormatLabels {
    format: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeedbackLabels {
    revision: String,
    metric: String,
}

type FloatGauge = Gauge<f64, AtomicU64>;

type HistogramFamily = Family<DurationLabels, Histogram, fn() -> Histogram>;

/// Everything that `GET /metrics` shows. Label values are revisions, protocols, status codes and declared metrics: all bounded.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: HistogramFamily,
    inference_duration: Histogram,
    queue_length: Gauge,
    batch_size: Histogram,
    sessions: Gauge,
    session_threads: Gauge,
    batch_max_size: Gauge,
    session_restarts: Counter,
    reloads: Family<ReloadLabels, Counter>,
    pub(crate) connections_refused: Counter,
    model: Family<ModelLabels, Gauge>,
    slow_format: Family<FormatLabels, Gauge>,
    canary_requests: Family<RevisionLabels, Counter>,
    canary_failures: Family<FailureLabels, Counter>,
    canary_synthetic_requests: Family<RevisionLabels, Counter>,
    canary_synthetic_failures: Family<FailureLabels, Counter>,
    canary_compared: Family<RevisionLabels, Counter>,
    canary_agreed: Family<RevisionLabels, Counter>,
    feedback: Family<FeedbackLabels, Counter>,
    feedback_sum: Family<FeedbackLabels, FloatGauge>,
    feedback_squares: Family<FeedbackLabels, FloatGauge>,
}

/// 0.5 ms to 8 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 15))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("drydock");
        let metrics = Self {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(durations),
            inference_duration: durations(),
            queue_length: Gauge::default(),
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            sessions: Gauge::default(),
            session_threads: Gauge::default(),
            batch_max_size: Gauge::default(),
            session_restarts: Counter::default(),
            reloads: Family::default(),
            connections_refused: Counter::default(),
            model: Family::default(),
            slow_format: Family::default(),
            canary_requests: Family::default(),
            canary_failures: Family::default(),
            canary_synthetic_requests: Family::default(),
            canary_synthetic_failures: Family::default(),
            canary_compared: Family::default(),
            canary_agreed: Family::default(),
            feedback: Family::default(),
            feedback_sum: Family::default(),
            feedback_squares: Family::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("requests", "Inference requests answered, by the revision that answered", m.requests.clone());
        registry.register(
            "request_duration_seconds",
            "From the request's head to the answer",
            m.request_duration.clone(),
        );
        registry.register(
            "inference_duration_seconds",
            "One run of the engine, of one batch",
            m.inference_duration.clone(),
        );
        registry.register("queue_length", "Requests waiting for a session", m.queue_length.clone());
        registry.register("batch_size", "Rows of one run of the engine", m.batch_size.clone());
        registry.register("sessions", "Sessions of the model that are up", m.sessions.clone());
        registry.register("session_threads", "Threads of one inference", m.session_threads.clone());
        registry.register("batch_max_size", "Rows that are joined for one run of the engine", m.batch_max_size.clone());
        registry.register("session_restarts", "Sessions that broke, and were made again", m.session_restarts.clone());
        registry.register(
            "canary_requests",
            "Requests sent on to the canary, copies among them, and ended",
            m.canary_requests.clone(),
        );
        registry.register(
            "canary_failures",
            "Of those, the failed ones: the stable model has answered in the canary's place",
            m.canary_failures.clone(),
        );
        registry.register(
            "canary_synthetic_requests",
            "Requests that this pod has made up for the canary, and ended; not among the others",
            m.canary_synthetic_requests.clone(),
        );
        registry.register(
            "canary_synthetic_failures",
            "Of those, the failed ones",
            m.canary_synthetic_failures.clone(),
        );
        registry.register("canary_compared", "Requests that both models answered", m.canary_compared.clone());
        registry.register("canary_agreed", "Of those, requests on which both agreed", m.canary_agreed.clone());
        registry.register("feedback", "Values that users sent back, by the revision that answered", m.feedback.clone());
        registry.register("feedback_sum", "Of those, the sum", m.feedback_sum.clone());
        registry.register("feedback_squares", "Of those, the sum of the squares", m.feedback_squares.clone());
        registry.register("reloads", "Signals to serve another package, by what came of them", m.reloads.clone());
        registry.register(
            "connections_refused",
            "Connections that found no place; most were told so",
            m.connections_refused.clone(),
        );
        registry.register("model_info", "The model that this process serves", m.model.clone());
        registry.register(
            "model_slow_format",
            "The model is in a form that the engine is slow at; the log has how slow",
            m.slow_format.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Names the model that is served, in the place of another.
    pub(crate) fn serves(&self, manifest: &PackageManifest, model: &Model) {
        let recipe = manifest.record.recipe.as_ref().map_or("none", |r| r.name.as_str());
        self.model.clear();
        let labels = ModelLabels {
            model: model.name.clone(),
            revision: model.revision.clone(),
            digest: manifest.digest.to_string(),
            candidate: manifest.record.candidate.clone(),
            recipe: recipe.to_owned(),
            provider: model.provider,
        };
        self.model.get_or_create(&labels).set(1);
        self.slow_format.clear();
        if let Some(slow) = model.slow {
            self.slow_format.get_or_create(&FormatLabels { format: slow.as_str() }).set(1);
        }
    }

    pub(crate) fn reload(&self, result: Reload) {
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    pub(crate) fn request(&self, revision: &str, protocol: Protocol, code: String, took: Duration) {
        let revision = revision.to_owned();
        self.request_duration
            .get_or_create(&DurationLabels { revision: revision.clone(), protocol })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { revision, protocol, code }).inc();
    }

    pub(crate) fn inference(&self, rows: usize, took: Duration) {
        self.inference_duration.observe(took.as_secs_f64());
        self.batch_size.observe(rows as f64);
    }

    pub(crate) fn session_broke(&self) {
        self.session_restarts.inc();
    }

    pub(crate) fn canary_request(&self, revision: &str, failure: Option<Failure>, is_synthetic: bool) {
        let revision = revision.to_owned();
        let (requests, failures) = if is_synthetic {
            (&self.canary_synthetic_requests, &self.canary_synthetic_failures)
        } else {
            (&self.canary_requests, &self.canary_failures)
        };
        if let Some(failure) = failure {
            let labels = FailureLabels { revision: revision.clone(), reason: failure.as_str() };
            failures.get_or_create(&labels).inc();
        }
        requests.get_or_create(&RevisionLabels { revision }).inc();
    }

    pub(crate) fn canary_compared(&self, revision: &str, agreed: bool) {
        let labels = RevisionLabels { revision: revision.to_owned() };
        if agreed {
            self.canary_agreed.get_or_create(&labels).inc();
        }
        self.canary_compared.get_or_create(&labels).inc();
    }

    pub(crate) fn feedback(&self, revision: &str, metric: &str, value: f64) {
        let labels = FeedbackLabels { revision: revision.to_owned(), metric: metric.to_owned() };
        self.feedback.get_or_create(&labels).inc();
        self.feedback_sum.get_or_create(&labels).inc_by(value);
        self.feedback_squares.get_or_create(&labels).inc_by(value * value);
    }

    /// The OpenMetrics text, with the queue as it is now.
    pub(crate) fn text(&self, queue: &Queue) -> Result<String, std::fmt::Error> {
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.queue_length.set(gauge(queue.waiting()));
        self.sessions.set(gauge(*queue.sessions_up().borrow()));
        self.session_threads.set(gauge(queue.config().layout.threads));
        self.batch_max_size.set(gauge(queue.config().batching.map_or(1, |b| b.max_size)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
