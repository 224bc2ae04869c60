use crate::onnx::{Graph, attribute_ints, float_tensor, new_node};
use crate::passes::layer::{Form, Layer, transpose};
use crate::passes::names::Names;
use crate::proto::AttributeProto;
use crate::proto::attribute_proto::AttributeType;

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

/// Puts two layers in the place of one: `first` (rank, columns), then `second` (rows, rank) with the bias. A convolution
/// becomes the same convolution to `rank` channels, and one of 1x1.
pub fn split(mut graph: Graph, layer: &Layer, first: &[f32], second: &[f32], bias: &[f32]) -> Graph {
    let index = graph.index();
    let mut names = Names::new(&index);
    let (rows, columns) = (layer.rows, layer.columns);
    let rank = first.len() / columns.max(1);
    let between = names.make(&layer.output, ".factor");
    let small = names.make(&between, ".weight");
    let inputs = weight_inputs(&mut names, &layer.output, layer.has_bias());
    let original = graph.body.node[layer.node].clone();

    let mut one = original.clone();
    if !one.name.is_empty() {
        one.name.push_str(".factor");
    }
    one.input = vec![layer.input.clone(), small.clone()];
    one.output = vec![between.clone()];
    let mut two = new_node(&original.op_type, vec![between], layer.output.clone());
    two.name.clone_from(&original.name);
    two.input.extend(inputs.iter().cloned());

    let initializers = match &layer.form {
        Form::Conv(window) => {
            let channels = (columns / (window.kernel[0] * window.kernel[1])) as i64;
            let [high, wide] = window.kernel.map(|k| k as i64);
            if attribute_ints(&original, "kernel_shape").is_some() {
                two.attribute.push(AttributeProto {
                    name: "kernel_shape".into(),
                    r#type: AttributeType::Ints as i32,
                    ints: vec![1, 1],
                    ..AttributeProto::default()
                });
            }
            [
                float_tensor(&small, &[rank as i64, channels, high, wide], first),
                float_tensor(&inputs[0], &[rows as i64, rank as i64, 1, 1], second),
            ]
        }
        Form::Dense { .. } => {
            one.attribute.clear();
            [
                float_tensor(&small, &[columns as i64, rank as i64], &transpose(first, rank, columns)),
                float_tensor(&inputs[0], &[rank as i64, rows as i64], &transpose(second, rows, rank)),
            ]
        }
    };
    graph.body.initializer.extend(initializers);
    if let Some(name) = inputs.get(1) {
        graph.body.initializer.push(float_tensor(name, &[rows as i64], bias));
    }
    graph.body.node.splice(layer.node..=layer.node, [one, two]);
    graph.prune();
    graph
}

/// Names for the weights and, where there is one, the bias.
fn weight_inputs(names: &mut Names<'_>, output: &str, bias: bool) -> Vec<String> {
    let weight = names.make(output, ".weight");
    let bias = bias.then(|| names.make(output, ".bias"));
    std::iter::once(weight).chain(bias).collect()
}
