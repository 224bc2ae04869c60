use std::collections::{BTreeMap, HashMap};

use drydock_contract::Activations;

use super::layer::{self, Layer};
use super::select::{Role, Selection};
use super::weights;
use super::{Affine, Scheme};
use crate::onnx::{Graph, Index, ModelError, float_tensor, floats, integer_attribute, new_node, tensor};
use crate::passes::names::Names;
use crate::proto::tensor_proto::DataType;
use crate::proto::{NodeProto, TensorProto};

/// What data tells the rewrite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// The smallest and largest value to represent, by activation.
    pub ranges: BTreeMap<String, (f32, f32)>,
    /// Codes of weights that are not the nearest ones, by layer.
    pub codes: BTreeMap<usize, Vec<i8>>,
    /// Whether `Conv` and `Gemm` without a bias get one of zeros, for [`super::shift_bias`] to move.
    pub biases: bool,
}

/// What [`quantize`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizeReport {
    /// Nodes by operator.
    pub quantized: BTreeMap<String, usize>,
    pub left_in_float: BTreeMap<String, usize>,
    /// `Relu` and `Clip` that are now part of the node before.
    pub absorbed: usize,
    /// `Conv` and `Gemm` in the order of the graph, by their positions before.
    pub layers: BTreeMap<usize, Written>,
}

/// A layer as it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Nodes up to and with the one that makes its result.
    pub end: usize,
    pub bias: Option<WrittenBias>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WrittenBias {
    /// The initializer of its codes, or of its values.
    pub name: String,
    /// Of the codes: one for each, or one; `None`: float.
    pub scales: Option<Vec<f32>>,
}

/// Writes the selection into the graph. `selection` and `tuning` must be of this very graph.
///
/// # Errors
/// A range that is missing or not finite; a tensor whose data does not fit its shape.
pub fn quantize(
    graph: Graph,
    selection: &Selection,
    tuning: &Tuning,
    scheme: Scheme,
) -> Result<(Graph, QuantizeReport), ModelError> {
    let index = graph.index();
    let mut writer = Writer {
        graph: &graph,
        index: &index,
        selection,
        tuning,
        scheme,
        names: Names::new(&index),
        nodes: Vec::with_capacity(graph.nodes().len() * 3),
        initializers: Vec::new(),
        dequantized: HashMap::new(),
        parameters: HashMap::new(),
        weights: HashMap::new(),
    };
    let report = writer.write()?;
    let (nodes, initializers) = (writer.nodes, writer.initializers);
    let mut graph = graph;
    graph.body.node = nodes;
    graph.body.initializer.extend(initializers);
    graph.prune();
    Ok((graph, report))
}

/// A scale and a zero point, as initializers.
#[derive(Clone)]
struct Parameters {
    affine: Affine,
    scale: String,
    zero_point: String,
}

/// A weight, its axis, the bits of its scales, and the layer that its codes were chosen for.
type WeightKey = (String, usize, Vec<u32>, Option<usize>);

struct Writer<'g> {
    graph: &'g Graph,
    index: &'g Index,
    selection: &'g Selection,
    tuning: &'g Tuning,
    scheme: Scheme,
    names: Names<'g>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// From an activation or constant to its dequantized form.
    dequantized: HashMap<String, String>,
    parameters: HashMap<String, Parameters>,
    /// From a weight to its dequantized form: shared weights are stored once.
    weights: HashMap<WeightKey, String>,
}

impl Writer<'_> {
    fn write(&mut self) -> Result<QuantizeReport, ModelError> {
        let mut report = QuantizeReport::default();
        let absorbed: Vec<usize> = self.selection.absorbs.values().copied().collect();
        for input in &self.graph.body.input {
            self.quantize_float(&input.name)?;
        }
        for (i, node) in self.graph.nodes().iter().enumerate() {
            if absorbed.contains(&i) {
                report.absorbed += usize::from(self.scheme.absorbs());
            } else if let Some(role) = self.selection.nodes.get(&i) {
                let bias = self.write_quantized(i, node, role)?;
                if self.selection.is_weighted(i) {
                    report.layers.insert(i, Written { end: self.nodes.len(), bias });
                }
                *report.quantized.entry(node.op_type.clone()).or_default() += 1;
            } else {
                self.nodes.push(node.clone());
                for output in &node.output {
                    self.quantize_float(output)?;
                }
                *report.left_in_float.entry(node.op_type.clone()).or_default() += 1;
            }
        }
        Ok(report)
    }

    /// Gives what [`Written`] keeps of the bias.
    fn write_quantized(&mut self, i: usize, node: &NodeProto, role: &Role) -> Result<Option<WrittenBias>, ModelError> {
        let mut node = node.clone();
        let activations = if *role == Role::Follower { node.input.len() } else { 1 };
        for input in node.input.iter_mut().take(activations) {
            *input = self.dequantize(input)?;
        }
        let bias = match Layer::read(self.graph, self.index, self.selection, self.tuning, self.scheme, i)? {
            Some(layer) => self.write_weight(i, &mut node, layer),
            None => None,
        };
        if self.selection.float_result.contains(&i) {
            self.nodes.push(node);
            return Ok(bias);
        }
        // The dequantized values take the names, so that float readers, outputs and subgraphs need no change.
        let results = self.selection.results(self.graph, i);
        let floats: Vec<String> = results.iter().map(|result| self.names.make(result, ".float")).collect();
        if let Some(activation) = self.selection.absorbs.get(&i).filter(|_| !self.scheme.absorbs()) {
            let before = self.names.make(&results[0], ".before");
            let mut activation = self.graph.nodes()[*activation].clone();
            activation.input[0].clone_from(&before);
            activation.output.clone_from(&floats);
            node.output[0] = before;
            self.nodes.extend([node, activation]);
        } else {
            node.output.clone_from(&floats);
            self.nodes.push(node);
        }
        for (result, float) in results.iter().zip(&floats) {
            self.push_pair(result, float, result.clone())?;
            self.dequantized.insert(result.clone(), result.clone());
        }
        Ok(bias)
    }

    /// Quantizes a value that a float node, or the caller, makes: float readers keep the exact one.
    fn quantize_float(&mut self, value: &str) -> Result<(), ModelError> {
        if !self.selection.values.contains_key(value) || self.index.initializer(self.graph, value).is_some() {
            return Ok(());
        }
        let dequantized = self.names.make(value, ".dequantized");
        self.push_pair(value, value, dequantized.clone())?;
        self.dequantized.insert(value.to_owned(), dequantized);
        Ok(())
    }

    fn push_pair(&mut self, value: &str, source: &str, result: String) -> Result<(), ModelError> {
        let Parameters { scale, zero_point, .. } = self.parameters(value)?;
        let codes = self.names.make(value, ".quantized");
        self.nodes.push(new_node(
            "QuantizeLinear",
            vec![source.to_owned(), scale.clone(), zero_point.clone()],
            codes.clone(),
        ));
        self.nodes.push(new_node("DequantizeLinear", vec![codes, scale, zero_point], result));
        Ok(())
    }

    fn parameters(&mut self, value: &str) -> Result<Parameters, ModelError> {
        let root = self.selection.root(value);
        if let Some(known) = self.parameters.get(root) {
            return Ok(known.clone());
        }
        let affine = match self.index.initializer(self.graph, root) {
            Some(constant) => {
                let (min, max) = floats(constant)?.iter().fold((0.0_f32, 0.0_f32), |(l, h), v| (l.min(*v), h.max(*v)));
                Affine::over(min, max, self.scheme.rules.activations)
            }
            None => layer::affine(self.selection, self.tuning, self.scheme, root)?,
        };
        Ok(self.add_parameters(root, affine))
    }

    fn add_parameters(&mut self, root: &str, affine: Affine) -> Parameters {
        let made = Parameters {
            affine,
            scale: self.names.make(root, ".scale"),
            zero_point: self.names.make(root, ".zero_point"),
        };
        self.initializers.push(float_tensor(&made.scale, &[], &[affine.scale]));
        self.initializers.push(tensor(&made.zero_point, self.code_type(), &[], vec![affine.zero_point as u8]));
        self.parameters.insert(root.to_owned(), made.clone());
        made
    }

    fn code_type(&self) -> DataType {
        match self.scheme.rules.activations {
            Activations::Unsigned => DataType::Uint8,
            Activations::Symmetric => DataType::Int8,
        }
    }

    /// The dequantized form of an activation, or of a constant that stands where activations do.
    fn dequantize(&mut self, value: &str) -> Result<String, ModelError> {
        if let Some(known) = self.dequantized.get(value) {
            return Ok(known.clone());
        }
        let Some(constant) = self.index.initializer(self.graph, value) else {
            return Ok(value.to_owned());
        };
        let parameters = self.parameters(value)?;
        let codes = floats(constant)?.iter().map(|v| parameters.affine.quantize(*v)).collect();
        let quantized = self.names.make(value, ".quantized");
        let result = self.names.make(value, ".dequantized");
        self.initializers.push(tensor(&quantized, self.code_type(), &constant.dims, codes));
        self.nodes.push(new_node(
            "DequantizeLinear",
            vec![quantized, parameters.scale, parameters.zero_point],
            result.clone(),
        ));
        self.dequantized.insert(value.to_owned(), result.clone());
        Ok(result)
    }

    fn write_weight(&mut self, i: usize, node: &mut NodeProto, layer: Layer<'_>) -> Option<WrittenBias> {
        let Layer { name, axis, dims, layout, quantized, mut bias, input_scale, .. } = layer;
        if self.tuning.biases && !node.is("MatMul") {
            bias.get_or_insert_with(|| vec![0.0; layout.channels]);
        }

        // Codes that were chosen for one layer are not another's, though the weight be the same.
        let chosen_for = self.tuning.codes.contains_key(&i).then_some(i);
        let key = (name.to_owned(), axis, quantized.scales.iter().map(|s| s.to_bits()).collect(), chosen_for);
        let known = self.weights.get(&key).cloned();
        let dequantized = known.unwrap_or_else(|| {
            let codes = quantized.codes.iter().map(|c| c.cast_unsigned()).collect();
            let tensor = tensor("", DataType::Int8, dims, codes);
            let (_, made) = self.push_constant(name, tensor, &quantized.scales, axis);
            self.weights.insert(key, made.clone());
            made
        });
        node.input[1] = dequantized;

        let bias = bias?;
        let stem = format!("{}.bias", self.selection.result(self.graph, i));
        node.input.truncate(2);
        if self.scheme.float_bias() {
            let name = self.names.make(&stem, ".float");
            self.initializers.push(float_tensor(&name, &[bias.len() as i64], &bias));
            node.input.push(name.clone());
            return Some(WrittenBias { name, scales: None });
        }
        let (codes, scales) = weights::encode_bias(&bias, input_scale, &quantized.scales);
        let data = codes.iter().flat_map(|c| c.to_le_bytes()).collect();
        let tensor = tensor("", DataType::Int32, &[bias.len() as i64], data);
        let (name, made) = self.push_constant(&stem, tensor, &scales, 0);
        node.input.push(made);
        Some(WrittenBias { name, scales: Some(scales) })
    }

    /// Adds quantized data without a zero point, and the node that dequantizes it: the names of both.
    fn push_constant(&mut self, stem: &str, mut data: TensorProto, scales: &[f32], axis: usize) -> (String, String) {
        let per_channel = scales.len() > 1;
        let scale = self.names.make(stem, ".scale");
        let zero_point = self.names.make(stem, ".zero_point");
        let result = self.names.make(stem, ".dequantized");
        data.name = self.names.make(stem, ".quantized");
        let dims: &[i64] = if per_channel { &[scales.len() as i64] } else { &[] };
        let width = if data.data_type == DataType::Int32 as i32 { 4 } else { 1 };
        let kind = if width == 4 { DataType::Int32 } else { DataType::Int8 };
        self.initializers.push(float_tensor(&scale, dims, scales));
        self.initializers.push(tensor(&zero_point, kind, dims, vec![0; scales.len() * width]));
        let mut node = new_node("DequantizeLinear", vec![data.name.clone(), scale, zero_point], result.clone());
        if per_channel {
            node.attribute.push(integer_attribute("axis", axis as i64));
        }
        let codes = data.name.clone();
        self.initializers.push(data);
        self.nodes.push(node);
        (codes, result)
    }
}
