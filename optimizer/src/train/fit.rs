use std::collections::BTreeSet;
use std::time::Instant;

use super::data::{Batch, Sampler, Samples};
use super::error::TrainError;
use super::learner::Learner;
use super::optimizer::{State, scheduled};
use super::options::{Feature, Options, Teacher, check};
use super::tape::TensorValue;
use crate::engine::Engine;
use crate::interrupt;
use crate::onnx::{Graph, float_tensor, tensor};
use crate::passes::lift_constants;
use crate::progress::Progress;
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// Steps that tell how long the others will take.
const PACE_STEPS: usize = 20;

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
