use std::collections::BTreeMap;

use super::matmul::Product;
use super::names::Names;
use super::quantize::Scheme;
use super::quantize::weights::{self, Codes, Layout};
use crate::onnx::{Graph, ModelError, float_tensor, integer_attribute, tensor};
use crate::proto::NodeProto;
use crate::proto::tensor_proto::DataType;

/// What [`dynamic`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicReport {
    pub quantized: usize,
}

/// Writes `MatMul` and `Gemm` by constants as `MatMulInteger` of the input, quantized to U8 over the range that it has in
/// each run, and S8 weights with a scale for each output; ONNX Runtime fuses the five nodes into `DynamicQuantizeMatMul`.
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn dynamic(mut graph: Graph, scheme: Scheme) -> Result<(Graph, DynamicReport), ModelError> {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut report = DynamicReport::default();
    let mut nodes = Vec::with_capacity(graph.nodes().len());
    let mut initializers = Vec::new();
    // An input that several products read is quantized once.
    let mut quantized: BTreeMap<String, [String; 3]> = BTreeMap::new();
    let mut stored: BTreeMap<(String, bool), [String; 3]> = BTreeMap::new();
    for node in graph.nodes() {
        let Some(Product { name, inputs, outputs, rows, bias }) = Product::read(&graph, &index, node)? else {
            nodes.push(node.clone());
            continue;
        };
        let key = (name.clone(), node.is("Gemm"));
        let [codes, scale, zero] = stored
            .entry(key)
            .or_insert_with(|| {
                let made = ["codes", "scale", "zero_point"].map(|part| names.make(&name, &format!(".{part}")));
                let (codes, scales) = encode(&rows, inputs, scheme);
                let dims: &[i64] = if scheme.per_channel { &[outputs as i64] } else { &[] };
                initializers.push(tensor(&made[0], DataType::Int8, &[inputs as i64, outputs as i64], codes));
                initializers.push(float_tensor(&made[1], dims, &scales));
                initializers.push(tensor(&made[2], DataType::Int8, dims, vec![0; scales.len()]));
                made
            })
            .clone();
        let input = node.input[0].clone();
        let [x, x_scale, x_zero] = quantized
            .entry(input.clone())
            .or_insert_with(|| {
                let made = ["codes", "scale", "zero_point"].map(|part| names.make(&input, &format!(".{part}")));
                nodes.push(node_of("DynamicQuantizeLinear", &[&input], &made.each_ref().map(String::as_str)));
                made
            })
            .clone();
        let result = node.output[0].clone();
        let [sum, float, factor] = ["sum", "float", "factor"].map(|part| names.make(&result, &format!(".{part}")));
        let product = if bias.is_some() { names.make(&result, ".product") } else { result.clone() };
        nodes.push(node_of("MatMulInteger", &[&x, &codes, &x_zero, &zero], &[&sum]));
        let mut cast = node_of("Cast", &[&sum], &[&float]);
        cast.attribute.push(integer_attribute("to", i64::from(DataType::Float as i32)));
        nodes.push(cast);
        nodes.push(node_of("Mul", &[&x_scale, &scale], &[&factor]));
        nodes.push(node_of("Mul", &[&float, &factor], &[&product]));
        if let Some(bias) = bias {
            nodes.push(node_of("Add", &[&product, &bias], &[&result]));
        }
        report.quantized += 1;
    }
    graph.body.node = nodes;
    graph.body.initializer.append(&mut initializers);
    graph.prune();
    Ok((graph, report))
}

fn node_of(op_type: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    NodeProto { op_type: op_type.into(), input: names(input), output: names(output), ..NodeProto::default() }
}

/// Symmetric codes, input by input, and their scales.
fn encode(rows: &[f32], inputs: usize, scheme: Scheme) -> (Vec<u8>, Vec<f32>) {
    let outputs = rows.len() / inputs;
    let layout = Layout::rows(outputs, inputs);
    let limits = scheme.limits(false);
    let scales = weights::scales(rows, layout, scheme.per_channel, limits);
    let Codes { codes, scales } = weights::encode(rows, layout, scales, limits);
    let order = (0..inputs).flat_map(|i| (0..outputs).map(move |o| o * inputs + i));
    (order.map(|at| codes[at].cast_unsigned()).collect(), scales)
}

#[cfg(test)]
mod tests {
    use drydock_contract::Target;

    use super::*;

    #[test]
    fn codes_are_input_by_input() {
        let scheme = Scheme::new(true, Target::CpuVnni);
        let rows = [127.0, -1.0, 0.0, 0.0, 2.0, 254.0];
        let (codes, scales) = encode(&rows, 3, scheme);
        assert_eq!(scales, [1.0, 2.0]);
        assert_eq!(codes.iter().map(|c| c.cast_signed()).collect::<Vec<_>>(), [127, 0, -1, 1, 0, 127]);
        assert_eq!(encode(&[0.0; 4], 2, scheme).1, [1.0, 1.0]);
        let (codes, _) = encode(&[127.0, 126.0, 0.0], 3, Scheme::new(true, Target::CpuAvx2));
        assert_eq!(codes, [64, 64, 0]);
        assert_eq!(encode(&rows, 3, Scheme::new(false, Target::CpuVnni)).1, [2.0]);
    }
}
