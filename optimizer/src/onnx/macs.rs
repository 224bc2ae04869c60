use std::collections::BTreeMap;

use drydock_contract::OperatorCount;

use super::shapes::is_bits_product;
use super::{Graph, ModelError, Shapes, attribute_int};
use crate::proto::NodeProto;

/// Multiply-accumulate operations of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Macs {
    /// By node position. 0 for what multiplies no matrices, `None` where a shape is not known, or no rule is.
    pub by_node: Vec<Option<u64>>,
    /// Of the nodes that are known.
    pub total: u64,
    /// Nodes that are not.
    pub unknown: usize,
}

/// Convolutions, matrix products and what is made of them. Biases, pools and pointwise operators count as nothing.
///
/// Of a batch of one, take shapes of [`Shapes::infer_batch`] with 1.
///
/// # Errors
/// [`ModelError::Shape`] for a count over 2^64.
pub fn macs(graph: &Graph, shapes: &Shapes) -> Result<Macs, ModelError> {
    let mut macs = Macs::default();
    for node in graph.nodes() {
        let overflow = || ModelError::Shape {
            node: node.label(),
            problem: "over 2^64 multiplications; expected a number that fits".into(),
        };
        let count = match factors(node, shapes) {
            None => None,
            Some(factors) => Some(product(&factors).ok_or_else(overflow)?),
        };
        match count {
            Some(n) => macs.total = macs.total.checked_add(n).ok_or_else(overflow)?,
            None => macs.unknown += 1,
        }
        macs.by_node.push(count);
    }
    Ok(macs)
}

fn product(factors: &[i64]) -> Option<u64> {
    if factors.contains(&0) {
        return Some(0);
    }
    factors.iter().try_fold(1_u64, |n, f| n.checked_mul(u64::try_from(*f).ok()?))
}

/// What the node's count is the product of.
fn factors(node: &NodeProto, shapes: &Shapes) -> Option<Vec<i64>> {
    let input = |i: usize| shapes.sizes(node.input_at(i)?);
    let output = || shapes.sizes(node.output.first()?);
    if is_bits_product(node) {
        return Some([output()?, vec![attribute_int(node, "K", 0)]].concat());
    }
    if !node.is(&node.op_type) || node.has_subgraph() {
        return None;
    }
    let contracted = |right: usize| {
        let (a, b) = (node.input_at(0)?, node.input_at(right)?);
        // Either operand may tell the length that is summed over.
        let last = shapes.get(a)?.shape.as_ref()?.last()?.size();
        let other = || {
            let shape = shapes.get(b)?.shape.as_ref()?;
            shape.get(shape.len().saturating_sub(2))?.size()
        };
        last.or_else(other)
    };
    Some(match node.op_type.as_str() {
        "Conv" | "ConvInteger" | "QLinearConv" => {
            let weight = input(if node.op_type == "QLinearConv" { 3 } else { 1 })?;
            // All but the output channels, which the result has.
            [output()?, weight.get(1..)?.to_vec()].concat()
        }
        "ConvTranspose" => [input(0)?, input(1)?.get(1..)?.to_vec()].concat(),
        "MatMul" | "MatMulInteger" => [output()?, vec![contracted(1)?]].concat(),
        "QLinearMatMul" => [output()?, vec![contracted(3)?]].concat(),
        "Gemm" => {
            let a = input(0)?;
            [output()?, vec![*a.get(usize::from(attribute_int(node, "transA", 0) == 0))?]].concat()
        }
        "Einsum" | "LSTM" | "GRU" | "RNN" | "Attention" | "DeformConv" | "DFT" | "STFT" => return None,
        _ => vec![0],
    })
}

/// By operator, with the domain before its name where it is not the default.
pub fn operators(graph: &Graph, macs: &Macs) -> BTreeMap<String, OperatorCount> {
    let mut operators: BTreeMap<String, OperatorCount> = BTreeMap::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let domain = if node.is(&node.op_type) { String::new() } else { format!("{}.", node.domain) };
        let count = operators.entry(format!("{domain}{}", node.op_type)).or_default();
        count.nodes += 1;
        count.macs += macs.by_node.get(i).copied().flatten().unwrap_or(0);
    }
    operators
}
