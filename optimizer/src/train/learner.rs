use std::collections::BTreeSet;

use super::data::Batch;
use super::error::TrainError;
use super::loss::{cross_entropy, divergence, feature_error, mean_square};
use super::options::{Feature, Options, Teacher};
use super::tape::{Plan, Tape};
use super::teacher::{Oracle, first_output};
use super::tensor::{Buffers, Tensor, to_storage};
use crate::engine::Engine;
use crate::onnx::Graph;

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
            let mut grad = self.buffers.zeros(values.len());
            // Nothing is relative to zeros: they have no gradient.
            if let Some(square) = mean_square(values) {
                let size = square.sqrt() as f32;
                for g in &mut grad {
                    *g = factor() / size;
                }
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
