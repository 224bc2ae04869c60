use std::collections::BTreeMap;

use super::matmul::Product;
use super::names::Names;
use crate::onnx::{Graph, ModelError, float_tensor, integer_attribute, new_node, tensor};
use crate::proto::tensor_proto::DataType;

/// What [`weight_only`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightOnlyReport {
    pub quantized: usize,
}

/// Writes `MatMul` and `Gemm` by constants as `com.microsoft.MatMulNBits`: weights in blocks of `block` along the inputs,
/// each with a scale, `bits` 4 or 8; activations stay float32.
/// <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits>
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn weight_only(mut graph: Graph, bits: u32, block: usize) -> Result<(Graph, WeightOnlyReport), ModelError> {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut report = WeightOnlyReport::default();
    let mut nodes = Vec::with_capacity(graph.nodes().len());
    let mut initializers = Vec::new();
    let mut stored: BTreeMap<(String, bool), [String; 2]> = BTreeMap::new();
    for node in graph.nodes() {
        let Some(product) = Product::read(&graph, &index, node)? else {
            nodes.push(node.clone());
            continue;
        };
        let Product { name, inputs, outputs, rows, bias } = product;
        let key = (name.clone(), node.is("Gemm"));
        let [codes, scales] = stored.entry(key).or_insert_with(|| {
            let (codes, scales) = encode(&rows, inputs, bits, block);
            let blocks = inputs.div_ceil(block);
            let dims = [outputs as i64, blocks as i64, (block * bits as usize / 8) as i64];
            let made = [names.make(&name, ".codes"), names.make(&name, ".scales")];
            initializers.push(tensor(&made[0], DataType::Uint8, &dims, codes));
            initializers.push(float_tensor(&made[1], &[scales.len() as i64], &scales));
            made
        });
        let result = node.output[0].clone();
        let product = if bias.is_some() { names.make(&result, ".product") } else { result.clone() };
        let read = vec![node.input[0].clone(), codes.clone(), scales.clone()];
        let mut written = new_node("MatMulNBits", read, product.clone());
        written.domain = "com.microsoft".into();
        for (attribute, value) in
            [("K", inputs as i64), ("N", outputs as i64), ("bits", bits.into()), ("block_size", block as i64)]
        {
            written.attribute.push(integer_attribute(attribute, value));
        }
        nodes.push(written);
        if let Some(bias) = bias {
            nodes.push(new_node("Add", vec![product, bias], result));
        }
        report.quantized += 1;
    }
    graph.body.node = nodes;
    graph.body.initializer.append(&mut initializers);
    if report.quantized > 0 {
        graph.import("com.microsoft", 1);
    }
    graph.prune();
    Ok((graph, report))
}

/// Codes around the middle one, packed low bits first, each row padded to whole blocks; one scale for each block.
fn encode(rows: &[f32], inputs: usize, bits: u32, block: usize) -> (Vec<u8>, Vec<f32>) {
    let middle = 1_i32 << (bits - 1);
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for part in rows.chunks(inputs).flat_map(|row| row.chunks(block)) {
        // The value of largest magnitude takes the lowest code, of which there is one more than of positive ones.
        let extreme = part.iter().fold(0.0_f32, |m, v| if v.abs() > m.abs() { *v } else { m });
        let scale = extreme / -(middle as f32);
        let scale = if scale.abs() < f32::MIN_POSITIVE { 1.0 } else { scale };
        scales.push(scale);
        let code = |v: &f32| ((v / scale).round_ties_even() as i32 + middle).clamp(0, 2 * middle - 1) as u8;
        let mut block_codes: Vec<u8> = part.iter().map(code).collect();
        block_codes.resize(block, middle as u8);
        if bits == 4 {
            codes.extend(block_codes.chunks(2).map(|pair| pair[0] | pair[1] << 4));
        } else {
            codes.append(&mut block_codes);
        }
    }
    (codes, scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        // Two rows of three in blocks of two: the last block of each row is half padding.
        let rows = [-8.0, 7.0, 4.0, 0.0, 0.0, 1e-44];
        let (codes, scales) = encode(&rows, 3, 4, 2);
        assert_eq!(scales, [1.0, -0.5, 1.0, 1.0]);
        assert_eq!(codes, [0xF0, 0x80, 0x88, 0x88]);
        let (codes, scales) = encode(&[-128.0, 127.0, 64.0], 3, 8, 2);
        assert_eq!(scales, [1.0, -0.5]);
        assert_eq!(codes, [0, 255, 0, 128]);
    }
}
