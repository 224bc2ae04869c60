use super::names::Names;
use crate::onnx::{Graph, Index, attribute_int, attribute_ints, integer_attribute, integers, new_node};
use crate::proto::NodeProto;

/// What [`mean_to_pool`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolReport {
    pub replaced: usize,
}

/// Writes `ReduceMean` over the two spatial dimensions of what a `Conv` made as `GlobalAveragePool`, the same mean under
/// the name that ONNX Runtime has an integer kernel for.
pub fn mean_to_pool(mut graph: Graph) -> (Graph, PoolReport) {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut report = PoolReport::default();
    let mut nodes = Vec::with_capacity(graph.nodes().len() + 1);
    for node in &graph.body.node {
        if !is_spatial_mean(&graph, &index, node) {
            nodes.push(node.clone());
            continue;
        }
        report.replaced += 1;
        let (input, output) = (node.input[0].clone(), node.output[0].clone());
        if attribute_int(node, "keepdims", 1) == 1 {
            nodes.push(new_node("GlobalAveragePool", vec![input], output));
        } else {
            let pooled = names.make(&output, ".pooled");
            nodes.push(new_node("GlobalAveragePool", vec![input], pooled.clone()));
            let mut flatten = new_node("Flatten", vec![pooled], output);
            flatten.attribute.push(integer_attribute("axis", 1));
            nodes.push(flatten);
        }
    }
    graph.body.node = nodes;
    graph.prune();
    (graph, report)
}

fn is_spatial_mean(graph: &Graph, index: &Index, node: &NodeProto) -> bool {
    if !node.is("ReduceMean") || node.output.len() != 1 || node.input.is_empty() {
        return false;
    }
    // An input since opset 18.
    let axes = match node.input_at(1) {
        Some(name) => index.initializer(graph, name).and_then(|t| integers(t).ok()),
        None => attribute_ints(node, "axes").map(<[i64]>::to_vec),
    };
    let Some(mut axes) = axes else { return false };
    axes.sort_unstable();
    matches!(axes.as_slice(), [2, 3] | [-2, -1]) && is_image(graph, index, &node.input[0])
}

/// Whether the value surely has four dimensions: a two-dimensional `Conv` made it, with only what keeps the shape between.
fn is_image(graph: &Graph, index: &Index, value: &str) -> bool {
    let mut at = value;
    // Each step goes to a node before, so the walk ends.
    while let Some(producer) = index.producer(at).map(|i| &graph.nodes()[i]) {
        if producer.is("Conv") {
            let weight = producer.input_at(1).and_then(|w| index.initializer(graph, w));
            return weight.is_some_and(|w| w.dims.len() == 4);
        }
        let keeps = ["Relu", "Clip", "LeakyRelu", "HardSwish", "Sigmoid", "BatchNormalization"];
        match producer.input_at(0) {
            Some(input) if keeps.iter().any(|op| producer.is(op)) => at = input,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{float_tensor, tensor};
    use crate::proto::attribute_proto::AttributeType;
    use crate::proto::tensor_proto::DataType;
    use crate::proto::{AttributeProto, GraphProto, ModelProto, OperatorSetIdProto, ValueInfoProto};

    /// Conv, Relu, then the mean over `axes`.
    fn graph(axes: &[i64], keepdims: i64, kernel: &[i64], as_input: bool) -> Graph {
        let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        let mut mean = new_node("ReduceMean", vec!["r".into()], "y".into());
        mean.attribute.push(integer_attribute("keepdims", keepdims));
        if as_input {
            mean.input.push("axes".into());
        } else {
            let ints = axes.to_vec();
            let kind = AttributeType::Ints as i32;
            mean.attribute.push(AttributeProto {
                name: "axes".into(),
                r#type: kind,
                ints,
                ..AttributeProto::default()
            });
        }
        let data = axes.iter().flat_map(|a| a.to_le_bytes()).collect();
        let body = GraphProto {
            input: vec![value("x")],
            output: vec![value("y")],
            node: vec![
                new_node("Conv", vec!["x".into(), "w".into()], "c".into()),
                new_node("Relu", vec!["c".into()], "r".into()),
                mean,
            ],
            initializer: vec![
                float_tensor("w", kernel, &vec![0.0; kernel.iter().product::<i64>() as usize]),
                tensor("axes", DataType::Int64, &[axes.len() as i64], data),
            ],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: String::new(), version: 18 };
        Graph::new(ModelProto { opset_import: vec![opset], graph: Some(body), ..ModelProto::default() }).unwrap()
    }

    #[test]
    fn means_over_the_image_and_no_others() {
        let image = [1, 1, 1, 1];
        for (axes, keepdims, kernel, as_input, expected) in [
            (&[2, 3][..], 1, &image[..], false, &["GlobalAveragePool"][..]),
            (&[-1, -2], 0, &image, false, &["GlobalAveragePool", "Flatten"]),
            (&[3, 2], 0, &image, true, &["GlobalAveragePool", "Flatten"]),
            (&[1, 2], 1, &image, false, &["ReduceMean"]),
            (&[2], 1, &image, false, &["ReduceMean"]),
            (&[-2, -1], 1, &image[..3], false, &["ReduceMean"]),
        ] {
            let (graph, _) = mean_to_pool(graph(axes, keepdims, kernel, as_input));
            let found: Vec<&str> = graph.nodes()[2..].iter().map(|n| n.op_type.as_str()).collect();
            assert_eq!(found, expected, "{axes:?} of kernel {kernel:?}");
        }
    }
}
