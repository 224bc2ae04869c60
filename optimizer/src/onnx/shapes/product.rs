//! Products of matrices.

use super::Dim;
use super::call::{Call, Outcome, one};
use super::dim::{broadcast, same, text};
use crate::proto::NodeProto;
use crate::proto::tensor_proto::DataType;

pub(super) fn infer(call: &Call<'_>) -> Option<Outcome> {
    Some(match call.node.op_type.as_str() {
        "MatMul" => mat_mul(call, 1, call.element(0)),
        "MatMulInteger" => mat_mul(call, 1, Some(DataType::Int32)),
        "QLinearMatMul" => mat_mul(call, 3, call.element(7)),
        "Gemm" => gemm(call),
        _ => return None,
    })
}

/// Whether it multiplies by weights of a few bits, which ONNX Runtime has an operator of its own for, and [`crate::passes::weight_only`] writes.
pub(in crate::onnx) fn is_bits_product(node: &NodeProto) -> bool {
    node.domain == "com.microsoft" && node.op_type == "MatMulNBits"
}

/// `N` columns, in the place of the `K` of the input.
pub(super) fn by_bits(call: &Call<'_>) -> Outcome {
    let shape = call.shape(0).and_then(|a| Some([a.split_last()?.1, &[Dim::Size(call.int("N", 0))]].concat()));
    one(call.element(0), shape)
}

/// As numpy's `matmul`.
#[expect(clippy::many_single_char_names, reason = "the formula's own names")]
fn mat_mul(call: &Call<'_>, right: usize, element: Option<DataType>) -> Outcome {
    let (Some(a), Some(b)) = (call.shape(0), call.shape(right)) else { return one(element, None) };
    let fail = || format!("operands of shapes {} and {}, which have no matrix product", text(a), text(b));
    let vector = Dim::Size(1);
    let (batch_a, m, k) = match a {
        [] => return Err(fail()),
        [k] => (&a[..0], &vector, k),
        [batch @ .., m, k] => (batch, m, k),
    };
    let (batch_b, inner, n) = match b {
        [] => return Err(fail()),
        [k] => (&b[..0], k, &vector),
        [batch @ .., k, n] => (batch, k, n),
    };
    same(k, inner).ok_or_else(fail)?;
    let mut shape = broadcast(batch_a, batch_b)?;
    if a.len() > 1 {
        shape.push(m.clone());
    }
    if b.len() > 1 {
        shape.push(n.clone());
    }
    one(element, Some(shape))
}

#[expect(clippy::many_single_char_names, reason = "the formula's own names")]
fn gemm(call: &Call<'_>) -> Outcome {
    let element = call.element(0);
    let (Some(a), Some(b)) = (call.shape(0), call.shape(1)) else { return one(element, None) };
    let fail = || format!("operands of shapes {} and {}, which have no matrix product", text(a), text(b));
    let ([a0, a1], [b0, b1]) = (a, b) else { return Err(fail()) };
    let (m, k) = if call.int("transA", 0) == 0 { (a0, a1) } else { (a1, a0) };
    let (inner, n) = if call.int("transB", 0) == 0 { (b0, b1) } else { (b1, b0) };
    same(k, inner).ok_or_else(fail)?;
    let shape = vec![m.clone(), n.clone()];
    if let Some(c) = call.shape(2) {
        let sum = broadcast(&shape, c)?;
        let grew = sum.len() != 2 || sum.iter().zip(&shape).any(|(s, d)| d.size().is_some() && s.size() != d.size());
        if grew {
            return Err(format!("a bias of shape {}; expected one that broadcasts to {}", text(c), text(&shape)));
        }
    }
    one(element, Some(shape))
}
