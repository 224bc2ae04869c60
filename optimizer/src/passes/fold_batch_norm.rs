use std::collections::HashSet;

use super::names::Names;
use crate::onnx::{
    Graph, Index, ModelError, attribute_float, attribute_int, attribute_ints, attribute_text, element_count,
    float_tensor, floats, is_float,
};
use crate::proto::{NodeProto, TensorProto};

/// What [`fold_batch_norm`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldReport {
    /// `BatchNormalization` nodes that are part of another node now.
    pub folded: usize,
    /// `BatchNormalization` nodes that stay: beside no convolution or product of their own, or not constant.
    pub left: usize,
    /// `Mul`, `Div`, `Add` and `Sub` by one constant for each channel that are part of another node now.
    pub scales: usize,
}

/// Multiplies each `BatchNormalization`, and what else is y = a·x + b for each channel, into the `Conv`,
/// `ConvTranspose` or `Gemm` beside it.
///
/// After it: w' = w·a, c' = c·a + b. Before a `Conv` or `Gemm`, where nothing is padded: w' = w·a, c' = c + Σ w·b. A
/// `BatchNormalization` is a = g/√(v+ε), b = β - μ·a. Equal but for float32's rounding.
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn fold_batch_norm(mut graph: Graph) -> Result<(Graph, FoldReport), ModelError> {
    let mut report = FoldReport::default();
    // Once for each link of a chain; each round takes nodes out, so that there is an end.
    while sweep(&mut graph, &mut report)? {}
    report.left = graph.nodes().iter().filter(|n| n.is("BatchNormalization")).count();
    Ok((graph, report))
}

/// One round: at most one fold into each node. Whether there was any.
fn sweep(graph: &mut Graph, report: &mut FoldReport) -> Result<bool, ModelError> {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut touched: HashSet<usize> = HashSet::new();
    for position in 0..graph.body.node.len() {
        let Some(fold) = fold(graph, &index, position, &touched)? else { continue };
        let norm = std::mem::take(&mut graph.body.node[position]);
        let node = &mut graph.body.node[fold.target];
        let weight = names.make(&node.input[1], ".folded");
        let bias = names.make(&weight, ".bias");
        node.input.truncate(1);
        if fold.before {
            node.input[0].clone_from(&norm.input[fold.operand]);
        } else {
            node.output[0].clone_from(&norm.output[0]);
        }
        node.input.extend([weight.clone(), bias.clone()]);
        graph.body.initializer.push(float_tensor(&weight, &fold.dims, &fold.weight));
        graph.body.initializer.push(float_tensor(&bias, &[fold.bias.len() as i64], &fold.bias));
        touched.extend([position, fold.target]);
        let counter = if norm.is("BatchNormalization") { &mut report.folded } else { &mut report.scales };
        *counter += 1;
    }
    graph.body.node.retain(|n| !n.op_type.is_empty());
    graph.prune();
    Ok(!touched.is_empty())
}

struct Fold {
    target: usize,
    before: bool,
    /// Of the node that goes: the input that is no constant.
    operand: usize,
    dims: Vec<i64>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn fold(graph: &Graph, index: &Index, position: usize, touched: &HashSet<usize>) -> Result<Option<Fold>, ModelError> {
    let node = &graph.nodes()[position];
    let Some(operand) = operand(graph, index, node) else { return Ok(None) };
    let (Some(x), Some(y)) = (node.input_at(operand), node.output.first()) else { return Ok(None) };
    let free = |target: &usize| !touched.contains(target) && !touched.contains(&position);
    if let Some(target) = index.producer(x).filter(|_| index.sole_consumer(x) == Some(position)).filter(free)
        && let Some(product) = Product::of(graph, index, target)?
        && let Some(scale) = scale(graph, index, node, operand, product.outputs, product.rank)?
    {
        return Ok(product.after(&scale).map(|(weight, bias)| Fold {
            target,
            before: false,
            operand,
            dims: product.dims,
            weight,
            bias,
        }));
    }
    let reads_first = |target: &usize| graph.nodes()[*target].input_at(0) == Some(y);
    if let Some(target) = index.sole_consumer(y).filter(free).filter(reads_first)
        && let Some(product) = Product::of(graph, index, target)?.filter(|p| !p.padded && p.kind != Kind::Transposed)
        && let Some(scale) = scale(graph, index, node, operand, product.inputs, product.rank)?
    {
        return Ok(product.before(&scale).map(|(weight, bias)| Fold {
            target,
            before: true,
            operand,
            dims: product.dims,
            weight,
            bias,
        }));
    }
    Ok(None)
}

/// Which input is scaled, if the node may be such a scale at all.
fn operand(graph: &Graph, index: &Index, node: &NodeProto) -> Option<usize> {
    let constant = |i: usize| node.input_at(i).is_some_and(|n| index.initializer(graph, n).is_some());
    if node.is("BatchNormalization") {
        // Further outputs are running statistics: training.
        let extra_outputs = node.output.iter().skip(1).any(|o| !o.is_empty());
        let inference = attribute_int(node, "training_mode", 0) == 0 && !extra_outputs;
        return (inference && (1..=4).all(constant) && !constant(0)).then_some(0);
    }
    if !["Mul", "Div", "Add", "Sub"].iter().any(|op| node.is(op)) || node.input.len() != 2 {
        return None;
    }
    match (constant(0), constant(1)) {
        (false, true) => Some(0),
        (true, false) if node.is("Mul") || node.is("Add") => Some(1),
        _ => None,
    }
}

/// y = factor·x + shift, by channel: axis 1.
struct Scale {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

fn scale(
    graph: &Graph,
    index: &Index,
    node: &NodeProto,
    operand: usize,
    channels: usize,
    rank: usize,
) -> Result<Option<Scale>, ModelError> {
    let constant = |i: usize| node.input_at(i).and_then(|n| index.initializer(graph, n)).filter(|t| is_float(t));
    let scale = if node.is("BatchNormalization") {
        let mut statistics = Vec::with_capacity(4);
        for i in 1..=4 {
            let Some(tensor) = constant(i) else { return Ok(None) };
            statistics.push(floats(tensor)?);
        }
        let [gain, shift, mean, variance] = statistics.as_slice() else { return Ok(None) };
        if statistics.iter().any(|s| s.len() != channels) {
            return Ok(None);
        }
        let epsilon = f64::from(attribute_float(node, "epsilon", 1e-5));
        let factor: Vec<f64> =
            gain.iter().zip(variance).map(|(g, v)| f64::from(*g) / (f64::from(*v) + epsilon).sqrt()).collect();
        let shift = (0..channels).map(|c| f64::from(shift[c]) - f64::from(mean[c]) * factor[c]).collect();
        Scale { factor, shift }
    } else {
        let Some(tensor) = constant(1 - operand) else { return Ok(None) };
        let Some(values) = by_channel(tensor, channels, rank)? else { return Ok(None) };
        let (one, zero) = (vec![1.0; channels], vec![0.0; channels]);
        match node.op_type.as_str() {
            "Mul" => Scale { factor: values, shift: zero },
            "Div" => Scale { factor: values.iter().map(|v| v.recip()).collect(), shift: zero },
            "Add" => Scale { factor: one, shift: values },
            _ => Scale { factor: one, shift: values.iter().map(|v| -v).collect() },
        }
    };
    let finite = scale.factor.iter().chain(&scale.shift).all(|v| v.is_finite());
    Ok(Some(scale).filter(|_| finite))
}

/// The constant's value for each channel, if it has one for each and makes the other operand no larger.
fn by_channel(tensor: &TensorProto, channels: usize, rank: usize) -> Result<Option<Vec<f64>>, ModelError> {
    let dims = &tensor.dims;
    if dims.len() > rank {
        return Ok(None);
    }
    let count = element_count(tensor)?;
    // Axes are counted from the right.
    let axis = (dims.len() + 1).checked_sub(rank);
    let fits = dims.iter().enumerate().all(|(i, d)| *d == 1 || (Some(i) == axis && *d == channels as i64));
    if !fits || count == 0 {
        return Ok(None);
    }
    let values = floats(tensor)?;
    Ok(Some((0..channels).map(|c| f64::from(values[if count == 1 { 0 } else { c }])).collect()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conv,
    Transposed,
    /// Weight (inputs, outputs), or the other way round.
    Gemm {
        transposed: bool,
    },
}

/// A linear node with a constant weight and bias.
struct Product {
    kind: Kind,
    dims: Vec<i64>,
    weight: Vec<f32>,
    /// One for each output channel.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    group: usize,
    rank: usize,
    padded: bool,
}

impl Product {
    fn of(graph: &Graph, index: &Index, position: usize) -> Result<Option<Self>, ModelError> {
        let node = &graph.nodes()[position];
        let constant = |i: usize| node.input_at(i).and_then(|n| index.initializer(graph, n)).filter(|t| is_float(t));
        let is_constant = |i: usize| node.input_at(i).is_some_and(|n| index.initializer(graph, n).is_some());
        let Some(tensor) = constant(1).filter(|_| node.output.len() == 1 && !is_constant(0)) else { return Ok(None) };
        let group = usize::try_from(attribute_int(node, "group", 1)).unwrap_or(0);
        let dim = |i: usize| tensor.dims.get(i).and_then(|d| usize::try_from(*d).ok()).unwrap_or(0);
        let rank = tensor.dims.len();
        let (kind, inputs, outputs) = match node.op_type.as_str() {
            "Conv" if node.is("Conv") && rank >= 3 => (Kind::Conv, dim(1).saturating_mul(group), dim(0)),
            "ConvTranspose" if node.is("ConvTranspose") && rank >= 3 => {
                (Kind::Transposed, dim(0), dim(1).saturating_mul(group))
            }
            "Gemm" if node.is("Gemm") && rank == 2 => {
                let factors = [attribute_float(node, "alpha", 1.0), attribute_float(node, "beta", 1.0)];
                // Bit for bit 1: there is no tolerance to think about.
                if attribute_int(node, "transA", 0) != 0 || factors.map(f32::to_bits) != [1.0_f32.to_bits(); 2] {
                    return Ok(None);
                }
                let transposed = attribute_int(node, "transB", 0) != 0;
                let (inputs, outputs) = if transposed { (dim(1), dim(0)) } else { (dim(0), dim(1)) };
                (Kind::Gemm { transposed }, inputs, outputs)
            }
            _ => return Ok(None),
        };
        let weight = floats(tensor)?;
        let divides = group > 0 && inputs.is_multiple_of(group) && outputs.is_multiple_of(group);
        if weight.is_empty() || !divides {
            return Ok(None);
        }
        let bias = match (node.input_at(2), constant(2)) {
            (None, _) => vec![0.0; outputs],
            (Some(_), Some(t)) => {
                let values = floats(t)?;
                let row = t.dims.last().is_none_or(|d| *d == values.len() as i64);
                match values.len() {
                    n if n == outputs && row => values,
                    1 if rank == 2 => vec![values[0]; outputs],
                    _ => return Ok(None),
                }
            }
            (Some(_), None) => return Ok(None),
        };
        let padded = attribute_ints(node, "pads").is_some_and(|p| p.iter().any(|n| *n != 0))
            || attribute_text(node, "auto_pad").starts_with("SAME");
        Ok(Some(Self { kind, dims: tensor.dims.clone(), weight, bias, inputs, outputs, group, rank, padded }))
    }

    /// The input and output channel that an element of the weight stands between.
    fn channels(&self, element: usize) -> (usize, usize) {
        let (inputs, outputs) = (self.inputs / self.group, self.outputs / self.group);
        match self.kind {
            Kind::Gemm { transposed: false } => (element / self.outputs, element % self.outputs),
            Kind::Gemm { transposed: true } => (element % self.inputs, element / self.inputs),
            Kind::Conv => {
                let kernel = self.weight.len() / (self.outputs * inputs);
                let (output, input) = (element / (kernel * inputs), element / kernel % inputs);
                (output / outputs * inputs + input, output)
            }
            Kind::Transposed => {
                let kernel = self.weight.len() / (self.inputs * outputs);
                let (input, output) = (element / (kernel * outputs), element / kernel % outputs);
                (input, input / inputs * outputs + output)
            }
        }
    }

    fn after(&self, scale: &Scale) -> Option<(Vec<f32>, Vec<f32>)> {
        let weight = self.weight.iter().enumerate();
        let weight = weight.map(|(i, w)| (f64::from(*w) * scale.factor[self.channels(i).1]) as f32).collect();
        let bias = self.bias.iter().enumerate();
        let bias = bias.map(|(c, b)| (f64::from(*b) * scale.factor[c] + scale.shift[c]) as f32).collect();
        self.no_worse(weight, bias)
    }

    fn before(&self, scale: &Scale) -> Option<(Vec<f32>, Vec<f32>)> {
        let mut bias: Vec<f64> = self.bias.iter().map(|b| f64::from(*b)).collect();
        let mut weight = Vec::with_capacity(self.weight.len());
        for (i, w) in self.weight.iter().enumerate() {
            let (input, output) = self.channels(i);
            bias[output] += f64::from(*w) * scale.shift[input];
            weight.push((f64::from(*w) * scale.factor[input]) as f32);
        }
        self.no_worse(weight, bias.into_iter().map(|b| b as f32).collect())
    }

    /// What fitted into float32 in two nodes must fit in one.
    fn no_worse(&self, weight: Vec<f32>, bias: Vec<f32>) -> Option<(Vec<f32>, Vec<f32>)> {
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        (!finite(&self.weight) || !finite(&self.bias) || (finite(&weight) && finite(&bias))).then_some((weight, bias))
    }
}
