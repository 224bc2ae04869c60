use std::collections::HashSet;

use crate::onnx::{Graph, float_value};
use crate::passes::layer::Layer;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{TensorShapeProto, type_proto};

/// The part of the graph that makes these float32 values, which become its outputs. What subgraphs read is not looked for:
/// a graph that has any keeps all its nodes.
pub fn cut(graph: &Graph, values: &[&str]) -> Graph {
    let mut part = graph.clone();
    let nested = |n: &crate::proto::NodeProto| n.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
    if !graph.nodes().iter().any(nested) {
        let mut needed: HashSet<String> = values.iter().map(|v| (*v).to_owned()).collect();
        let mut keep = vec![false; graph.nodes().len()];
        for (i, node) in graph.nodes().iter().enumerate().rev() {
            if node.output.iter().any(|o| needed.contains(o)) {
                keep[i] = true;
                needed.extend(node.input.iter().cloned());
            }
        }
        let mut keep = keep.into_iter();
        part.body.node.retain(|_| keep.next().unwrap_or(true));
    }
    part.body.output = values.iter().map(|value| float_value(value)).collect();
    part.prune();
    part
}

/// One layer as a model of its own, which reads an input of this shape.
pub fn alone(graph: &Graph, layer: &Layer, shape: &[i64]) -> Graph {
    let mut part = graph.clone();
    part.body.node = vec![graph.nodes()[layer.node].clone()];
    let dim = |d: &i64| Dimension { value: Some(dimension::Value::DimValue(*d)), ..Dimension::default() };
    let mut input = float_value(&layer.input);
    if let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        tensor.shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    }
    part.body.input = vec![input];
    part.body.output = vec![float_value(&layer.output)];
    part.body.value_info.clear();
    part.prune();
    part
}
