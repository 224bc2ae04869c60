use super::*;
use crate::onnx::{float_tensor, integer_attribute, new_node, tensor};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_shape_proto::Dimension;
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
};

/// A number, or a symbol.
fn dims(text: &str) -> Vec<Dim> {
    let dim = |d: &str| match d.parse() {
        Ok(n) => Dim::Size(n),
        Err(_) if d == "?" => Dim::Unknown,
        // What a file says for it.
        Err(_) if d == "'?'" => Dim::Symbol("?".into()),
        Err(_) => Dim::Symbol(d.into()),
    };
    text.split_whitespace().map(dim).collect()
}

fn value(name: &str, shape: &str) -> ValueInfoProto {
    let dim = |d: Dim| Dimension {
        value: match d {
            Dim::Size(n) => Some(dimension::Value::DimValue(n)),
            Dim::Symbol(s) => Some(dimension::Value::DimParam(s)),
            Dim::Unknown => None,
        },
        ..Dimension::default()
    };
    let shape = Some(TensorShapeProto { dim: dims(shape).into_iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn int_tensor(name: &str, values: &[i64]) -> TensorProto {
    let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, DataType::Int64, &[values.len() as i64], data)
}

fn model(opset: i64, x: &str, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Graph {
    let output = nodes.last().and_then(|n| n.output.first()).cloned().unwrap_or_default();
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![value("x", x)],
        output: vec![ValueInfoProto { name: output, ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: opset };
    Graph::new(ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() })
        .unwrap()
}

fn node(op: &str, inputs: &str, output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let inputs = inputs.split_whitespace().map(str::to_owned).collect();
    NodeProto { attribute, ..new_node(op, inputs, output.into()) }
}

struct Case {
    x: &'static str,
    node: NodeProto,
    constants: Vec<TensorProto>,
    /// The result's shape, or part of what is wrong.
    expected: Result<&'static str, &'static str>,
}

fn case(
    x: &'static str,
    op: &str,
    attributes: Vec<AttributeProto>,
    constants: Vec<TensorProto>,
    expected: Result<&'static str, &'static str>,
) -> Case {
    let inputs: Vec<&str> = std::iter::once("x").chain(constants.iter().map(|c| c.name.as_str())).collect();
    Case { x, node: node(op, &inputs.join(" "), "y", attributes), constants, expected }
}

fn weights(dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>().max(0) as usize;
    float_tensor("w", dims, &vec![0.5; count])
}

#[test]
fn one_node_each() {
    let w = |dims: &[i64]| vec![weights(dims)];
    let text = |name: &str, s: &str| AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: s.as_bytes().to_vec(),
        ..AttributeProto::default()
    };
    let int = integer_attribute;
    let i = |values: &[i64]| vec![int_tensor("i", values)];
    let stride2 = || vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])];
    for Case { x, node, constants, expected } in [
        case("n 3 224 224", "Conv", stride2(), w(&[8, 3, 3, 3]), Ok("n 8 112 112")),
        case(
            "n 3 9 h",
            "Conv",
            vec![text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])],
            w(&[8, 3, 3, 3]),
            Ok("n 8 5 ?"),
        ),
        case("n 3 9 h", "Conv", vec![text("auto_pad", "SAME_LOWER")], w(&[8, 3, 3, 3]), Ok("n 8 9 h")),
        case("1 4 8 8", "Conv", vec![int("group", 2), ints("dilations", &[2, 2])], w(&[6, 2, 3, 3]), Ok("1 6 4 4")),
        case("1 4 8 8", "Conv", vec![], w(&[6, 3, 3, 3]), Err("4 input channels")),
        case("1 4 8 8", "Conv", vec![], w(&[6, 4, 9, 9]), Err("a window of 9")),
        case("1 4 8 8", "Conv", vec![ints("strides", &[0, 1])], w(&[6, 4, 3, 3]), Err("strides is [0, 1]")),
        case("1 4 8 8", "Conv", vec![ints("dilations", &[i64::MAX, 1])], w(&[6, 4, 3, 3]), Err("2^63")),
        case("1 4 8 8", "Conv", vec![int("group", 0)], w(&[6, 4, 3, 3]), Err("group is 0")),
        case("1 4 8 8", "Conv", vec![ints("kernel_shape", &[5, 5])], w(&[6, 4, 3, 3]), Err("kernel_shape")),
        case("1 0 8 8", "Conv", vec![], w(&[6, 0, 3, 3]), Ok("1 6 6 6")),
        case("1 4 8 8", "ConvTranspose", stride2(), w(&[4, 6, 3, 3]), Ok("1 6 15 15")),
        case(
            "1 4 8 8",
            "MaxPool",
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), int("ceil_mode", 1)],
            vec![],
            Ok("1 4 4 4"),
        ),
        case(
            "1 4 8 8",
            "AveragePool",
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])],
            vec![],
            Ok("1 4 3 3"),
        ),
        case("1 4 8 8", "MaxPool", vec![ints("kernel_shape", &[3])], vec![], Err("kernel_shape is [3]")),
        case("n 4 h w", "GlobalAveragePool", vec![], vec![], Ok("n 4 1 1")),
        case("n 4", "MatMul", vec![], w(&[4, 5]), Ok("n 5")),
        case("n 7 4", "MatMul", vec![], w(&[2, 1, 4, 5]), Ok("2 n 7 5")),
        case("4", "MatMul", vec![], w(&[4, 5]), Ok("5")),
        case("n 4", "MatMul", vec![], w(&[5, 4]), Err("no matrix product")),
        case("4 n", "Gemm", vec![int("transA", 1), int("transB", 1)], w(&[5, 4]), Ok("n 5")),
        case("n 4 5", "Add", vec![], w(&[4, 1]), Ok("n 4 5")),
        case("n 4", "Add", vec![], w(&[3, 1]), Ok("3 4")),
        case("n 4 5", "Add", vec![], w(&[3, 1]), Err("do not broadcast")),
        case("n 3 4", "Reshape", vec![], i(&[0, -1]), Ok("n 12")),
        case("n 3 4", "Reshape", vec![], i(&[-1, 12]), Ok("n 12")),
        case("n 3 4", "Reshape", vec![], i(&[-1, 6]), Ok("? 6")),
        case("2 3 4", "Reshape", vec![], i(&[5, -1]), Err("does not fit the target [5, -1]")),
        case("2 3 4", "Reshape", vec![], i(&[-1, -1]), Err("at most one -1")),
        case("9223372036854775807 2", "Reshape", vec![], i(&[-1]), Err("2^63")),
        case("n 3 4", "Flatten", vec![], vec![], Ok("n 12")),
        case("n 3 h", "Flatten", vec![int("axis", 0)], vec![], Ok("1 ?")),
        case("n 3 4", "Transpose", vec![ints("perm", &[2, 0, 1])], vec![], Ok("4 n 3")),
        case("n 3 4", "Transpose", vec![ints("perm", &[2, 0, 0])], vec![], Err("perm is [2, 0, 0]")),
        case("n 1 4", "Squeeze", vec![], i(&[1]), Ok("n 4")),
        case("n 3 4", "Squeeze", vec![], i(&[1]), Err("axis 1")),
        case("n 3", "Unsqueeze", vec![], i(&[-1, 0]), Ok("1 n 3 1")),
        case("n 3 4", "ReduceMean", vec![ints("axes", &[-1]), int("keepdims", 0)], vec![], Ok("n 3")),
        case("n 3 4", "ReduceSum", vec![], i(&[1]), Ok("n 1 4")),
        case("n 3 4", "ReduceMax", vec![], vec![], Ok("1 1 1")),
        case("n 3 4", "Expand", vec![], i(&[5, 1, 3, 1]), Ok("5 n 3 4")),
        case("n 3 4", "Tile", vec![], i(&[1, 2, 3]), Ok("n 6 12")),
        case("n 3 4", "Pad", vec![], i(&[0, 1, 0, 0, 1, -2]), Ok("n 5 2")),
        case("n 3 4", "Gather", vec![int("axis", 1)], i(&[0, 1]), Ok("n 2 4")),
        case("n 8 2 2", "DepthToSpace", vec![int("blocksize", 2)], vec![], Ok("n 2 4 4")),
        case("n 2 4 4", "SpaceToDepth", vec![int("blocksize", 2)], vec![], Ok("n 8 2 2")),
        case("n 3 4", "Softmax", vec![], vec![], Ok("n 3 4")),
        case("n 4 5", "BatchNormalization", vec![], w(&[5]), Err("one value for each channel")),
        case("n 3 4", "TopK", vec![], i(&[2]), Ok("n 3 2")),
        case("n 3 4", "TopK", vec![], i(&[-2]), Err("a dimension of -2")),
        case("1 1 9223372036854775807", "Conv", vec![], w(&[1, 1, 0]), Err("2^63")),
        case("n '?' '?'", "Transpose", vec![], vec![], Ok("? ? n")),
        case("n 3 4", "Nonsense", vec![], vec![], Ok("none")),
    ] {
        let label = format!("{} of [{x}]", node.op_type);
        let found = Shapes::infer(&model(17, x, vec![node], constants));
        match (found, expected) {
            (Ok(shapes), Ok("none")) => assert_eq!(shapes.get("y").unwrap().shape, None, "{label}"),
            (Ok(shapes), Ok(expected)) => assert_eq!(shapes.get("y").unwrap().shape, Some(dims(expected)), "{label}"),
            (Err(e), Err(part)) => {
                assert!(e.to_string().contains(part) && e.to_string().contains("\"y\""), "{label}: {e}");
            }
            (found, _) => panic!("{label}: {found:?}, expected {expected:?}"),
        }
    }
}

/// What exporters write for `x.view(x.size(0), -1)` and for an `expand`.
#[test]
fn calculations_with_shapes() {
    let nodes = vec![
        node("Shape", "x", "shape", vec![]),
        node("Gather", "shape zero", "batch", vec![]),
        node("Unsqueeze", "batch first", "batch1", vec![]),
        node("Concat", "batch1 rest", "target", vec![integer_attribute("axis", 0)]),
        node("Reshape", "x target", "flat", vec![]),
        node("Slice", "shape one three", "space", vec![]),
        node("Mul", "space two", "twice", vec![]),
        node("Concat", "batch1 twice", "wide", vec![integer_attribute("axis", 0)]),
        node("Equal", "wide minus", "open", vec![]),
        node("ConstantOfShape", "two", "ones", vec![]),
        node("Where", "open minus wide", "chosen", vec![]),
        node("ConstantOfShape", "chosen", "zeros", vec![]),
    ];
    let scalar = TensorProto { dims: vec![], ..int_tensor("zero", &[0]) };
    let constants = vec![
        scalar,
        int_tensor("first", &[0]),
        int_tensor("rest", &[-1]),
        int_tensor("one", &[1]),
        int_tensor("two", &[2]),
        int_tensor("three", &[3]),
        int_tensor("minus", &[-1]),
    ];
    let graph = model(17, "n 3 4", nodes, constants);
    let shapes = Shapes::infer(&graph).unwrap();
    assert_eq!(shapes.get("flat").unwrap().shape, Some(dims("n 12")));
    assert_eq!(shapes.get("zeros").unwrap().shape, Some(dims("n 6 8")));
    assert_eq!(shapes.element("shape"), Some(DataType::Int64));
    let one = Shapes::infer_batch(&graph, 1).unwrap();
    assert_eq!(one.sizes("flat"), Some(vec![1, 12]));
    assert_eq!(one.sizes("zeros"), Some(vec![1, 6, 8]));
}

#[test]
fn inputs_of_given_dimensions() {
    let graph = model(17, "n 3 h h", vec![node("Flatten", "x", "y", vec![])], vec![]);
    let given = |dims: &[i64]| Shapes::infer_inputs(&graph, &BTreeMap::from([("x".to_owned(), dims.to_vec())]));
    assert_eq!(given(&[2, 3, 4, 4]).unwrap().sizes("y"), Some(vec![2, 48]));
    for wrong in [&[2, 4, 4, 4][..], &[2, 3, 4]] {
        let error = given(wrong).unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains("[n, 3, h, h]"), "{error}");
    }
}

#[test]
fn macs_by_hand() {
    let nodes = vec![
        node("Conv", "x w", "c", vec![integer_attribute("group", 2)]),
        node("GlobalAveragePool", "c", "g", vec![]),
        node("Flatten", "g", "f", vec![]),
        node("Gemm", "f m", "y", vec![]),
    ];
    let constants = vec![weights(&[6, 2, 3, 3]), TensorProto { name: "m".into(), ..weights(&[6, 10]) }];
    let graph = model(17, "n 4 8 8", nodes, constants);
    let macs = |shapes| crate::onnx::macs(&graph, &shapes).unwrap();
    let one = macs(Shapes::infer_batch(&graph, 1).unwrap());
    assert_eq!(one.by_node, [Some(6 * 6 * 6 * 2 * 3 * 3), Some(0), Some(0), Some(60)]);
    assert_eq!((one.total, one.unknown), (3948, 0));
    let open = macs(Shapes::infer(&graph).unwrap());
    assert_eq!((open.total, open.unknown), (0, 2));
    let many = Shapes::infer_batch(&graph, 1 << 60).unwrap();
    assert!(crate::onnx::macs(&graph, &many).unwrap_err().to_string().contains("2^64"));
}

#[test]
fn weights_of_a_few_bits_multiply_as_often() {
    let nodes = vec![node("MatMul", "x w", "p", vec![]), node("Relu", "p", "y", vec![])];
    let graph = model(17, "n 7 64", nodes, vec![weights(&[64, 10])]);
    let (few, report) = crate::passes::weight_only(graph.clone(), 4, 32).unwrap();
    assert_eq!(report.quantized, 1);
    for graph in [graph, few] {
        let shapes = Shapes::infer_batch(&graph, 1).unwrap();
        let macs = crate::onnx::macs(&graph, &shapes).unwrap();
        assert_eq!((macs.total, macs.unknown, shapes.sizes("y")), (4480, 0, Some(vec![1, 7, 10])));
    }
}
