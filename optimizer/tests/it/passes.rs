//! Passes on graphs that are made here: what they are for, old opsets, damage, and random chains.

mod chains;
mod cleaning;
mod damaged;
mod opsets;

use drydock_optimizer::onnx::{self, Graph, ModelError, float_tensor, new_node};
use drydock_optimizer::passes;
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

use crate::common::engine;
use crate::making::{value, weight};
pub(super) fn node(op: &str, inputs: &str, outputs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |text: &str| text.split_whitespace().map(|n| n.trim_matches('_').to_owned()).collect::<Vec<_>>();
    NodeProto { attribute, output: names(outputs), ..new_node(op, names(inputs), String::new()) }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..AttributeProto::default() }
}

pub(super) fn try_model(
    opset: i64,
    x: &[i64],
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> Result<Graph, ModelError> {
    let mut y = value("y", &[]);
    y.r#type = None;
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer,
        input: vec![value("x", x)],
        output: vec![y],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
    Graph::new(ModelProto { ir_version: 7, opset_import, graph: Some(graph), ..ModelProto::default() })
}

pub(super) fn model(opset: i64, x: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Graph {
    try_model(opset, x, nodes, initializer).unwrap()
}

pub(super) fn run(graph: &Graph, x: &[i64]) -> (Vec<i64>, Vec<f32>) {
    let shape: Vec<i64> = x.iter().map(|d| if *d < 0 { 3 } else { *d }).collect();
    let input = weight("x", &shape);
    let mut session = engine().open(&graph.encode(), 1).unwrap();
    let output = session.run_tensors(&[input]).unwrap().remove(0).unwrap();
    (output.dims.clone(), onnx::floats(&output).unwrap())
}

pub(super) fn assert_same(what: &str, before: &Graph, after: &Graph, x: &[i64]) {
    let ((dims, expected), (found_dims, found)) = (run(before, x), run(after, x));
    assert_eq!(dims, found_dims, "{what}");
    let largest = expected.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
    for (a, b) in expected.iter().zip(&found) {
        assert!((a - b).abs() <= 1e-5 * largest || (a.is_nan() && b.is_nan()), "{what}: {a} and {b}");
    }
}

pub(super) fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|n| n.op_type.as_str()).collect()
}

pub(super) fn clean(graph: &Graph) -> Graph {
    passes::clean(graph.clone(), &engine()).unwrap().0
}

/// Statistics of four channels: the variance is positive.
pub(super) fn statistics(n: i64) -> Vec<TensorProto> {
    let variance: Vec<f32> = (0..n).map(|i| 0.5 + i as f32).collect();
    vec![weight("gain", &[n]), weight("shift", &[n]), weight("mean", &[n]), float_tensor("variance", &[n], &variance)]
}

pub(super) const IMAGE: &[i64] = &[-1, 4, 6, 6];
