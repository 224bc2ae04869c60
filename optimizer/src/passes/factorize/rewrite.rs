use faer::Mat;

use super::Factors;
use crate::onnx::{Graph, float_tensor, new_node};
use crate::passes::layer::{Form, Layer, transpose};
use crate::passes::names::Names;
use crate::proto::NodeProto;

/// Gives the layer other weights, row-major, and another bias, which a layer that cannot have one ignores.
pub fn set_weights(mut graph: Graph, layer: &Layer, weights: &[f32], bias: &[f32]) -> Graph {
    let index = graph.index();
    let mut names = Names::new(&index);
    let node = &graph.body.node[layer.node];
    let dims = node.input_at(1).and_then(|w| index.initializer(&graph, w)).map(|t| t.dims.clone()).unwrap_or_default();
    let inputs = weight_inputs(&mut names, &layer.output, layer.has_bias());
    let values = match layer.form {
        Form::Dense { transposed: false, .. } => transpose(weights, layer.rows, layer.columns),
        _ => weights.to_vec(),
    };
    graph.body.initializer.push(float_tensor(&inputs[0], &dims, &values));
    if let Some(name) = inputs.get(1) {
        graph.body.initializer.push(float_tensor(name, &[layer.rows as i64], bias));
    }
    let node = &mut graph.body.node[layer.node];
    node.input.truncate(1);
    node.input.extend(inputs);
    graph.prune();
    graph
}

/// Puts a layer for each factor in the place of one, with the bias behind the last. The core stays what the layer is: it has
/// the convolution's kernel, strides, pads and dilations.
pub fn split(mut graph: Graph, layer: &Layer, factors: &Factors, bias: &[f32]) -> Graph {
    let index = graph.index();
    let mut names = Names::new(&index);
    let original = graph.body.node[layer.node].clone();
    let mut chain = Chain { graph: &mut graph, names: &mut names, layer, original: &original, nodes: Vec::new() };
    let mut read = layer.input.clone();
    if let Some(input) = &factors.input {
        let made = chain.names.make(&layer.output, ".input");
        read = chain.pointwise(input, read, made, None);
    }
    match &factors.output {
        None => {
            chain.core(&factors.core, read, layer.output.clone(), Some(bias));
        }
        Some(output) => {
            let made = chain.names.make(&layer.output, ".core");
            let between = chain.core(&factors.core, read, made, None);
            chain.pointwise(output, between, layer.output.clone(), Some(bias));
        }
    }
    let nodes = chain.nodes;
    graph.body.node.splice(layer.node..=layer.node, nodes);
    graph.prune();
    graph
}

/// The layers that take the place of one, as far as they are made.
struct Chain<'g, 'i> {
    graph: &'g mut Graph,
    names: &'g mut Names<'i>,
    layer: &'g Layer,
    original: &'g NodeProto,
    nodes: Vec<NodeProto>,
}

impl Chain<'_, '_> {
    /// 1x1, or a product of matrices: `weights` (channels made, channels read).
    fn pointwise(&mut self, weights: &Mat<f64>, read: String, made: String, bias: Option<&[f32]>) -> String {
        let node = new_node(&self.original.op_type, vec![read], made);
        self.push(node, weights, [1, 1], bias)
    }

    fn core(&mut self, weights: &Mat<f64>, read: String, made: String, bias: Option<&[f32]>) -> String {
        let mut node = new_node(&self.original.op_type, vec![read], made);
        let kernel = match &self.layer.form {
            Form::Conv(window) => {
                node.attribute.clone_from(&self.original.attribute);
                window.kernel
            }
            Form::Dense { .. } => [1, 1],
        };
        self.push(node, weights, kernel, bias)
    }

    fn push(&mut self, mut node: NodeProto, weights: &Mat<f64>, kernel: [usize; 2], bias: Option<&[f32]>) -> String {
        let made = node.output[0].clone();
        if !self.original.name.is_empty() {
            let suffix = made.strip_prefix(self.layer.output.as_str()).unwrap_or_default();
            node.name = format!("{}{suffix}", self.original.name);
        }
        let inputs = weight_inputs(self.names, &made, bias.is_some() && self.layer.has_bias());
        let (rows, columns) = (weights.nrows(), weights.ncols());
        let values = |rows: usize, columns: usize, at: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            (0..rows).flat_map(|i| (0..columns).map(move |j| at(i, j) as f32)).collect()
        };
        let weight = match self.layer.form {
            Form::Conv(_) => {
                let [high, wide] = kernel;
                let dims = [rows, columns / (high * wide).max(1), high, wide].map(|d| d as i64);
                float_tensor(&inputs[0], &dims, &values(rows, columns, &|i, j| weights[(i, j)]))
            }
            Form::Dense { .. } => {
                let dims = [columns, rows].map(|d| d as i64);
                float_tensor(&inputs[0], &dims, &values(columns, rows, &|i, j| weights[(j, i)]))
            }
        };
        self.graph.body.initializer.push(weight);
        if let (Some(name), Some(bias)) = (inputs.get(1), bias) {
            self.graph.body.initializer.push(float_tensor(name, &[rows as i64], bias));
        }
        node.input.extend(inputs);
        self.nodes.push(node);
        made
    }
}

/// Names for the weights and, where there is one, the bias.
fn weight_inputs(names: &mut Names<'_>, output: &str, bias: bool) -> Vec<String> {
    let weight = names.make(output, ".weight");
    let bias = bias.then(|| names.make(output, ".bias"));
    std::iter::once(weight).chain(bias).collect()
}
