use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::extents::Extents;
use super::names::Names;
use super::quantize::Selection;
use crate::onnx::{Graph, Index, ModelError, attribute_int, float_tensor, floats, is_float};
use crate::proto::NodeProto;

/// A channel is scaled by no more: what calibration saw of a nearly dead channel says little.
const LARGEST_FACTOR: f32 = 16.0;
/// f(s·x) = s·f(x) for s > 0, channel by channel.
const HOMOGENEOUS: [&str; 8] =
    ["Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Flatten"];

/// What [`equalize`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EqualizeReport {
    /// Sets of activations that are scaled alike: what lies between two layers, or along a residual path.
    pub groups: usize,
    pub layers: usize,
}

/// Cross-layer equalization: scales each channel of an activation up towards the largest, in the weights of the layers
/// that make it, and back down in the weights of those that read it, so that one scale for the tensor serves every
/// channel. After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), with the
/// factor that halves the distance on a logarithmic scale: √(largest / this channel's largest).
///
/// Through `Clip(0, h)` a channel is scaled at most until the largest value seen meets `h`: there the limit stays one
/// number, and stands where a range from calibration would saturate anyway. On the calibration data the float result is
/// the same.
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn equalize(
    graph: Graph,
    selection: &Selection,
    extents: Extents,
) -> Result<(Graph, Extents, EqualizeReport), ModelError> {
    let index = graph.index();
    let mut groups = Groups::find(&graph, &index, selection, &extents)?;
    let factors = groups.factors(&graph, &index, &extents);
    let mut names = Names::new(&index);
    let mut replaced = Vec::new();
    let mut report = EqualizeReport { groups: factors.len(), layers: 0 };
    for i in groups.layers.clone() {
        let node = &graph.nodes()[i];
        let of = |groups: &mut Groups, name: Option<&str>| name.and_then(|n| factors.get(&groups.root(n)));
        let (before, after) =
            (of(&mut groups, node.input_at(0)), of(&mut groups, node.output.first().map(String::as_str)));
        if before.is_none() && after.is_none() {
            continue;
        }
        let Some(changed) = scale_layer(&graph, &index, node, before, after)? else {
            // Beyond what float32 holds: a strange network is left as it is.
            return Ok((graph, extents, EqualizeReport::default()));
        };
        replaced.push((i, changed));
        report.layers += 1;
    }
    let mut graph = graph;
    for (i, tensors) in replaced {
        for (input, dims, values) in tensors {
            let name = names.make(&graph.body.node[i].input[input], ".equalized");
            graph.body.initializer.push(float_tensor(&name, &dims, &values));
            graph.body.node[i].input[input] = name;
        }
    }
    graph.prune();
    let mut extents = extents;
    for (name, extent) in &mut extents {
        if let Some(factors) = factors.get(&groups.root(name)) {
            for ((min, max), factor) in extent.channels.iter_mut().zip(factors) {
                (*min, *max) = (*min * factor, *max * factor);
            }
        }
    }
    Ok((graph, extents, report))
}

/// Input position, dimensions and values of what replaces a layer's weight and bias.
type Replaced = Vec<(usize, Vec<i64>, Vec<f32>)>;

fn scale_layer(
    graph: &Graph,
    index: &Index,
    node: &NodeProto,
    before: Option<&Vec<f32>>,
    after: Option<&Vec<f32>>,
) -> Result<Option<Replaced>, ModelError> {
    let Some(shape) = Shape::of(graph, index, node) else { return Ok(None) };
    let mut replaced = Vec::new();
    for (input, is_weight) in [(1, true), (2, false)] {
        let Some(tensor) = node.input_at(input).and_then(|n| index.initializer(graph, n)) else { continue };
        let mut values = floats(tensor)?;
        let mut dims = tensor.dims.clone();
        if !is_weight && values.len() == 1 && shape.outputs > 1 {
            values = vec![values[0]; shape.outputs];
            dims = vec![shape.outputs as i64];
        }
        for (at, value) in values.iter_mut().enumerate() {
            let (output, input) = if is_weight { shape.channels(at) } else { (at % shape.outputs, None) };
            let up = after.map_or(1.0, |f| f[output]);
            let down = input.and_then(|i| Some(before?[i])).unwrap_or(1.0);
            *value *= up / down;
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Ok(None);
        }
        replaced.push((input, dims, values));
    }
    Ok(Some(replaced))
}

/// Where a weight's channels are.
struct Shape {
    outputs: usize,
    inputs: usize,
    /// Outputs and inputs of one group.
    group: (usize, usize),
    kernel: usize,
    /// `Gemm` whose weight has its inputs first.
    inputs_first: bool,
}

impl Shape {
    fn of(graph: &Graph, index: &Index, node: &NodeProto) -> Option<Self> {
        let dims = &index.initializer(graph, node.input_at(1)?)?.dims;
        let size = |d: &i64| usize::try_from(*d).ok().filter(|d| *d > 0);
        let (first, second) = (size(dims.first()?)?, size(dims.get(1)?)?);
        if node.is("Conv") {
            let groups = usize::try_from(attribute_int(node, "group", 1)).ok().filter(|g| *g > 0)?;
            let kernel = dims[2..].iter().try_fold(1, |n: usize, d| Some(n * size(d)?))?;
            (first % groups == 0).then_some(Self {
                outputs: first,
                inputs: second * groups,
                group: (first / groups, second),
                kernel,
                inputs_first: false,
            })
        } else {
            let inputs_first = attribute_int(node, "transB", 0) == 0;
            let (outputs, inputs) = if inputs_first { (second, first) } else { (first, second) };
            Some(Self { outputs, inputs, group: (outputs, inputs), kernel: 1, inputs_first })
        }
    }

    /// Output and input channel of an element of the weight.
    fn channels(&self, at: usize) -> (usize, Option<usize>) {
        if self.inputs_first {
            return (at % self.outputs, Some(at / self.outputs));
        }
        let output = at / (self.group.1 * self.kernel);
        let input = output / self.group.0 * self.group.1 + at / self.kernel % self.group.1;
        (output, Some(input))
    }
}

/// Activations that must be scaled alike, as a forest of names.
struct Groups {
    ids: HashMap<String, usize>,
    parents: Vec<usize>,
    /// Groups that are seen from outside, or by something that is not homogeneous.
    fixed: BTreeSet<usize>,
    /// Results of `Clip(0, h)`, and `h`.
    clips: Vec<(String, f32)>,
    /// Nodes whose weights can take a scale.
    layers: Vec<usize>,
}

impl Groups {
    fn id(&mut self, name: &str) -> usize {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.ids.insert(name.to_owned(), self.parents.len());
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    fn root(&mut self, name: &str) -> usize {
        let mut at = self.id(name);
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn find(graph: &Graph, index: &Index, selection: &Selection, extents: &Extents) -> Result<Self, ModelError> {
        let mut groups = Self {
            ids: HashMap::new(),
            parents: Vec::new(),
            fixed: BTreeSet::new(),
            clips: Vec::new(),
            layers: Vec::new(),
        };
        let mut seen: Vec<&str> = Vec::new();
        seen.extend(graph.body.input.iter().chain(&graph.body.output).map(|v| v.name.as_str()));
        for (i, node) in graph.nodes().iter().enumerate() {
            let (input, output) = (node.input_at(0).unwrap_or_default(), node.output.first().map_or("", |o| o));
            seen.extend(node.output.iter().map(String::as_str).filter(|o| index.is_captured(o)));
            if selection.is_weighted(i) && (node.is("Conv") || node.is("Gemm")) {
                groups.layers.push(i);
            } else if node.output.len() == 1
                && HOMOGENEOUS.iter().any(|op| node.is(op))
                && attribute_int(node, "axis", 1) == 1
            {
                groups.join(input, output);
            } else if let Some(limit) = clip_limit(graph, index, node)? {
                groups.join(input, output);
                groups.clips.push((output.to_owned(), limit));
            } else if node.is("Add") && is_sum_of_alikes(node, extents) {
                groups.join(input, output);
                groups.join(&node.input[1], output);
            } else {
                seen.extend(node.input.iter().chain(&node.output).map(String::as_str));
            }
        }
        for name in seen {
            let root = groups.root(name);
            groups.fixed.insert(root);
        }
        // What was fixed before a later join gave the group another root.
        let fixed: Vec<usize> = groups.fixed.iter().copied().collect();
        for id in fixed {
            let mut at = id;
            while groups.parents[at] != at {
                at = groups.parents[at];
            }
            groups.fixed.insert(at);
        }
        Ok(groups)
    }

    /// By group, the factor of each channel; groups where there is nothing to gain are absent.
    fn factors(&mut self, graph: &Graph, index: &Index, extents: &Extents) -> BTreeMap<usize, Vec<f32>> {
        let mut shares: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        let mut dropped = self.fixed.clone();
        for (name, extent) in extents {
            let root = self.root(name);
            let whole = extent.largest().fold(0.0_f32, f32::max);
            let known = shares.entry(root).or_insert_with(|| vec![0.0; extent.channels.len()]);
            if known.len() != extent.channels.len() || !extent.range().0.is_finite() {
                dropped.insert(root);
                continue;
            }
            for (share, largest) in known.iter_mut().zip(extent.largest()) {
                *share = share.max(if whole > 0.0 { largest / whole } else { 0.0 });
            }
        }
        let mut factors: BTreeMap<usize, Vec<f32>> =
            shares.into_iter().map(|(root, shares)| (root, shares.into_iter().map(factor).collect())).collect();
        for (name, limit) in self.clips.clone() {
            let root = self.root(&name);
            let (Some(extent), Some(factors)) = (extents.get(&name), factors.get_mut(&root)) else {
                dropped.insert(root);
                continue;
            };
            for (factor, largest) in factors.iter_mut().zip(extent.largest()) {
                *factor = if largest > 0.0 { factor.min(limit / largest).max(1.0) } else { 1.0 };
            }
        }
        for i in self.layers.clone() {
            let node = &graph.nodes()[i];
            let shape = Shape::of(graph, index, node);
            let ends = [
                (node.input_at(0), shape.as_ref().map(|s| s.inputs)),
                (node.output.first().map(String::as_str), shape.as_ref().map(|s| s.outputs)),
            ];
            for (name, channels) in ends {
                let root = self.root(name.unwrap_or_default());
                if factors.get(&root).is_some_and(|f| Some(f.len()) != channels) {
                    dropped.insert(root);
                }
            }
        }
        factors.retain(|root, f| !dropped.contains(root) && f.iter().any(|f| *f > 1.0));
        factors
    }
}

fn factor(share: f32) -> f32 {
    // A channel without a value has nothing to gain.
    if share > 0.0 { (1.0 / share.sqrt()).clamp(1.0, LARGEST_FACTOR) } else { 1.0 }
}

/// `h` of a `Clip` from exactly 0 to a constant above.
fn clip_limit(graph: &Graph, index: &Index, node: &NodeProto) -> Result<Option<f32>, ModelError> {
    if !node.is("Clip") || node.output.len() != 1 {
        return Ok(None);
    }
    let mut limits = [0.0; 2];
    for (i, limit) in limits.iter_mut().enumerate() {
        let tensor = node.input_at(i + 1).and_then(|n| index.initializer(graph, n)).filter(|t| is_float(t));
        let Some(tensor) = tensor else { return Ok(None) };
        let [value] = floats(tensor)?[..] else { return Ok(None) };
        *limit = value;
    }
    let [low, high] = limits;
    Ok((low.abs() < f32::MIN_POSITIVE && high > 0.0).then_some(high))
}

/// Whether channel c of the result is the sum of channels c of two activations.
fn is_sum_of_alikes(node: &NodeProto, extents: &Extents) -> bool {
    let [a, b] = node.input.as_slice() else { return false };
    match (extents.get(a), extents.get(b)) {
        (Some(a), Some(b)) => a.rank == b.rank && a.channels.len() == b.channels.len(),
        _ => false,
    }
}
