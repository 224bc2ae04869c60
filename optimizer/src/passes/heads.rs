use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::onnx::{Graph, ModelError};
use crate::passes::layer::Layer;

/// What picks rows by their values: those of two networks are not the same ones, whatever their number is.
const PICKS: [&str; 4] = ["NonMaxSuppression", "TopK", "NonZero", "RoiAlign"];

/// The results of a detector's last layers, each with the `Relu` or `Clip` behind it, in the order of the graph. What comes behind them has no
/// weights: it puts classes and places into other units, and picks. Two networks can be compared there place by place, whatever
/// their outputs are: numbers of very different sizes in one tensor, or a list.
///
/// Not those that read what was picked before, as the second stage of a two-stage detector does.
///
/// # Errors
/// A weight whose data does not fit its shape.
pub fn heads(graph: &Graph) -> Result<Vec<String>, ModelError> {
    let index = graph.index();
    let layers: BTreeMap<usize, Layer> = Layer::all(graph)?.into_iter().map(|l| (l.node, l)).collect();
    let mut picked: HashSet<&str> = HashSet::new();
    for node in graph.nodes() {
        let picks = PICKS.iter().any(|op| node.is(op)) || node.input.iter().any(|i| picked.contains(i.as_str()));
        picked.extend(node.output.iter().map(String::as_str).filter(|_| picks));
    }
    let mut waiting: Vec<&str> = graph.body.output.iter().map(|o| o.name.as_str()).collect();
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(value) = waiting.pop() {
        let Some(node) = index.producer(value).filter(|node| seen.insert(*node)) else { continue };
        match layers.get(&node) {
            Some(layer) if !picked.contains(layer.output.as_str()) => {
                found.insert(node);
            }
            _ => waiting.extend(graph.nodes()[node].input.iter().map(String::as_str)),
        }
    }
    let result = |node: usize| {
        let output = &layers[&node].output;
        let next = index.sole_consumer(output).map(|at| &graph.nodes()[at]);
        let bound = next.filter(|n| !index.is_output(output) && (n.is("Relu") || n.is("Clip")));
        bound.map_or(output, |n| &n.output[0]).clone()
    };
    Ok(found.into_iter().map(result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{float_tensor, float_value, new_node};
    use crate::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

    fn graph(nodes: Vec<NodeProto>, outputs: &[&str]) -> Graph {
        let weights = nodes.iter().filter_map(|n| n.input.get(1)).filter(|w| w.starts_with('w'));
        let initializer = weights.map(|w| float_tensor(w, &[4, 4, 1, 1], &[0.5; 16])).collect();
        let output = outputs.iter().map(|o| float_value(o)).collect();
        let body =
            GraphProto { node: nodes, input: vec![float_value("x")], output, initializer, ..GraphProto::default() };
        let opset = OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() };
        let model = ModelProto { graph: Some(body), opset_import: vec![opset], ir_version: 8, ..ModelProto::default() };
        Graph::new(model).unwrap()
    }

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        new_node(op, inputs.iter().map(|i| (*i).to_owned()).collect(), output.into())
    }

    #[test]
    fn the_last_layers_of_each_output_and_none_behind_a_choice() {
        let stem = || vec![node("Conv", &["x", "w0"], "stem"), node("Relu", &["stem"], "s")];
        let one_stage = [
            stem(),
            vec![
                node("Conv", &["s", "w1"], "classes"),
                node("Conv", &["s", "w2"], "places"),
                node("Relu", &["places"], "sizes"),
                node("Sigmoid", &["classes"], "scores"),
                node("Concat", &["sizes", "scores"], "y"),
            ],
        ]
        .concat();
        assert_eq!(heads(&graph(one_stage, &["y"])).unwrap(), ["classes", "sizes"]);

        let two_stages = [
            stem(),
            vec![
                node("Conv", &["s", "w1"], "proposals"),
                node("TopK", &["proposals", "x"], "best"),
                node("Conv", &["best", "w2"], "refined"),
                node("Sigmoid", &["refined"], "y"),
            ],
        ]
        .concat();
        assert_eq!(heads(&graph(two_stages, &["y"])).unwrap(), ["proposals"]);
        assert!(heads(&graph(vec![node("Relu", &["x"], "y")], &["y"])).unwrap().is_empty());
    }
}
