use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::onnx::{Graph, Index, ModelError, attribute_float, attribute_int, element_count, floats, is_float};
use crate::proto::{NodeProto, TensorProto};

/// Keep their input's scale: they move codes and compute nothing.
const SAME_SCALE: [&str; 8] = ["MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split"];
/// Give parts of it: where they read float they have ranges of their own.
const PARTS: [&str; 2] = ["Slice", "Split"];
/// Have integer kernels, worth it only between others that are quantized.
const FOLLOWERS: [&str; 7] = ["Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid", "LeakyRelu"];
/// Saturate to the range of the `Relu` or `Clip` after them, which is then not needed.
const ABSORB: [&str; 5] = ["Conv", "Gemm", "MatMul", "Add", "Mul"];

/// Which axis of a layer's result holds its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelAxis {
    Second,
    Last,
}

/// Why a node is quantized, and what its inputs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `Conv`, `Gemm` or `MatMul` by a constant; `axis` of the weight is its output channels.
    Weighted {
        weight: String,
        axis: usize,
        bias: Option<String>,
        channels: ChannelAxis,
    },
    Follower,
    SameScale,
}

/// What [`super::quantize`] will quantize, by node position.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub(super) nodes: BTreeMap<usize, Role>,
    /// From a node to the `Relu` or `Clip` that its output range stands for.
    pub(super) absorbs: BTreeMap<usize, usize>,
    /// `Gemm` and `MatMul` that only float nodes read: their kernels give float directly, without a rounding.
    pub(super) float_result: BTreeSet<usize>,
    /// Activations to quantize, each with the activation whose range it takes: often itself.
    pub(super) values: BTreeMap<String, String>,
}

impl Selection {
    /// Activations whose ranges calibration must find: all that may stand for a range once some layers stay in float.
    pub fn calibrated(&self) -> BTreeSet<&str> {
        self.values.keys().chain(self.values.values()).map(String::as_str).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Positions of `Conv`, `Gemm` and `MatMul`, whose constant weights are quantized.
    pub fn weighted(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().filter(|(_, role)| matches!(role, Role::Weighted { .. })).map(|(i, _)| *i)
    }

    pub fn is_weighted(&self, node: usize) -> bool {
        matches!(self.nodes.get(&node), Some(Role::Weighted { .. }))
    }

    /// The activation whose range `value` takes: often itself.
    pub fn root<'s>(&'s self, value: &'s str) -> &'s str {
        self.values.get(value).map_or(value, String::as_str)
    }

    /// Whether the node's channels are the last dimension of its result, not the second.
    pub fn channels_last(&self, node: usize) -> bool {
        matches!(self.nodes.get(&node), Some(Role::Weighted { channels: ChannelAxis::Last, .. }))
    }

    /// The node that makes the result: what it absorbs, or itself.
    pub fn last(&self, node: usize) -> usize {
        self.absorbs.get(&node).copied().unwrap_or(node)
    }

    /// The name that the node's result has once what it absorbs is gone; of several the first.
    pub fn result<'g>(&self, graph: &'g Graph, node: usize) -> &'g str {
        self.results(graph, node).first().map_or("", String::as_str)
    }

    /// The same of all of them: only what moves codes to several places has more than one.
    pub(super) fn results<'g>(&self, graph: &'g Graph, node: usize) -> &'g [String] {
        graph.nodes().get(self.last(node)).map_or(&[], |n| &n.output)
    }
}

/// Chooses the nodes to quantize.
///
/// `Conv`, `Gemm` and `MatMul` by constant float32 weights always are. What else has an integer kernel is where its
/// inputs are quantized anyway and something quantized reads its result, so that no island of integers costs more in
/// conversions than it saves.
///
/// `in_float`: positions of nodes to leave alone.
///
/// # Errors
/// A weight whose data does not fit its shape.
pub fn select(graph: &Graph, in_float: &BTreeSet<usize>) -> Result<Selection, ModelError> {
    let index = graph.index();
    let mut selection = Selection::default();
    for (i, node) in graph.nodes().iter().enumerate() {
        if in_float.contains(&i) {
            continue;
        }
        if let Some(role) = weighted(graph, &index, node)? {
            selection.nodes.insert(i, role);
        }
    }
    let read_by_weighted: BTreeSet<String> =
        selection.nodes.keys().filter_map(|i| graph.nodes()[*i].input_at(0)).map(str::to_owned).collect();
    grow(graph, &index, &mut selection, read_by_weighted)?;
    shrink(graph, &index, &mut selection);
    assign_ranges(graph, &mut selection);
    Ok(selection)
}

fn weighted(graph: &Graph, index: &Index, node: &NodeProto) -> Result<Option<Role>, ModelError> {
    let constant = |i: usize| -> Option<&TensorProto> { index.initializer(graph, node.input_at(i)?) };
    if node.output.len() != 1 || constant(0).is_some() || node.input_at(0).is_none() {
        return Ok(None);
    }
    let Some(weight) = constant(1).filter(|w| is_float(w)) else { return Ok(None) };
    let (axis, channels) = match node.op_type.as_str() {
        "Conv" if node.is("Conv") && weight.dims.len() >= 3 => (0, ChannelAxis::Second),
        "Gemm" if node.is("Gemm") && weight.dims.len() == 2 => {
            let factors = [attribute_float(node, "alpha", 1.0), attribute_float(node, "beta", 1.0)];
            // Bit for bit 1: there is no tolerance to think about.
            let plain = attribute_int(node, "transA", 0) == 0 && factors.map(f32::to_bits) == [1.0_f32.to_bits(); 2];
            if !plain {
                return Ok(None);
            }
            (usize::from(attribute_int(node, "transB", 0) == 0), ChannelAxis::Last)
        }
        "MatMul" if node.is("MatMul") && weight.dims.len() == 2 => (1, ChannelAxis::Last),
        _ => return Ok(None),
    };
    let finite = |t: &TensorProto| floats(t).map(|v| v.iter().all(|v| v.is_finite()));
    if element_count(weight)? == 0 || !finite(weight)? {
        return Ok(None);
    }
    let bias = match (node.input_at(2), constant(2)) {
        (None, _) => None,
        (Some(name), Some(t)) if is_float(t) => {
            let (count, wide) = (element_count(t)?, weight.dims[axis] as usize);
            // One row, or one value for all; a bias of several rows is a sum, not a bias.
            let fits = (count == wide && t.dims.last() == Some(&weight.dims[axis])) || count == 1;
            if !fits || !finite(t)? {
                return Ok(None);
            }
            Some(name.to_owned())
        }
        _ => return Ok(None),
    };
    Ok(Some(Role::Weighted { weight: weight.name.clone(), axis, bias, channels }))
}

/// Forward: adds what has quantized inputs, and lets it absorb the activation function after it.
fn grow(
    graph: &Graph,
    index: &Index,
    selection: &mut Selection,
    mut quantized: BTreeSet<String>,
) -> Result<(), ModelError> {
    let mut made: BTreeSet<String> = BTreeSet::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        if let Entry::Vacant(place) = selection.nodes.entry(i) {
            match role(graph, index, node, (&quantized, &made))? {
                Some(role) => place.insert(role),
                None => continue,
            };
        }
        if let Some(activation) = absorbable(graph, index, node)? {
            selection.absorbs.insert(i, activation);
        }
        for result in selection.results(graph, i) {
            quantized.insert(result.clone());
            made.insert(result.clone());
        }
    }
    Ok(())
}

fn role(
    graph: &Graph,
    index: &Index,
    node: &NodeProto,
    (quantized, made): (&BTreeSet<String>, &BTreeSet<String>),
) -> Result<Option<Role>, ModelError> {
    let op = node.op_type.as_str();
    // The further results of others than Split are no activations: the indices of a MaxPool.
    let fits = (node.output.len() == 1 || op == "Split") && node.output.iter().all(|o| !o.is_empty());
    let known = if PARTS.contains(&op) { made } else { quantized };
    let first = node.input_at(0).is_some_and(|x| known.contains(x));
    Ok(if !fits || !node.is(op) {
        None
    } else if SAME_SCALE.contains(&op) && first {
        Some(Role::SameScale)
    } else if FOLLOWERS.contains(&op) && follows(graph, index, node, quantized)? {
        Some(Role::Follower)
    } else {
        None
    })
}

fn follows(graph: &Graph, index: &Index, node: &NodeProto, quantized: &BTreeSet<String>) -> Result<bool, ModelError> {
    let mut activations = 0;
    for name in &node.input {
        if quantized.contains(name) {
            activations += 1;
            continue;
        }
        match index.initializer(graph, name) {
            Some(t) if is_float(t) && element_count(t)? > 0 && floats(t)?.iter().all(|v| v.is_finite()) => {}
            _ => return Ok(false),
        }
    }
    Ok(activations > 0)
}

/// The `Relu` or `Clip` that is all that reads the node's result, if saturation can stand for it.
fn absorbable(graph: &Graph, index: &Index, node: &NodeProto) -> Result<Option<usize>, ModelError> {
    if !ABSORB.contains(&node.op_type.as_str()) {
        return Ok(None);
    }
    let Some(position) = node.output.first().and_then(|o| index.sole_consumer(o)) else { return Ok(None) };
    let next = &graph.nodes()[position];
    let one_result = next.output.len() == 1 && next.input_at(0) == node.output.first().map(String::as_str);
    let absorbs = one_result
        && (next.is("Relu")
            || next.is("Clip")
                // The range always holds 0, so the limits must too.
                && limit(graph, index, next, 1, f32::NEG_INFINITY)?.is_some_and(|low| low <= 0.0)
                && limit(graph, index, next, 2, f32::INFINITY)?.is_some_and(|high| high >= 0.0));
    Ok(absorbs.then_some(position))
}

/// The limit, `default` where there is none; `None` if it is not known before the model runs.
fn limit(graph: &Graph, index: &Index, clip: &NodeProto, i: usize, default: f32) -> Result<Option<f32>, ModelError> {
    let Some(name) = clip.input_at(i) else { return Ok(Some(default)) };
    match index.initializer(graph, name) {
        Some(t) if is_float(t) => Ok(floats(t)?.first().copied()),
        _ => Ok(None),
    }
}

/// Backward: takes out what nothing quantized reads; of several results, if one of them is read by none.
fn shrink(graph: &Graph, index: &Index, selection: &mut Selection) {
    let positions: Vec<usize> = selection.nodes.keys().rev().copied().collect();
    for i in positions {
        let is_read = |result: &String| index.consumers(result).iter().any(|c| selection.nodes.contains_key(c));
        let results = selection.results(graph, i);
        if !results.is_empty() && results.iter().all(is_read) {
            continue;
        }
        match selection.nodes.get(&i) {
            // A convolution has no kernel that gives float.
            Some(Role::Weighted { channels: ChannelAxis::Second, .. }) | None => {}
            Some(Role::Weighted { .. }) => {
                selection.absorbs.remove(&i);
                selection.float_result.insert(i);
            }
            Some(_) => {
                selection.absorbs.remove(&i);
                selection.nodes.remove(&i);
            }
        }
    }
}

fn assign_ranges(graph: &Graph, selection: &mut Selection) {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (&i, role) in &selection.nodes {
        let node = &graph.nodes()[i];
        let inputs = match role {
            Role::Follower => node.input.as_slice(),
            _ => node.input.get(..1).unwrap_or_default(),
        };
        for input in inputs {
            values.entry(input.clone()).or_insert_with(|| input.clone());
        }
        if !selection.float_result.contains(&i) {
            for result in selection.results(graph, i) {
                let source = match role {
                    Role::SameScale => node.input.first().and_then(|x| values.get(x)).unwrap_or(result).clone(),
                    _ => result.clone(),
                };
                values.insert(result.clone(), source);
            }
        }
    }
    selection.values = values;
}
