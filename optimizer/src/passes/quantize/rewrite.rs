use std::collections::{BTreeMap, HashMap};

use drydock_contract::Quantize;

use super::Affine;
use super::select::{ChannelAxis, Role, Selection};
use super::weights::{self, Layout};
use crate::onnx::{Graph, Index, ModelError, attribute_int, float_tensor, floats, integer_attribute, new_node, tensor};
use crate::passes::names::Names;
use crate::proto::tensor_proto::DataType;
use crate::proto::{NodeProto, TensorProto};

/// What calibration found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges {
    /// The smallest and largest value to represent, by activation.
    pub ranges: BTreeMap<String, (f32, f32)>,
    /// The mean of each channel, by activation; what bias correction reads.
    pub means: BTreeMap<(String, ChannelAxis), Vec<f64>>,
}

/// What [`quantize`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuantizeReport {
    /// Nodes by operator.
    pub quantized: BTreeMap<String, usize>,
    pub left_in_float: BTreeMap<String, usize>,
    /// `Relu` and `Clip` that are now part of the node before.
    pub absorbed: usize,
}

/// Writes the selection into the graph. `selection` and `ranges` must be of this very graph.
///
/// # Errors
/// A range that is missing or not finite; a tensor whose data does not fit its shape.
pub fn quantize(
    graph: Graph,
    selection: &Selection,
    ranges: &Ranges,
    options: &Quantize,
) -> Result<(Graph, QuantizeReport), ModelError> {
    let index = graph.index();
    let mut writer = Writer {
        graph: &graph,
        index: &index,
        selection,
        ranges,
        options,
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

struct Writer<'g> {
    graph: &'g Graph,
    index: &'g Index,
    selection: &'g Selection,
    ranges: &'g Ranges,
    options: &'g Quantize,
    names: Names<'g>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// From an activation or constant to its dequantized form.
    dequantized: HashMap<String, String>,
    parameters: HashMap<String, Parameters>,
    /// From a weight, its axis and the bits of its scales to its dequantized form: shared weights are stored once.
    weights: HashMap<(String, usize, Vec<u32>), String>,
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
                report.absorbed += 1;
            } else if let Some(role) = self.selection.nodes.get(&i) {
                self.write_quantized(i, node, role)?;
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

    fn write_quantized(&mut self, i: usize, node: &NodeProto, role: &Role) -> Result<(), ModelError> {
        let mut node = node.clone();
        let activations = if *role == Role::Follower { node.input.len() } else { 1 };
        for input in node.input.iter_mut().take(activations) {
            *input = self.dequantize(input)?;
        }
        if let Role::Weighted { weight, axis, bias, channels } = role {
            self.write_weight(i, &mut node, (weight, *axis, bias.as_deref(), *channels))?;
        }
        let result = self.selection.result(self.graph, i).to_owned();
        if self.selection.float_result.contains(&i) {
            self.nodes.push(node);
            return Ok(());
        }
        // The dequantized value takes the name, so that float readers, outputs and subgraphs need no change.
        let float = self.names.make(&result, ".float");
        node.output[0].clone_from(&float);
        self.nodes.push(node);
        self.push_pair(&result, &float, result.clone())?;
        self.dequantized.insert(result.clone(), result);
        Ok(())
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
        let root = self.selection.values.get(value).map_or(value, String::as_str);
        if let Some(known) = self.parameters.get(root) {
            return Ok(known.clone());
        }
        let (min, max) = match self.index.initializer(self.graph, root) {
            Some(constant) => floats(constant)?.iter().fold((0.0_f32, 0.0_f32), |(l, h), v| (l.min(*v), h.max(*v))),
            None => self.ranges.ranges.get(root).copied().unwrap_or((f32::NAN, f32::NAN)),
        };
        if !(min.is_finite() && max.is_finite()) {
            let problem = format!("its range on the calibration data is {min} to {max}; expected finite values");
            return Err(ModelError::Tensor { tensor: root.to_owned(), problem });
        }
        Ok(self.add_parameters(root, Affine::over(min, max)))
    }

    fn add_parameters(&mut self, root: &str, affine: Affine) -> Parameters {
        let made = Parameters {
            affine,
            scale: self.names.make(root, ".scale"),
            zero_point: self.names.make(root, ".zero_point"),
        };
        self.initializers.push(float_tensor(&made.scale, &[], &[affine.scale]));
        self.initializers.push(tensor(&made.zero_point, DataType::Uint8, &[], vec![affine.zero_point]));
        self.parameters.insert(root.to_owned(), made.clone());
        made
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
        self.initializers.push(tensor(&quantized, DataType::Uint8, &constant.dims, codes));
        self.nodes.push(new_node(
            "DequantizeLinear",
            vec![quantized, parameters.scale, parameters.zero_point],
            result.clone(),
        ));
        self.dequantized.insert(value.to_owned(), result.clone());
        Ok(result)
    }

    fn write_weight(
        &mut self,
        i: usize,
        node: &mut NodeProto,
        (name, axis, bias, channels): (&str, usize, Option<&str>, ChannelAxis),
    ) -> Result<(), ModelError> {
        let broken = |problem: &str| ModelError::Tensor { tensor: name.to_owned(), problem: problem.into() };
        let weight = self.index.initializer(self.graph, name).ok_or_else(|| broken("not an initializer"))?;
        let values = floats(weight)?;
        let layout = Layout::new(&weight.dims, axis).ok_or_else(|| broken("empty"))?;
        let activation = self.graph.nodes()[i].input_at(0).unwrap_or_default();
        let input_scale = self.parameters(activation)?.affine.scale;

        let mut bias = match bias.and_then(|b| self.index.initializer(self.graph, b)) {
            Some(bias) => {
                let found = floats(bias)?;
                Some(if found.len() == 1 { vec![found[0]; layout.channels] } else { found })
            }
            None => None,
        };
        let mut scales = weights::scales(&values, layout, self.options.per_channel);
        weights::fit_bias(&mut scales, bias.as_deref().unwrap_or_default(), input_scale);
        let quantized = weights::encode(&values, layout, scales);

        if self.options.bias_correction && node.op_type != "MatMul" {
            let means = self.ranges.means.get(&(activation.to_owned(), channels));
            let source = input_channel(node, &weight.dims, axis, layout);
            let mean = |position| means.and_then(|m| m.get(source(position))).copied().unwrap_or_default();
            let errors = weights::mean_error(&values, &quantized, layout, mean);
            let bias = bias.get_or_insert_with(|| vec![0.0; layout.channels]);
            for (b, error) in bias.iter_mut().zip(errors) {
                *b -= error as f32;
            }
        }

        let key = (name.to_owned(), axis, quantized.scales.iter().map(|s| s.to_bits()).collect());
        let known = self.weights.get(&key).cloned();
        let dequantized = known.unwrap_or_else(|| {
            let codes = quantized.codes.iter().map(|c| c.cast_unsigned()).collect();
            let tensor = tensor("", DataType::Int8, &weight.dims, codes);
            let made = self.push_constant(name, tensor, &quantized.scales, axis);
            self.weights.insert(key, made.clone());
            made
        });
        node.input[1] = dequantized;

        if let Some(bias) = bias {
            let (codes, scales) = weights::encode_bias(&bias, input_scale, &quantized.scales);
            let data = codes.iter().flat_map(|c| c.to_le_bytes()).collect();
            let tensor = tensor("", DataType::Int32, &[bias.len() as i64], data);
            let stem = format!("{}.bias", self.selection.result(self.graph, i));
            let made = self.push_constant(&stem, tensor, &scales, 0);
            node.input.truncate(2);
            node.input.push(made);
        }
        Ok(())
    }

    /// Adds quantized data without a zero point, and the node that dequantizes it.
    fn push_constant(&mut self, stem: &str, mut data: TensorProto, scales: &[f32], axis: usize) -> String {
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
        self.initializers.push(data);
        self.nodes.push(node);
        result
    }
}

/// From an element of the weight to the input channel that it multiplies.
fn input_channel(node: &NodeProto, dims: &[i64], axis: usize, layout: Layout) -> impl Fn(usize) -> usize + use<> {
    let is_conv = node.is("Conv");
    let group = usize::try_from(attribute_int(node, "group", 1)).unwrap_or(1).max(1);
    let per_group = dims.get(1).map_or(1, |d| *d as usize).max(1);
    let kernel = if is_conv { (layout.inner / per_group).max(1) } else { 1 };
    move |position| {
        if is_conv {
            let in_group = layout.channel(position) / (layout.channels / group).max(1);
            in_group * per_group + position / kernel % per_group
        } else if axis == 0 {
            position % layout.inner
        } else {
            position / layout.channels
        }
    }
}
