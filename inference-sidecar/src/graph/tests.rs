use std::io::Cursor;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::*;

fn field(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn number(tag: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(tag, WireType::Varint, &mut bytes);
    encode_varint(value, &mut bytes);
    bytes
}

fn node(op_type: &str, input: &[&str], output: &str) -> Vec<u8> {
    let input = input.iter().map(|&name| name.to_owned()).collect();
    let node = Node { input, output: vec![output.into()], op_type: op_type.into(), attribute: vec![] };
    field(1, &node.encode_to_vec())
}

fn initializer(name: &str, data_type: u64) -> Vec<u8> {
    // dims, data_type, raw_data of a size that is skipped, name
    let raw = vec![0x80; 100_000];
    field(5, &[number(1, 100_000), number(2, data_type), field(9, &raw), field(8, name.as_bytes())].concat())
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), field(7, &graph.concat()), field(8, &number(2, 17))].concat()
}

fn slow(graph: &[Vec<u8>]) -> Option<Slow> {
    Graph::read(Cursor::new(model(graph))).unwrap().slow()
}

#[test]
fn slow_forms_are_told_from_fast_ones() {
    let qdq = |zero_point: u64| {
        slow(&[
            node("QuantizeLinear", &["x", "s", "z"], "q"),
            node("DequantizeLinear", &["q", "s", "z"], "d"),
            node("DequantizeLinear", &["w", "s", "wz"], "dw"),
            node("Conv", &["d", "dw"], "y"),
            initializer("z", zero_point),
            initializer("w", 3),
            initializer("wz", 3),
        ])
    };
    assert_eq!((qdq(2), qdq(3)), (None, Some(Slow::QdqS8S8)));
    let inputs = ["x", "s", "z", "w", "s", "wz", "s", "z"];
    let operator =
        |zero_point| slow(&[node("QLinearConv", &inputs, "y"), initializer("z", zero_point), initializer("wz", 3)]);
    assert_eq!((operator(2), operator(3)), (None, Some(Slow::QOperatorS8S8)));
    assert_eq!(slow(&[node("ConvInteger", &["x", "w"], "y")]), Some(Slow::DynamicConvolution));
    assert_eq!(slow(&[node("MatMulInteger", &["x", "w"], "y"), node("Conv", &["x", "w"], "y")]), None);
    // Without a zero point the default is uint8.
    let without = [
        node("QuantizeLinear", &["x", "s"], "q"),
        node("DequantizeLinear", &["q", "s"], "d"),
        node("Gemm", &["d"], "y"),
    ];
    assert_eq!(slow(&without), None);
}

#[test]
fn types_are_found_in_attributes_and_constants_too() {
    let attribute = |name: &str, i, t| Attribute { name: name.into(), i, t };
    let with = |op_type: &str, output: &str, attribute| {
        let node = Node {
            input: vec!["x".into(), "s".into()],
            output: vec![output.into()],
            op_type: op_type.into(),
            attribute: vec![attribute],
        };
        field(1, &node.encode_to_vec())
    };
    let rest = [node("DequantizeLinear", &["q", "s"], "d"), node("MatMul", &["d", "w"], "y")].concat();
    assert_eq!(
        slow(&[with("QuantizeLinear", "q", attribute("output_dtype", 3, None)), rest.clone()]),
        Some(Slow::QdqS8S8)
    );
    let constant = with("Constant", "z", attribute("value", 0, Some(Constant { data_type: 3 })));
    assert_eq!(slow(&[node("QuantizeLinear", &["x", "s", "z"], "q"), constant, rest]), Some(Slow::QdqS8S8));
}

#[test]
fn data_in_another_file_is_seen() {
    let outside = field(5, &[number(2, 1), field(8, b"w"), number(14, 1)].concat());
    assert_eq!(
        Graph::read(Cursor::new(model(&[initializer("v", 1), outside]))).unwrap().external.as_deref(),
        Some("w")
    );
    assert_eq!(Graph::read(Cursor::new(model(&[initializer("v", 1)]))).unwrap().external, None);
}

#[test]
fn what_is_no_model_is_an_error_and_takes_no_memory() {
    let whole = model(&[node("Conv", &["x", "w"], "y"), initializer("w", 1)]);
    for cut in 1..whole.len().min(200) {
        let _ = Graph::read(Cursor::new(&whole[..cut]));
    }
    assert!(Graph::read(Cursor::new(&whole[..whole.len() - 1])).is_err());
    for bytes in [&b"no model"[..], &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0xff; 64]] {
        assert!(Graph::read(Cursor::new(bytes)).is_err(), "{bytes:?}");
    }
    assert!(Graph::read(Cursor::new(b"")).unwrap().nodes.is_empty());
}
