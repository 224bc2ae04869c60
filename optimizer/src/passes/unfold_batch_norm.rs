use std::collections::BTreeMap;

use super::names::Names;
use crate::onnx::{Graph, ModelError, float_tensor, floats, new_node};

/// ONNX's default.
const EPSILON: f32 = 1e-5;

/// Of each channel of a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

/// The results of `Conv` nodes that can have a `BatchNormalization` of their own; none where the graph has one already, or where
/// they are what the model answers.
pub fn without_norm(graph: &Graph) -> Vec<String> {
    let index = graph.index();
    if graph.nodes().iter().any(|n| n.is("BatchNormalization")) {
        return Vec::new();
    }
    let results = graph.nodes().iter().filter(|n| n.is("Conv")).filter_map(|n| n.output.first());
    results.filter(|y| !index.is_output(y)).cloned().collect()
}

/// The opposite of [`super::fold_batch_norm`]: a `BatchNormalization` behind each `Conv` whose result is known in mean and variance. Its gain is their
/// deviation and its shift their mean, so that nothing changes until it is trained.
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn unfold_batch_norm(mut graph: Graph, spreads: &BTreeMap<String, Spread>) -> Result<Graph, ModelError> {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut nodes = Vec::with_capacity(graph.body.node.len());
    for mut node in std::mem::take(&mut graph.body.node) {
        let result = node.output.first().filter(|_| node.is("Conv")).cloned();
        let Some((y, known)) = result.and_then(|y| spreads.get(&y).map(|known| (y, known))) else {
            nodes.push(node);
            continue;
        };
        let mut mean = known.mean.clone();
        // The shift takes its place.
        if let Some(bias) = node.input_at(2).and_then(|name| index.initializer(&graph, name)) {
            mean.iter_mut().zip(floats(bias)?).for_each(|(m, b)| *m -= b);
            node.input.truncate(2);
        }
        let plain = names.make(&y, ".plain");
        node.output[0].clone_from(&plain);
        let gain: Vec<f32> = known.variance.iter().map(|v| (v + EPSILON).sqrt()).collect();
        let mut inputs = vec![plain];
        for (suffix, values) in
            [(".gain", &gain), (".shift", &known.mean), (".mean", &mean), (".variance", &known.variance)]
        {
            let name = names.make(&y, suffix);
            graph.body.initializer.push(float_tensor(&name, &[values.len() as i64], values));
            inputs.push(name);
        }
        nodes.extend([node, new_node("BatchNormalization", inputs, y)]);
    }
    graph.body.node = nodes;
    graph.prune();
    Ok(graph)
}
