//! A graph as a list of steps that can be run forward and backward.

use std::collections::{BTreeSet, HashMap};

use super::build::{Built, Constants, Weights, build, integer_range, quantized_values, rounding};
use super::error::TrainError;
use super::ops::{Dequantize, Operator, Quantize, Range, Rounding};
use super::tensor::{Buffers, Tensor};
use crate::onnx::{Graph, floats, is_float};
use crate::proto::{NodeProto, TensorProto};

/// The differentiable end of a graph: from the last nodes without a gradient to the outputs.
#[derive(Debug)]
pub(super) struct Tape {
    steps: Vec<Step>,
    values: Vec<Tensor>,
    /// For each value: whether its gradient is wanted.
    wanted: Vec<bool>,
    slots: HashMap<String, usize>,
    pub(super) parameters: Vec<Parameter>,
    /// What a run must be given: the input, or values of the part before the tape. Name and slot.
    pub(super) feeds: Vec<(String, usize)>,
    /// The node without a gradient that is nearest to the output, and why it has none.
    pub(super) frozen: Option<(String, String)>,
}

#[derive(Debug)]
struct Step {
    operator: Box<dyn Operator>,
    inputs: Vec<usize>,
    output: usize,
    node: String,
    /// Names of the moving mean and variance.
    statistics: Option<[String; 2]>,
}

/// A trained tensor.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) slot: usize,
    /// Of the initializer.
    pub(super) name: String,
    /// Integers in the file: what is trained is a float weight that every step rounds.
    quantized: Option<(Rounding, Range)>,
}

/// What is to be on the tape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// The values that a loss reads.
    pub(super) targets: &'a [String],
    /// `BatchNormalization` takes the batch's statistics.
    pub(super) training: bool,
    /// Initializers that stay as they are.
    pub(super) freeze: &'a BTreeSet<String>,
    /// Further values, gradients of which are asked for.
    pub(super) watch: &'a [String],
}

impl Tape {
    pub(super) fn new(graph: &Graph, plan: Plan<'_>) -> Result<Self, TrainError> {
        let index = graph.index();
        let constants = Constants { graph, index: &index };
        let mut tape = Self {
            steps: Vec::new(),
            values: Vec::new(),
            wanted: Vec::new(),
            slots: HashMap::new(),
            parameters: Vec::new(),
            feeds: Vec::new(),
            frozen: None,
        };
        let (built, needed) = tape.choose(constants, plan)?;
        let on_tape: BTreeSet<usize> = built.keys().copied().collect();
        // A weight that the part before the tape reads too, or a subgraph, stays.
        let shared = |name: &str| {
            index.is_captured(name)
                || plan.freeze.contains(name)
                || index.consumers(name).iter().any(|c| needed.contains(c) && !on_tape.contains(c))
        };
        let mut nodes: Vec<(usize, Built)> = built.into_iter().collect();
        nodes.sort_by_key(|(at, _)| *at);
        for (at, built) in nodes {
            let node = &graph.nodes()[at];
            tape.push(node, built, constants, plan, &shared)?;
        }
        Ok(tape)
    }

    /// From the outputs backward: nodes that have a gradient, and whose every needed reader is on the tape.
    fn choose(
        &mut self,
        constants: Constants<'_>,
        plan: Plan<'_>,
    ) -> Result<(HashMap<usize, Built>, BTreeSet<usize>), TrainError> {
        let nodes = constants.graph.nodes();
        let mut built = HashMap::new();
        let mut needed = BTreeSet::new();
        for (at, node) in nodes.iter().enumerate().rev() {
            let readers: Vec<usize> = node
                .output
                .iter()
                .flat_map(|o| constants.index.consumers(o))
                .copied()
                .filter(|c| needed.contains(c))
                .collect();
            let target = node.output.iter().any(|o| plan.targets.contains(o));
            if readers.is_empty() && !target {
                continue;
            }
            needed.insert(at);
            let side = node.output.iter().skip(1).any(|o| !constants.index.consumers(o).is_empty());
            let result = if side {
                Err("its further outputs are read".to_owned())
            } else {
                build(node, constants, plan.training)
            };
            match result {
                Ok(operator) if readers.iter().all(|r| built.contains_key(r)) => {
                    built.insert(at, operator);
                }
                Ok(_) => {}
                Err(problem) if target => return Err(TrainError::NoGradient { node: node.label(), problem }),
                Err(problem) => self.frozen = self.frozen.take().or_else(|| Some((node.label(), problem))),
            }
        }
        // A target that is read by what is not on the tape.
        for target in plan.targets {
            let producer = constants.index.producer(target);
            if !producer.is_some_and(|p| built.contains_key(&p)) {
                let (node, problem) =
                    self.frozen.clone().unwrap_or_else(|| (target.clone(), "no node makes it".into()));
                return Err(TrainError::NoGradient { node, problem });
            }
        }
        Ok((built, needed))
    }

    fn push(
        &mut self,
        node: &NodeProto,
        built: Built,
        constants: Constants<'_>,
        plan: Plan<'_>,
        shared: &impl Fn(&str) -> bool,
    ) -> Result<(), TrainError> {
        let fail = |problem: String| TrainError::Node { node: node.label(), problem };
        if node.op_type == "DequantizeLinear"
            && let Some(tensor) = node.input_at(0).and_then(|n| constants.tensor(n))
        {
            return self.push_quantized(node, tensor, constants, shared);
        }
        let depends = node.input.iter().take(built.inputs).any(|n| self.slots.get(n).is_some_and(|s| self.wanted[*s]));
        let mut inputs = Vec::with_capacity(built.inputs);
        for (at, name) in node.input.iter().take(built.inputs).enumerate() {
            let slot = if let Some(tensor) = constants.tensor(name) {
                let weight = match built.weights {
                    Weights::None => false,
                    Weights::Own => at > 0,
                    Weights::Beside => depends && tensor.dims.iter().product::<i64>() > 1,
                };
                self.constant(tensor, weight && !shared(name)).map_err(fail)?
            } else if let Some(slot) = self.slots.get(name) {
                *slot
            } else {
                let slot = self.slot(name, plan.watch.contains(name));
                self.feeds.push((name.clone(), slot));
                slot
            };
            inputs.push(slot);
        }
        let statistics = (node.op_type == "BatchNormalization" && !shared(&node.input[3]))
            .then(|| [node.input[3].clone(), node.input[4].clone()]);
        let output = &node.output[0];
        let wanted = inputs.iter().any(|s| self.wanted[*s]) || plan.watch.contains(output);
        let output = self.slot(output, wanted);
        self.steps.push(Step { operator: built.operator, inputs, output, node: node.label(), statistics });
        Ok(())
    }

    /// An integer weight: a float one that is trained, and rounded on each pass.
    fn push_quantized(
        &mut self,
        node: &NodeProto,
        tensor: &TensorProto,
        constants: Constants<'_>,
        shared: &impl Fn(&str) -> bool,
    ) -> Result<(), TrainError> {
        let fail = |problem: String| TrainError::Node { node: node.label(), problem };
        let rounding = rounding(node, constants).map_err(fail)?;
        let (range, _) = integer_range(tensor.data_type).map_err(fail)?;
        let shape: Vec<usize> = tensor.dims.iter().map(|d| *d as usize).collect();
        let mut value = Tensor::from_row_major(&shape, &quantized_values(tensor).map_err(fail)?);
        rounding.restore(&mut value);
        let trained = !shared(&tensor.name);
        let weight = self.add_slot(value, trained);
        if trained {
            let quantized = Some((rounding.clone(), range));
            self.parameters.push(Parameter { slot: weight, name: tensor.name.clone(), quantized });
        }
        let whole = self.add_slot(Tensor::default(), trained);
        let output = self.slot(&node.output[0], trained);
        let step = |operator: Box<dyn Operator>, input, output| Step {
            operator,
            inputs: vec![input],
            output,
            node: node.label(),
            statistics: None,
        };
        self.steps.push(step(Box::new(Quantize { rounding: rounding.clone(), range }), weight, whole));
        self.steps.push(step(Box::new(Dequantize { rounding }), whole, output));
        Ok(())
    }

    fn constant(&mut self, tensor: &TensorProto, trained: bool) -> Result<usize, String> {
        let slot = if let Some(slot) = self.slots.get(&tensor.name) {
            *slot
        } else {
            if !is_float(tensor) {
                return Err(format!("constant {:?} is no float32", tensor.name));
            }
            let values = floats(tensor).map_err(|e| e.to_string())?;
            let shape: Vec<usize> = tensor.dims.iter().map(|d| *d as usize).collect();
            let slot = self.add_slot(Tensor::from_row_major(&shape, &values), false);
            self.slots.insert(tensor.name.clone(), slot);
            slot
        };
        if trained && !self.wanted[slot] {
            self.wanted[slot] = true;
            self.parameters.push(Parameter { slot, name: tensor.name.clone(), quantized: None });
        }
        Ok(slot)
    }

    fn slot(&mut self, name: &str, wanted: bool) -> usize {
        let slot = self.add_slot(Tensor::default(), wanted);
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    fn add_slot(&mut self, value: Tensor, wanted: bool) -> usize {
        self.values.push(value);
        self.wanted.push(wanted);
        self.values.len() - 1
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.slots.get(name).copied()
    }

    pub(super) fn is_wanted(&self, slot: usize) -> bool {
        self.wanted[slot]
    }

    pub(super) fn value(&self, slot: usize) -> &Tensor {
        &self.values[slot]
    }

    pub(super) fn value_mut(&mut self, slot: usize) -> &mut Tensor {
        &mut self.values[slot]
    }

    /// Runs all steps; `feeds` are in the order of [`Self::feeds`].
    pub(super) fn forward(&mut self, feeds: Vec<Tensor>, buffers: &mut Buffers) -> Result<(), TrainError> {
        for ((_, slot), value) in self.feeds.iter().zip(feeds) {
            buffers.give(std::mem::replace(&mut self.values[*slot], value).data);
        }
        for step in &mut self.steps {
            let inputs: Vec<&Tensor> = step.inputs.iter().map(|s| &self.values[*s]).collect();
            let output = step
                .operator
                .forward(&inputs, buffers)
                .map_err(|problem| TrainError::Node { node: step.node.clone(), problem })?;
            buffers.give(std::mem::replace(&mut self.values[step.output], output).data);
        }
        Ok(())
    }

    /// From gradients of some values to those of the parameters and of `keep`, by slot.
    pub(super) fn backward(
        &mut self,
        seeds: Vec<(usize, Vec<f32>)>,
        keep: &BTreeSet<usize>,
        buffers: &mut Buffers,
    ) -> Vec<Option<Vec<f32>>> {
        let mut grads: Vec<Option<Vec<f32>>> = vec![None; self.values.len()];
        for (slot, seed) in seeds {
            accumulate(&mut grads[slot], seed, buffers);
        }
        for step in self.steps.iter_mut().rev() {
            let held = if keep.contains(&step.output) {
                grads[step.output].as_ref().map(|g| {
                    let mut copy = buffers.take(g.len());
                    copy.copy_from_slice(g);
                    copy
                })
            } else {
                None
            };
            let Some(grad) = grads[step.output].take() else { continue };
            grads[step.output] = held;
            let wanted: Vec<bool> = step.inputs.iter().map(|s| self.wanted[*s]).collect();
            if !wanted.contains(&true) {
                buffers.give(grad);
                continue;
            }
            let inputs: Vec<&Tensor> = step.inputs.iter().map(|s| &self.values[*s]).collect();
            let output = &self.values[step.output];
            let each = step.operator.backward(&inputs, output, grad, &wanted, buffers);
            for ((slot, wanted), grad) in step.inputs.iter().zip(wanted).zip(each) {
                match grad {
                    Some(grad) if wanted => accumulate(&mut grads[*slot], grad, buffers),
                    Some(grad) => buffers.give(grad),
                    None => {}
                }
            }
        }
        grads
    }

    /// The parameters and moving statistics as tensors of the file, by name.
    pub(super) fn trained(&self) -> HashMap<String, TensorValue> {
        let mut out = HashMap::new();
        for parameter in &self.parameters {
            let value = &self.values[parameter.slot];
            let value = match &parameter.quantized {
                None => TensorValue::Floats(value.to_row_major()),
                Some((rounding, range)) => {
                    let mut rounded = value.clone();
                    rounding.round(*range, &mut rounded);
                    TensorValue::Integers(rounded.to_row_major())
                }
            };
            out.insert(parameter.name.clone(), value);
        }
        for step in &self.steps {
            if let (Some([mean, variance]), Some([m, v])) = (&step.statistics, step.operator.statistics()) {
                out.insert(mean.clone(), TensorValue::Floats(m.to_vec()));
                out.insert(variance.clone(), TensorValue::Floats(v.to_vec()));
            }
        }
        out
    }
}

/// What an initializer becomes, in ONNX's order.
#[derive(Debug)]
pub(super) enum TensorValue {
    Floats(Vec<f32>),
    /// Whole numbers of the type that the initializer has.
    Integers(Vec<f32>),
}

fn accumulate(to: &mut Option<Vec<f32>>, grad: Vec<f32>, buffers: &mut Buffers) {
    match to {
        None => *to = Some(grad),
        Some(sum) => {
            super::kernel::add(sum, &grad);
            buffers.give(grad);
        }
    }
}
