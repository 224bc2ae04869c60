//! What both protocols do with a request, written once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRef;
use drydock_contract::{Datatype, Digest, RecordedSamples, TensorSignature};
use drydock_preprocessing::Placement;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::backend::Signature;
use crate::budget::{Budget, Share};
use crate::classification;
use crate::deadline::Deadline;
use crate::detection::{Detector, Object};
use crate::error::ServeError;
use crate::graph::Slow;
use crate::images::{Encoded, Images};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::queue::{Inputs, Queue};
use crate::split::Splitter;
use crate::statistics::Statistics;
use crate::strings;
use crate::tensor::{self, Decision, Tensor};

pub(crate) const SERVER_NAME: &str = "drydock-inference-sidecar";
pub(crate) const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Those that are there whole: of `model_repository` there is only the index, as a process serves one model.
pub(crate) const EXTENSIONS: [&str; 3] = ["binary_tensor_data", "classification", "statistics"];
pub(crate) const PLATFORM: &str = "onnx_onnxv1";
/// Names the revision that answered: header of every HTTP response, metadata of every gRPC response.
pub(crate) const REVISION_HEADER: &str = "drydock-revision";

/// The [`App`] as it is now. A reload puts another in its place; a request keeps the one that it began with.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<watch::Sender<Arc<App>>>);

impl Current {
    pub(crate) fn new(app: App) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(app))))
    }

    pub(crate) fn app(&self) -> Arc<App> {
        self.0.borrow().clone()
    }

    /// What serves from now on.
    pub(crate) fn replace(&self, app: App) {
        self.0.send_replace(Arc::new(app));
    }

    /// Tells of each replacement.
    pub(crate) fn replaced(&self) -> watch::Receiver<Arc<App>> {
        self.0.subscribe()
    }
}

/// Handlers ask for the application as it is when their request comes.
impl FromRef<Current> for Arc<App> {
    fn from_ref(current: &Current) -> Self {
        current.app()
    }
}

/// One process: one model, and perhaps a canary beside it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) splitter: Option<Arc<Splitter>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) max_body_bytes: usize,
    /// One permit for each request in progress, taken before its body is read.
    pub(crate) admission: Arc<Semaphore>,
    /// What their bodies and tensors hold together.
    pub(crate) budget: Budget,
    /// What all other requests and their answers hold together: those must be answered when users' inferences have all of theirs.
    pub(crate) questions: Budget,
}

/// Of [`App::questions`]: thousands of them at one time.
pub(crate) const QUESTIONS_BYTES: usize = 8 << 20;

impl App {
    /// The same server with another model.
    pub(crate) fn with(&self, model: Model) -> Self {
        Self {
            splitter: self.splitter.clone(),
            metrics: self.metrics.clone(),
            lifecycle: self.lifecycle.clone(),
            max_body_bytes: self.max_body_bytes,
            admission: Arc::new(Semaphore::new(model.queue.limit())),
            budget: self.budget.clone(),
            questions: self.questions.clone(),
            model,
        }
    }

    /// A place for a request, if there is one and its turn would come in time.
    pub(crate) fn admit(&self, deadline: Deadline, now: Instant) -> Result<OwnedSemaphorePermit, ServeError> {
        self.model.queue.has_time(deadline, now)?;
        let limit = self.model.queue.limit();
        self.admission.clone().try_acquire_owned().map_err(|_| ServeError::Overloaded { limit })
    }

    /// Whether requests should come here: not while the server stops, nor while no session is up.
    pub(crate) fn is_ready(&self) -> bool {
        self.lifecycle.is_ready() && self.model.queue.is_up()
    }

    /// Whether no request is in progress, and one would be answered: there is time for what no user has asked.
    pub(crate) fn is_idle(&self) -> bool {
        let is_free = self.admission.available_permits() == self.model.queue.limit();
        is_free && self.model.queue.waiting() == 0 && self.budget.has_room() && self.is_ready()
    }

    /// What there is, or only what is ready: one model at most.
    pub(crate) fn index(&self, only_ready: bool) -> Option<IndexEntry<'_>> {
        let ready = self.is_ready();
        let (state, reason) = match self.lifecycle.is_ready() {
            _ if ready => ("READY", ""),
            true => ("UNAVAILABLE", "the engine has no session"),
            false => ("UNAVAILABLE", "the server is stopping"),
        };
        let entry = IndexEntry { name: &self.model.name, version: &self.model.revision, state, reason };
        (ready || !only_ready).then_some(entry)
    }
}

/// A line of the repository's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IndexEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    /// The model's only version is its revision: a request that names it is answered by this revision or not at all.
    pub(crate) revision: String,
    pub(crate) digest: Digest,
    /// Who computes, as ONNX Runtime names it.
    pub(crate) provider: &'static str,
    /// What makes it slow there.
    pub(crate) slow: Option<Slow>,
    pub(crate) signature: Signature,
    /// Where its package is.
    pub(crate) directory: PathBuf,
    /// What the package has recorded of it.
    pub(crate) recorded: Option<RecordedSamples>,
    /// Class names by index of the first output.
    pub(crate) labels: Vec<String>,
    /// How it takes images, or why it takes none.
    pub(crate) images: Result<Images, String>,
    /// What reads its boxes, of a detector.
    pub(crate) detector: Option<Detector>,
    pub(crate) max_rows: usize,
    pub(crate) queue: Queue,
    pub(crate) statistics: Arc<Statistics>,
}

/// An output that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    /// So many classes in place of the values.
    pub(crate) classes: Option<usize>,
}

impl Model {
    /// Whether this is the model asked for. An empty version is any.
    pub(crate) fn check(&self, name: &str, version: &str) -> Result<(), ServeError> {
        if name != self.name {
            return Err(ServeError::UnknownModel { found: name.into(), expected: self.name.clone() });
        }
        if !version.is_empty() && version != self.revision {
            return Err(ServeError::UnknownVersion {
                model: name.into(),
                found: version.into(),
                expected: self.revision.clone(),
            });
        }
        Ok(())
    }

    /// The input that may come as encoded images.
    pub(crate) fn encoded(&self) -> Option<Encoded> {
        self.images.as_ref().ok().map(|images| images.encoded(self.max_rows))
    }

    /// The inputs as the model takes them: encoded images are decoded, for which `share` holds what that takes.
    pub(crate) async fn decode(
        &self,
        mut inputs: Vec<Tensor>,
        mut share: Share,
    ) -> Result<(Vec<Tensor>, Share), ServeError> {
        let (Ok(images), Some(encoded)) = (&self.images, self.encoded()) else { return Ok((inputs, share)) };
        let Some(tensor) = inputs.iter_mut().find(|t| encoded.is(&t.name, t.datatype)) else {
            return Ok((inputs, share));
        };
        let (images, data) = (images.clone(), tensor.data.clone());
        let read = move || {
            let files = strings::elements(&data).collect::<Result<Vec<_>, _>>().map_err(ServeError::Invalid)?;
            // The encoded images are there until all are decoded.
            let mut decoding = share.beside();
            let (decoded, _) = images.batch(&files, &mut decoding)?;
            share.absorb(decoding);
            Ok::<_, ServeError>((decoded, share))
        };
        // A large photograph takes tens of milliseconds.
        let decoded = tokio::task::spawn_blocking(read).await;
        let (decoded, share) = decoded.map_err(|e| ServeError::Engine(e.to_string()))??;
        *tensor = decoded;
        Ok((inputs, share))
    }

    /// Answers with the outputs named, in that order; with all of them if none are. `share`: what the inputs hold.
    pub(crate) async fn infer(
        &self,
        inputs: Vec<Tensor>,
        outputs: &[Wanted<'_>],
        deadline: Deadline,
        share: &Arc<Share>,
    ) -> Result<Vec<Tensor>, ServeError> {
        check_outputs(&self.signature.outputs, outputs)?;
        let tensors = in_order(&self.signature.inputs, self.max_rows, inputs)?;
        let start = Instant::now();
        let answer = self.queue.run(Inputs::new(tensors, share.clone()), deadline).await;
        self.statistics.request(answer.is_ok(), start.elapsed());
        let mut answer = answer?;
        if outputs.is_empty() {
            return Ok(answer);
        }
        let mut selected = Vec::with_capacity(outputs.len());
        for wanted in outputs {
            let Some(i) = answer.iter().position(|t| t.name == *wanted.name) else { continue };
            let tensor = answer.swap_remove(i);
            selected.push(match wanted.classes {
                None => tensor,
                Some(k) => {
                    classification::classify(&tensor, k, self.labels(wanted.name)).map_err(ServeError::Invalid)?
                }
            });
        }
        Ok(selected)
    }

    /// A detector's objects in each image, the surest first, `top` of each at most; `None` of other models.
    pub(crate) fn boxes(
        &self,
        outputs: &[Tensor],
        placements: &[Placement],
        top: Option<usize>,
    ) -> Result<Option<Vec<Vec<Object<'_>>>>, ServeError> {
        let objects = |d: &Detector| d.objects(outputs, placements, &self.labels, top);
        self.detector.as_ref().map(objects).transpose().map_err(|e| ServeError::Engine(e.to_string()))
    }

    /// Whether these are outputs of this model, some at least: a client that knows it can read them. How many rows there are is the
    /// request's, whatever the model declares: ONNX Runtime lets a batch through where an exporter has written 1.
    pub(crate) fn has_form(&self, outputs: &[TensorSignature]) -> bool {
        let fits = |declared: &[i64], found: &[i64]| {
            let rest = |shape: &[i64]| shape.get(1..).unwrap_or_default().to_vec();
            declared.len() == found.len() && tensor::shape_fits(&rest(declared), &rest(found))
        };
        let is_one = |found: &TensorSignature| {
            let declared = self.signature.outputs.iter().find(|s| s.name == found.name);
            // Classes in the place of the values, where they are asked for.
            let is_classes = |s: &TensorSignature| found.datatype == Datatype::Bytes && s.datatype != Datatype::Bytes;
            declared.is_some_and(|s| is_classes(s) || found.datatype == s.datatype && fits(&s.shape, &found.shape))
        };
        !outputs.is_empty() && outputs.iter().all(is_one)
    }

    /// What an answer decides: a detector's objects, else what its first output does.
    pub(crate) fn decisions(&self, outputs: &[Tensor]) -> Option<Vec<Decision>> {
        let objects = self.detector.as_ref().and_then(|d| d.decisions(outputs));
        objects.or_else(|| outputs.first()?.decisions())
    }

    /// Those of the package are the first output's.
    fn labels(&self, output: &str) -> &[String] {
        let first = self.signature.outputs.first();
        if first.is_some_and(|s| s.name == output) { &self.labels } else { &[] }
    }
}

fn check_outputs(signature: &[TensorSignature], outputs: &[Wanted<'_>]) -> Result<(), ServeError> {
    for (i, wanted) in outputs.iter().enumerate() {
        let name = wanted.name;
        if !signature.iter().any(|s| s.name == name) {
            let names = names(signature);
            return Err(ServeError::Invalid(format!("the model has no output {name:?}; expected one of {names}")));
        }
        if outputs.iter().take(i).any(|o| o.name == name) {
            return Err(ServeError::Invalid(format!("output {name:?} is asked for twice; expected once")));
        }
    }
    Ok(())
}

fn names(signature: &[TensorSignature]) -> String {
    signature.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The inputs in the order of the signature, each held against it.
fn in_order(
    signature: &[TensorSignature],
    max_rows: usize,
    mut inputs: Vec<Tensor>,
) -> Result<Vec<Tensor>, ServeError> {
    let mut ordered = Vec::with_capacity(signature.len());
    for expected in signature {
        let Some(i) = inputs.iter().position(|t| t.name == expected.name) else {
            let found = inputs.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ServeError::Invalid(format!("input {:?} is missing; found {found:?}", expected.name)));
        };
        let tensor = inputs.swap_remove(i);
        check_input(expected, max_rows, &tensor)
            .map_err(|e| ServeError::Invalid(format!("input {:?}: {e}", expected.name)))?;
        ordered.push(tensor);
    }
    match inputs.first() {
        None => Ok(ordered),
        Some(t) => {
            let names = names(signature);
            Err(ServeError::Invalid(format!("the model has no input {:?}, or it came twice; expected {names}", t.name)))
        }
    }
}

fn check_input(expected: &TensorSignature, max_rows: usize, found: &Tensor) -> Result<(), String> {
    tensor::check_kind(expected, max_rows, found.datatype, &found.shape)?;
    tensor::check_data(found.datatype, &found.shape, &found.data)?;
    if found.datatype == Datatype::Bool && found.data.iter().any(|b| *b > 1) {
        return Err("a BOOL is neither 0 nor 1".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
