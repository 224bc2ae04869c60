//! From a package to a model that can answer.

use std::sync::Arc;

use drydock_contract::{Digest, PackageManifest};

use crate::backend::{Engine, OnnxRuntime, Provider, Signature};
use crate::config::Config;
use crate::detection::Detector;
use crate::error::StartError;
use crate::images::Images;
use crate::metrics::Metrics;
use crate::package::Package;
use crate::queue::{self, Expected, Measured, Queue, QueueConfig};
use crate::samples::Samples;
use crate::serve::Model;

/// A model that has run once, and where it comes from.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) manifest: PackageManifest,
}

/// Where it holds up nobody.
pub(crate) async fn load_aside(
    config: &Arc<Config>,
    expected: Digest,
    metrics: &Arc<Metrics>,
) -> Result<Loaded, StartError> {
    let (config, metrics) = (config.clone(), metrics.clone());
    let load = tokio::task::spawn_blocking(move || {
        let loaded = load(&config, &expected, &metrics);
        // Of MobileNetV2 3 to 4 MB for each session.
        drydock_heap::give_back();
        loaded
    });
    load.await.map_err(|e| StartError::Thread(std::io::Error::other(e)))?
}

fn load(config: &Config, wanted: &Digest, metrics: &Arc<Metrics>) -> Result<Loaded, StartError> {
    let Package { manifest, model } = Package::open(&config.package, wanted)?;
    let content = &manifest.content;
    let signature = Signature { inputs: content.inputs.clone(), outputs: content.outputs.clone() };
    let samples = Samples::of(&config.package, manifest.record.samples.as_ref(), &signature);
    let expected = Expected { signature, samples: Arc::new(samples) };
    // What needs no engine first.
    let (images, detector, slow) = (Images::of(content), Detector::of(content)?, model.graph()?.slow());
    let statistics = Arc::default();
    let engine = OnnxRuntime::new(&config.engine(content.target), model)?;
    let provider = engine.provider();
    // Others have their own forms: TensorRT wants int8 activations.
    let slow = slow.filter(|_| provider == Provider::Cpu);
    if let Some(slow) = slow {
        tracing::warn!(
            format = slow.as_str(),
            "this model is in a form that ONNX Runtime is slow at: {slow}, as measured on AMD Zen 4; quantize it with uint8 activations and int8 \
             weights in QDQ form, as Drydock does",
        );
    }
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let Measured { layout, batching, first } =
        queue::measure(engine.as_ref(), &expected, config.plan(provider), config.batching())?;
    let queue = QueueConfig { layout, size: usize::from(config.queue_size), max_wait: config.max_wait(), batching };
    let queue = Queue::start(&engine, &expected, queue, first, metrics, &statistics)?;
    let model = Model {
        name: config.model_name.clone(),
        revision: config.revision(&manifest.digest),
        digest: manifest.digest.clone(),
        provider: provider.name(),
        slow,
        signature: expected.signature,
        directory: config.package.clone(),
        recorded: manifest.record.samples.clone(),
        images,
        detector,
        labels: content.labels.clone(),
        statistics,
        max_rows: config.max_rows as usize,
        queue,
    };
    Ok(Loaded { model, manifest })
}
