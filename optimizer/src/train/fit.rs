use std::collections::BTreeSet;
use std::time::Instant;

use super::data::{Augment, Batch, Sampler, Samples};
use super::error::TrainError;
use super::loss::{cross_entropy, divergence, feature_error};
use super::optimizer::{Rule, State, scheduled};
use super::tape::{Plan, Tape, TensorValue};
use super::teacher::{Oracle, first_output};
use super::tensor::{Buffers, Tensor, from_storage, to_storage};
use crate::engine::Engine;
use crate::interrupt;
use crate::onnx::{Graph, float_tensor, tensor};
use crate::passes::lift_constants;
use crate::progress::Progress;
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// Steps that tell how long the others will take.
const PACE_STEPS: usize = 20;

/// Whose answers are learned. It must take the student's input.
#[derive(Clone, Copy, Debug)]
pub struct Teacher<'a> {
    pub graph: &'a Graph,
    /// Inner values to be matched.
    pub features: &'a [Feature],
}

/// Two values of the same shape, one of the student and one of the teacher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub student: String,
    pub teacher: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub steps: usize,
    /// Images in a step.
    pub batch: usize,
    pub rule: Rule,
    /// The highest of the schedule.
    pub learning_rate: f32,
    /// The share of steps in which the learning rate rises; then it falls as a cosine.
    pub warm_up: f32,
    /// Softens the teacher's answers.
    pub temperature: f32,
    /// The labels' share of the loss; the rest is the teacher's. 0 reads no labels.
    pub labels: f32,
    /// Weight of the features beside that.
    pub features: f32,
    /// What is compared in the place of the first output, where that holds no scores of classes: values of a detector's last layers.
    pub heads: Vec<Feature>,
    pub augment: Augment,
    pub seed: u64,
    /// `BatchNormalization` takes the statistics of the batch, and their moving average goes on; false: it takes those
    /// of the file.
    pub batch_statistics: bool,
    /// Weights that are 0 stay 0, as after pruning.
    pub keep_zeros: bool,
    /// Initializers that stay as they are.
    pub freeze: BTreeSet<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 64,
            rule: Rule::AdamW { weight_decay: 0.05 },
            learning_rate: 1e-3,
            warm_up: 0.1,
            temperature: 4.0,
            labels: 0.0,
            features: 0.0,
            heads: Vec::new(),
            augment: Augment::default(),
            seed: 0,
            batch_statistics: true,
            keep_zeros: false,
            freeze: BTreeSet::new(),
        }
    }
}

/// What [`fit`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub steps: usize,
    /// Tensors and numbers that were trained.
    pub tensors: usize,
    pub weights: usize,
    /// The mean over the first and over the last tenth of the steps.
    pub first_loss: f32,
    pub last_loss: f32,
    /// The node without a gradient that is nearest to the output, and why: what lies before it stayed.
    pub frozen: Option<String>,
}

/// Trains the weights of `graph` on `data`: towards the teacher's answers to the same images, towards labels, or both.
///
/// # Errors
/// [`TrainError::NoGradient`] names the node that stands between the output and all weights; a loss that is no number;
/// options or data that do not fit.
pub fn fit(
    engine: &Engine,
    graph: Graph,
    teacher: Option<Teacher<'_>>,
    data: &Samples,
    options: &Options,
    progress: &mut Progress,
) -> Result<(Graph, Report), TrainError> {
    check(options, teacher, data)?;
    let (mut graph, _) = lift_constants(graph);
    let mut learner = Learner::new(engine, &graph, teacher, options, &[])?;
    if learner.tape.parameters.is_empty() {
        return Err(TrainError::NothingToTrain(learner.tape.frozen.map(|(node, _)| node)));
    }
    let mut states: Vec<State> = Vec::with_capacity(learner.tape.parameters.len());
    for parameter in &learner.tape.parameters {
        states.push(State::new(&learner.tape.value(parameter.slot).data, options.keep_zeros));
    }
    let mut sampler = Sampler::new(data, options.augment, options.seed);
    let mut batch = Batch::default();
    let tenth = options.steps.div_ceil(10);
    let (mut first, mut last) = (0.0_f64, 0.0_f64);
    let mut begin = Instant::now();
    for step in 0..options.steps {
        interrupt::check()?;
        // The first step takes memory that the others use again.
        if step == 1 {
            begin = Instant::now();
        } else if step > PACE_STEPS {
            // A fifth less: others may have had the processor.
            let left = begin.elapsed().mul_f64(0.8 * (options.steps - step) as f64 / (step - 1) as f64);
            interrupt::check_ahead(left)?;
        }
        sampler.fill(options.batch, &mut batch);
        let rate = scheduled(options.learning_rate, options.warm_up, step, options.steps);
        let (loss, grads) = learner.step(&batch, &BTreeSet::new())?;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step, loss, learning_rate: options.learning_rate });
        }
        let slots: Vec<usize> = learner.tape.parameters.iter().map(|p| p.slot).collect();
        for (slot, state) in slots.iter().zip(&mut states) {
            let Some(grad) = &grads[*slot] else { continue };
            let weight = learner.tape.value_mut(*slot);
            let decayed = weight.shape.len() > 1;
            state.update(options.rule, rate, step + 1, decayed, &mut weight.data, grad);
        }
        learner.give(grads);
        let done = step + 1;
        first += if done <= tenth { f64::from(loss) } else { 0.0 };
        last += if done > options.steps - tenth { f64::from(loss) } else { 0.0 };
        progress.step(&format!("train: loss {loss:.4},"), done, options.steps, "steps");
    }
    let weights = learner.tape.parameters.iter().map(|p| learner.tape.value(p.slot).data.len()).sum();
    let report = Report {
        steps: options.steps,
        tensors: learner.tape.parameters.len(),
        weights,
        first_loss: (first / tenth as f64) as f32,
        last_loss: (last / tenth as f64) as f32,
        frozen: learner.tape.frozen.as_ref().map(|(node, problem)| format!("{node}: {problem}")),
    };
    let trained = learner.tape.trained();
    for initializer in &mut graph.body.initializer {
        if let Some(value) = trained.get(&initializer.name) {
            *initializer = encoded(initializer, value);
        }
    }
    Ok((graph, report))
}

fn encoded(old: &TensorProto, value: &TensorValue) -> TensorProto {
    match value {
        TensorValue::Floats(values) => float_tensor(&old.name, &old.dims, values),
        TensorValue::Integers(values) => {
            let (data_type, bytes) = match DataType::try_from(old.data_type) {
                Ok(DataType::Int8) => (DataType::Int8, values.iter().map(|v| *v as i8 as u8).collect()),
                Ok(DataType::Int32) => {
                    (DataType::Int32, values.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect())
                }
                _ => (DataType::Uint8, values.iter().map(|v| *v as u8).collect()),
            };
            tensor(&old.name, data_type, &old.dims, bytes)
        }
    }
}

pub(super) fn check(options: &Options, teacher: Option<Teacher<'_>>, data: &Samples) -> Result<(), TrainError> {
    let fail = |what: String| Err(TrainError::Options(what));
    let share = |v: f32| (0.0..=1.0).contains(&v);
    if options.steps == 0 || options.batch == 0 {
        return fail(format!("{} steps of {} images; expected at least one of each", options.steps, options.batch));
    }
    let positive = |v: f32| v.is_finite() && v > 0.0;
    if !positive(options.learning_rate) || !positive(options.temperature) {
        let (rate, temperature) = (options.learning_rate, options.temperature);
        return fail(format!("learning rate {rate}, temperature {temperature}; expected numbers above 0"));
    }
    let features = options.features.is_finite() && options.features >= 0.0;
    if !(share(options.labels) && share(options.warm_up) && features) {
        return fail(format!("labels {}, warm-up {}; expected 0 to 1", options.labels, options.warm_up));
    }
    if options.labels > 0.0 && !options.heads.is_empty() {
        return fail(format!(
            "labels {}; expected 0: they are of classes, and what is compared is not",
            options.labels
        ));
    }
    if options.labels > 0.0 && data.labels().is_none() {
        return fail("the loss has a share for labels, and the data has none; expected an array `y`".into());
    }
    if teacher.is_none() && options.labels == 0.0 {
        return fail("neither a teacher nor labels; expected something to learn from".into());
    }
    Ok(())
}

/// A student, its teacher, and memory for one step.
#[derive(Debug)]
pub(super) struct Learner<'a> {
    pub(super) tape: Tape,
    options: &'a Options,
    /// The part before the tape, where there is one.
    before: Option<Oracle>,
    teacher: Option<Oracle>,
    /// Scores of classes.
    output: Option<usize>,
    /// What else is compared, and what its error counts.
    features: Vec<(usize, f32)>,
    buffers: Buffers,
}

impl<'a> Learner<'a> {
    pub(super) fn new(
        engine: &Engine,
        graph: &Graph,
        teacher: Option<Teacher<'_>>,
        options: &'a Options,
        watch: &[String],
    ) -> Result<Self, TrainError> {
        let heads = &options.heads;
        let output = if heads.is_empty() { Some(first_output(graph)?) } else { None };
        let inner = teacher.filter(|_| options.features > 0.0).map_or(&[][..], |t| t.features);
        let share = 1.0 / heads.len().max(1) as f32;
        let compared: Vec<(&Feature, f32)> =
            heads.iter().map(|h| (h, share)).chain(inner.iter().map(|f| (f, options.features))).collect();
        let students = compared.iter().map(|(f, _)| f.student.clone());
        let targets: Vec<String> = output.clone().into_iter().chain(students).collect();
        let plan = Plan { targets: &targets, training: options.batch_statistics, freeze: &options.freeze, watch };
        let tape = Tape::new(graph, plan)?;
        let find = |name: &str| {
            tape.find(name).ok_or_else(|| TrainError::Options(format!("the student has no value {name:?}")))
        };
        let output = output.map(|name| find(&name)).transpose()?;
        let features: Vec<(usize, f32)> =
            compared.iter().map(|(f, weight)| Ok((find(&f.student)?, *weight))).collect::<Result<_, TrainError>>()?;
        let inputs: BTreeSet<&str> = graph.body.input.iter().map(|i| i.name.as_str()).collect();
        let before = if tape.feeds.iter().all(|(name, _)| inputs.contains(name.as_str())) {
            None
        } else {
            // ONNX Runtime gives an input back as it is, through no node: it must be none of the outputs.
            if let Some((name, _)) = tape.feeds.iter().find(|(name, _)| inputs.contains(name.as_str())) {
                let problem = format!("both it and a node without a gradient read {name:?}");
                return Err(TrainError::NoGradient { node: name.clone(), problem });
            }
            Some(Oracle::new(engine, graph, tape.feeds.iter().map(|(name, _)| name.clone()).collect())?)
        };
        let teacher = match teacher {
            Some(teacher) => {
                let scores = output.map(|_| first_output(teacher.graph)).transpose()?;
                let values = scores.into_iter().chain(compared.iter().map(|(f, _)| f.teacher.clone())).collect();
                Some(Oracle::new(engine, teacher.graph, values)?)
            }
            None => None,
        };
        Ok(Self { tape, options, before, teacher, output, features, buffers: Buffers::default() })
    }

    /// The loss of a batch, and the gradients by slot: of the parameters, and of `keep`.
    pub(super) fn step(
        &mut self,
        batch: &Batch,
        keep: &BTreeSet<usize>,
    ) -> Result<(f32, Vec<Option<Vec<f32>>>), TrainError> {
        self.forward(batch)?;
        let (loss, seeds) = self.losses(batch)?;
        let grads = self.tape.backward(seeds, keep, &mut self.buffers);
        Ok((loss, grads))
    }

    /// The gradients, by slot, of what is compared, each of its values times `factor` over the root of their mean square.
    pub(super) fn probe(
        &mut self,
        batch: &Batch,
        keep: &BTreeSet<usize>,
        mut factor: impl FnMut() -> f32,
    ) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
        self.forward(batch)?;
        let mut seeds = Vec::with_capacity(self.features.len());
        for (slot, _) in &self.features {
            let values = &self.tape.value(*slot).data;
            let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().max(f64::MIN_POSITIVE);
            let size = (square / values.len().max(1) as f64).sqrt() as f32;
            let mut grad = self.buffers.zeros(values.len());
            for g in &mut grad {
                *g = factor() / size;
            }
            seeds.push((*slot, grad));
        }
        Ok(self.tape.backward(seeds, keep, &mut self.buffers))
    }

    fn forward(&mut self, batch: &Batch) -> Result<(), TrainError> {
        let fed = if let Some(before) = &mut self.before {
            before.run(&batch.shape, &batch.x)?
        } else {
            let shape: Vec<usize> = batch.shape.iter().map(|d| *d as usize).collect();
            vec![(shape, batch.x.clone()); self.tape.feeds.len()]
        };
        let mut feeds = Vec::with_capacity(fed.len());
        for (shape, values) in fed {
            let mut data = self.buffers.take(values.len());
            to_storage(&shape, &values, &mut data);
            feeds.push(Tensor::new(&shape, data));
        }
        self.tape.forward(feeds, &mut self.buffers)
    }

    fn losses(&mut self, batch: &Batch) -> Result<(f32, Vec<(usize, Vec<f32>)>), TrainError> {
        let answers = match &mut self.teacher {
            Some(teacher) => teacher.run(&batch.shape, &batch.x)?,
            None => Vec::new(),
        };
        let (scores, inner) = answers.split_at(usize::from(self.output.is_some()).min(answers.len()));
        let (mut loss, mut seeds) = (0.0, Vec::with_capacity(1 + self.features.len()));
        for ((slot, weight), (shape, taught)) in self.features.iter().zip(inner) {
            let value = self.tape.value(*slot);
            if *shape != value.shape {
                let found = format!("a feature of shape {:?}, the teacher's of {shape:?}", value.shape);
                return Err(TrainError::Options(format!("{found}; expected the same")));
            }
            let mut stored = self.buffers.take(taught.len());
            to_storage(shape, taught, &mut stored);
            let mut grad = self.buffers.zeros(taught.len());
            loss += weight * feature_error(&value.data, &stored, *weight, &mut grad);
            self.buffers.give(stored);
            seeds.push((*slot, grad));
        }
        if let Some(output) = self.output {
            let (of_classes, grad) = self.classification(batch, output, scores.first())?;
            loss += of_classes;
            seeds.push((output, grad));
        }
        Ok((loss, seeds))
    }

    /// Of scores of classes: the divergence from the teacher's, and the cross-entropy with labels.
    fn classification(
        &mut self,
        batch: &Batch,
        output: usize,
        taught: Option<&(Vec<usize>, Vec<f32>)>,
    ) -> Result<(f32, Vec<f32>), TrainError> {
        let options = self.options;
        let logits = self.tape.value(output);
        let [rows, classes] = logits.shape[..] else {
            let shape = &logits.shape;
            return Err(TrainError::Options(format!(
                "the student's output has shape {shape:?}; expected (N, classes)"
            )));
        };
        let mut loss = 0.0;
        let mut grad = self.buffers.zeros(logits.data.len());
        let labels = if self.teacher.is_some() { options.labels } else { 1.0 };
        if let Some((shape, taught)) = taught {
            if *shape != logits.shape {
                let found = format!("the teacher's output has shape {shape:?}, the student's {:?}", logits.shape);
                return Err(TrainError::Options(format!("{found}; expected the same")));
            }
            let weight = 1.0 - labels;
            loss += weight * divergence(&logits.data, taught, classes, options.temperature, weight, &mut grad);
        }
        if labels > 0.0 {
            if let Some(bad) = batch.labels.iter().find(|l| **l as usize >= classes) {
                return Err(TrainError::Options(format!("label {bad}; expected one below {classes}")));
            }
            if batch.labels.len() == rows {
                loss += labels * cross_entropy(&logits.data, &batch.labels, classes, labels, &mut grad);
            }
        }
        Ok((loss, grad))
    }

    pub(super) fn give(&mut self, grads: Vec<Option<Vec<f32>>>) {
        grads.into_iter().flatten().for_each(|g| self.buffers.give(g));
    }
}

/// Values that a student made from its teacher still has under the same name: at most `most` of them, spread evenly.
/// Where a network adds or pools, what goes on is a block's result.
pub fn shared_features(student: &Graph, teacher: &Graph, most: usize) -> Vec<Feature> {
    let blocks = |graph: &Graph| -> Vec<String> {
        let ends = |n: &&crate::proto::NodeProto| ["Add", "GlobalAveragePool", "MaxPool"].iter().any(|op| n.is(op));
        graph.nodes().iter().filter(ends).filter_map(|n| n.output.first().cloned()).collect()
    };
    let known: BTreeSet<String> = blocks(teacher).into_iter().collect();
    let shared: Vec<String> = blocks(student).into_iter().filter(|name| known.contains(name)).collect();
    let step = shared.len().div_ceil(most.max(1)).max(1);
    let chosen = shared.into_iter().rev().step_by(step);
    chosen.map(|name| Feature { student: name.clone(), teacher: name }).collect()
}

/// A value in ONNX's order.
pub(super) fn plain(shape: &[usize], stored: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; stored.len()];
    from_storage(shape, stored, &mut out);
    out
}
