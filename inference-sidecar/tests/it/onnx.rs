//! ONNX models of a few bytes, written as protobuf by hand: what they need of the format is ten fields.

use drydock_contract::{Datatype, TensorSignature};
use prost::encoding::{WireType, encode_key, encode_varint};

/// Datatypes and their numbers in ONNX's `TensorProto.DataType`.
pub(crate) const DATATYPES: [(Datatype, u64); 14] = [
    (Datatype::Bool, 9),
    (Datatype::Uint8, 2),
    (Datatype::Uint16, 4),
    (Datatype::Uint32, 12),
    (Datatype::Uint64, 13),
    (Datatype::Int8, 3),
    (Datatype::Int16, 5),
    (Datatype::Int32, 6),
    (Datatype::Int64, 7),
    (Datatype::Fp16, 10),
    (Datatype::Bf16, 16),
    (Datatype::Fp32, 1),
    (Datatype::Fp64, 11),
    (Datatype::Bytes, 8),
];

fn number(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::Varint, &mut bytes);
    encode_varint(value, &mut bytes);
    bytes
}

fn data(field: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

fn text(field: u32, value: &str) -> Vec<u8> {
    data(field, value.as_bytes())
}

/// `ValueInfoProto` of a tensor of shape `[n, 2]`.
fn value_info(name: &str, element: u64) -> Vec<u8> {
    let shape = [data(1, &text(2, "n")), data(1, &number(1, 2))].concat();
    let tensor = [number(1, element), data(2, &shape)].concat();
    [text(1, name), data(2, &data(1, &tensor))].concat()
}

/// `x` [n, side] to `y` of the same shape, in FP32, by these nodes and initializers.
fn floats(side: usize, graph: &[Vec<u8>]) -> (Vec<u8>, TensorSignature, TensorSignature) {
    let info = |name: &str| {
        let shape = [data(1, &text(2, "n")), data(1, &number(1, side as u64))].concat();
        [text(1, name), data(2, &data(1, &[number(1, 1), data(2, &shape)].concat()))].concat()
    };
    let graph = [graph, &[text(2, "graph"), data(11, &info("x")), data(12, &info("y"))]].concat().concat();
    let signature =
        |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Fp32, shape: vec![-1, side as i64] };
    ([number(1, 8), data(8, &number(2, 17)), data(7, &graph)].concat(), signature("x"), signature("y"))
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|x| text(1, x)).collect();
    data(1, &[inputs, text(2, output), text(4, operator)].concat())
}

/// `content`: the fields that hold the data.
fn initializer(name: &str, element: u64, shape: &[usize], content: &[u8]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|d| number(1, *d as u64)).collect();
    data(5, &[&shape, &number(2, element), &text(8, name), content].concat())
}

/// A product with a square matrix that has `value` everywhere. Its weights are 4 side² bytes.
pub(crate) fn matrix(side: usize, value: f32) -> (Vec<u8>, TensorSignature, TensorSignature) {
    let raw = value.to_le_bytes().repeat(side * side);
    floats(side, &[node("MatMul", &["x", "w"], "y"), initializer("w", 1, &[side, side], &data(9, &raw))])
}

/// A product whose matrix is in another file.
pub(crate) fn outside(file: &str) -> (Vec<u8>, TensorSignature, TensorSignature) {
    let location = data(13, &[text(1, "location"), text(2, file)].concat());
    let content = [location, number(14, 1)].concat();
    floats(2, &[node("MatMul", &["x", "w"], "y"), initializer("w", 1, &[2, 2], &content)])
}

/// A product of what was quantized with a zero point of int8, or of uint8.
pub(crate) fn quantized(int8: bool) -> (Vec<u8>, TensorSignature, TensorSignature) {
    let ones = 1_f32.to_le_bytes();
    floats(
        2,
        &[
            node("QuantizeLinear", &["x", "s", "z"], "q"),
            node("DequantizeLinear", &["q", "s", "z"], "d"),
            node("MatMul", &["d", "w"], "y"),
            initializer("s", 1, &[], &data(9, &ones)),
            initializer("z", if int8 { 3 } else { 2 }, &[], &data(9, &[0])),
            initializer("w", 1, &[2, 2], &data(9, &ones.repeat(4))),
        ],
    )
}

/// A model that gives back what it is given, in every datatype: `x_FP32` becomes `y_FP32`, and so on.
pub(crate) fn identities(datatypes: &[Datatype]) -> (Vec<u8>, Vec<TensorSignature>, Vec<TensorSignature>) {
    let (mut graph, mut inputs, mut outputs) = (text(2, "identities"), Vec::new(), Vec::new());
    for datatype in datatypes {
        let element = DATATYPES.iter().find(|(d, _)| d == datatype).unwrap().1;
        let (x, y) = (format!("x_{datatype}"), format!("y_{datatype}"));
        graph.extend(data(1, &[text(1, &x), text(2, &y), text(4, "Identity")].concat()));
        graph.extend(data(11, &value_info(&x, element)));
        graph.extend(data(12, &value_info(&y, element)));
        let signature = |name| TensorSignature { name, datatype: *datatype, shape: vec![-1, 2] };
        inputs.push(signature(x));
        outputs.push(signature(y));
    }
    let opset = number(2, 17);
    ([number(1, 8), data(8, &opset), data(7, &graph)].concat(), inputs, outputs)
}
