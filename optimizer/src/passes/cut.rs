use std::collections::HashSet;

use crate::onnx::{Graph, float_value};

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
