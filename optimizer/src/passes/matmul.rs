//! What the passes for `MatMul` and `Gemm` by a constant share.

use crate::onnx::{Graph, Index, ModelError, attribute_float, attribute_int, floats, is_float};
use crate::proto::NodeProto;

/// A product by a constant: y = x·W + b.
pub(super) struct Product {
    /// Name of the weight.
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    /// Output by output.
    pub rows: Vec<f32>,
    /// Name of the bias.
    pub bias: Option<String>,
}

impl Product {
    /// `None` if the node is none, or has factors or transpositions that one product does not do.
    pub(super) fn read(graph: &Graph, index: &Index, node: &NodeProto) -> Result<Option<Self>, ModelError> {
        let gemm = node.is("Gemm");
        let plain = [attribute_float(node, "alpha", 1.0), attribute_float(node, "beta", 1.0)].map(f32::to_bits)
            == [1.0_f32.to_bits(); 2]
            && attribute_int(node, "transA", 0) == 0;
        if !(gemm && plain || node.is("MatMul")) || node.output.len() != 1 {
            return Ok(None);
        }
        let constant = |i: usize| index.initializer(graph, node.input_at(i)?).filter(|t| is_float(t));
        let (Some(weight), None) = (constant(1), constant(0)) else { return Ok(None) };
        let [first, second] = weight.dims[..] else { return Ok(None) };
        let (Ok(first), Ok(second)) = (usize::try_from(first), usize::try_from(second)) else { return Ok(None) };
        let values = floats(weight)?;
        let finite = values.iter().all(|v| v.is_finite());
        if first == 0 || second == 0 || !finite {
            return Ok(None);
        }
        let transposed = gemm && attribute_int(node, "transB", 0) != 0;
        let (inputs, outputs) = if transposed { (second, first) } else { (first, second) };
        let rows = if transposed {
            values
        } else {
            (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))).map(|(o, i)| values[i * outputs + o]).collect()
        };
        let bias = if gemm { node.input_at(2).map(str::to_owned) } else { None };
        Ok(Some(Self { name: weight.name.clone(), inputs, outputs, rows, bias }))
    }
}
