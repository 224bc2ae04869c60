use std::collections::HashMap;

use crate::onnx::{Graph, float_tensor, integer_tensor};
use crate::proto::{NodeProto, TensorProto};

/// What [`lift_constants`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiftReport {
    /// `Constant` nodes that became initializers.
    pub constants: usize,
    /// `Identity` nodes of initializers that their readers no longer go through.
    pub identities: usize,
    /// Initializers that a caller could have replaced, and no longer can.
    pub frozen: usize,
}

/// Turns `Constant` nodes into initializers and takes out `Identity` between an initializer and its readers, so that
/// later passes meet a weight in one form only. What is an output stays, and so does an `Identity` that a subgraph reads.
pub fn lift_constants(mut graph: Graph) -> (Graph, LiftReport) {
    let mut report = LiftReport { frozen: graph.freeze(), ..LiftReport::default() };
    let index = graph.index();
    // Value to the initializer that stands for it.
    let mut aliases: HashMap<String, String> = HashMap::new();
    let mut lifted = Vec::new();
    let mut kept = Vec::with_capacity(graph.body.node.len());
    for mut node in std::mem::take(&mut graph.body.node) {
        for input in &mut node.input {
            if let Some(initializer) = aliases.get(input) {
                input.clone_from(initializer);
            }
        }
        if let Some(tensor) = constant(&node).filter(|t| !index.is_output(&t.name)) {
            lifted.push(tensor);
            report.constants += 1;
        } else if let Some(initializer) = identity(&node).filter(|source| {
            let made_here = |t: &TensorProto| t.name == *source;
            let output = &node.output[0];
            (index.initializer(&graph, source).is_some() || lifted.iter().any(made_here))
                && !index.is_output(output)
                && !index.is_captured(output)
        }) {
            aliases.insert(node.output[0].clone(), initializer.to_owned());
            report.identities += 1;
        } else {
            kept.push(node);
        }
    }
    graph.body.node = kept;
    graph.body.initializer.append(&mut lifted);
    graph.prune();
    (graph, report)
}

/// Strings and sparse tensors stay what they are: no pass works on them.
fn constant(node: &NodeProto) -> Option<TensorProto> {
    let ([attribute], [output]) = (node.attribute.as_slice(), node.output.as_slice()) else { return None };
    if !node.is("Constant") {
        return None;
    }
    let list = |n: usize| [n as i64];
    match attribute.name.as_str() {
        "value" => Some(TensorProto { name: output.clone(), ..attribute.t.clone()? }),
        "value_int" => Some(integer_tensor(output, &[], &[attribute.i])),
        "value_ints" => Some(integer_tensor(output, &list(attribute.ints.len()), &attribute.ints)),
        "value_float" => Some(float_tensor(output, &[], &[attribute.f])),
        "value_floats" => Some(float_tensor(output, &list(attribute.floats.len()), &attribute.floats)),
        _ => None,
    }
}

fn identity(node: &NodeProto) -> Option<&str> {
    match (node.input.as_slice(), node.output.as_slice()) {
        ([input], [_]) if node.is("Identity") => Some(input),
        _ => None,
    }
}
