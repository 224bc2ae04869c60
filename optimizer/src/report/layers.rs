use std::collections::{BTreeSet, HashMap};

use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::onnx::{Graph, Index, ModelError, Shapes, macs};

/// How far behind a layer what computes the same may be: a bias, `BatchNormalization`, an activation.
const BEHIND: usize = 4;

/// One layer of the original, and what stands for it in the candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRow {
    /// Of the layer's output.
    pub name: String,
    pub operator: String,
    pub original: Cost,
    pub candidate: Cost,
    /// Of the layer's output, candidate against original; absent where it was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqnr_decibels: Option<f64>,
}

/// Of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    pub macs: u64,
    /// Of the constants, as they are stored.
    pub bytes: u64,
}

/// Whatever multiplies matrices.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub layers: Vec<Layer>,
    /// Positions in `layers`, by the names of [`Layer::values`].
    by_value: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub operator: String,
    /// The output, and what is made of it alone. A pass may take these into the layer.
    pub values: Vec<String>,
    /// The channels of the output are its last axis, not the second.
    pub channels_last: bool,
}

impl Layers {
    pub(super) fn of(graph: &Graph) -> Result<Self, ModelError> {
        let index = graph.index();
        let macs = macs(graph, &Shapes::infer_batch(graph, 1)?)?;
        let mut found = Self { layers: Vec::new(), by_value: HashMap::new() };
        for (i, node) in graph.nodes().iter().enumerate() {
            let (Some(1..), Some(output)) = (macs.by_node[i], node.output.first()) else { continue };
            let mut values = vec![output.clone()];
            while values.len() <= BEHIND
                && let Some(next) = index.sole_consumer(&values[values.len() - 1])
            {
                let reader = &graph.nodes()[next];
                let variable = reader.input.iter().filter(|n| !n.is_empty() && index.initializer(graph, n).is_none());
                let ([result], 1, Some(0)) = (reader.output.as_slice(), variable.count(), macs.by_node[next]) else {
                    break;
                };
                values.push(result.clone());
            }
            found.by_value.extend(values.iter().map(|v| (v.clone(), found.layers.len())));
            let channels_last = !node.op_type.contains("Conv");
            found.layers.push(Layer { operator: node.op_type.clone(), values, channels_last });
        }
        Ok(found)
    }

    /// What each layer costs in a graph, and what belongs to none.
    pub(super) fn costs(&self, graph: &Graph) -> Result<(Vec<Cost>, Cost), ModelError> {
        let index = graph.index();
        let macs = macs(graph, &Shapes::infer_batch(graph, 1)?)?;
        let mut costs = vec![Cost::default(); self.layers.len()];
        let mut rest = Cost::default();
        let mut counted: BTreeSet<&str> = BTreeSet::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            let constants = node.input.iter().filter_map(|name| index.initializer(graph, name));
            let bytes = constants.filter(|t| counted.insert(&t.name)).map(|t| t.encoded_len() as u64).sum();
            let own = Cost { macs: macs.by_node[i].unwrap_or(0), bytes };
            if own == Cost::default() {
                continue;
            }
            let to = self.layer_of(graph, &index, i).map_or(&mut rest, |layer| &mut costs[layer]);
            to.macs = to.macs.saturating_add(own.macs);
            to.bytes = to.bytes.saturating_add(own.bytes);
        }
        Ok((costs, rest))
    }

    /// The first layer that the node's result goes into: parts of a layer come before its output.
    fn layer_of(&self, graph: &Graph, index: &Index, node: usize) -> Option<usize> {
        let mut at = node;
        // Each step goes to a node after, so the walk ends.
        loop {
            let output = graph.nodes()[at].output.iter().find(|o| !o.is_empty())?;
            if let Some(layer) = self.by_value.get(output) {
                return Some(*layer);
            }
            at = *index.consumers(output).first()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{float_tensor, new_node};
    use crate::proto::type_proto::{self, Tensor};
    use crate::proto::{
        GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
        ValueInfoProto, tensor_shape_proto,
    };

    fn graph(nodes: &[(&str, &[&str], &str)], constants: Vec<TensorProto>) -> Graph {
        let node = |(op, inputs, output): &(&str, &[&str], &str)| -> NodeProto {
            new_node(op, inputs.iter().map(|i| (*i).to_owned()).collect(), (*output).to_owned())
        };
        let dim = |n| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(n)),
            ..tensor_shape_proto::Dimension::default()
        };
        let shape = TensorShapeProto { dim: vec![dim(1), dim(4)] };
        let tensor = Tensor { elem_type: 1, shape: Some(shape) };
        let value = |name: &str, tensor: Option<Tensor>| ValueInfoProto {
            name: name.into(),
            r#type: Some(TypeProto { value: tensor.map(type_proto::Value::TensorType), ..TypeProto::default() }),
            ..ValueInfoProto::default()
        };
        let body = GraphProto {
            input: vec![value("x", Some(tensor))],
            output: vec![value("y", None)],
            node: nodes.iter().map(node).collect(),
            initializer: constants,
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
        Graph::new(ModelProto { graph: Some(body), opset_import, ..ModelProto::default() }).unwrap()
    }

    #[test]
    fn what_a_layer_became_is_counted_for_it() {
        let constant =
            |name: &str, dims: &[i64]| float_tensor(name, dims, &vec![1.0; dims.iter().product::<i64>() as usize]);
        let original = graph(
            &[
                ("MatMul", &["x", "a"], "m"),
                ("Add", &["m", "b"], "s"),
                ("Relu", &["s"], "r"),
                ("MatMul", &["r", "c"], "y"),
            ],
            vec![constant("a", &[4, 6]), constant("b", &[6]), constant("c", &[6, 2])],
        );
        let layers = Layers::of(&original).unwrap();
        assert_eq!(layers.layers[0].values, ["m", "s", "r"]);
        assert_eq!(layers.layers[1].values, ["y"]);
        let (costs, rest) = layers.costs(&original).unwrap();
        assert_eq!((costs[0].macs, costs[1].macs, rest), (24, 12, Cost::default()));
        // The second layer's weights are 48 bytes, and the name and shape of each tensor is stored too.
        assert!((96 + 24..200).contains(&costs[0].bytes) && costs[1].bytes < 80, "{costs:?}");

        // Split in two, the activation taken in, and something before it all.
        let candidate = graph(
            &[
                ("MatMul", &["x", "a1"], "m.factor"),
                ("Gemm", &["m.factor", "a2", "b"], "s.float"),
                ("Relu", &["s.float"], "r"),
                ("MatMul", &["r", "c"], "other"),
                ("Identity", &["other"], "y"),
                ("MatMul", &["r", "c"], "unread"),
            ],
            vec![constant("a1", &[4, 1]), constant("a2", &[1, 6]), constant("b", &[6]), constant("c", &[6, 2])],
        );
        let (costs, rest) = layers.costs(&candidate).unwrap();
        assert_eq!((costs[0].macs, costs[1].macs, rest.macs, rest.bytes), (10, 12, 12, 0));
    }
}
