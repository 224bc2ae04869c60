//! Graphs made by hand, and how far int8 takes them from their float results.

use std::io::{Seek, Write};

use drydock_contract::{Preprocessing, Quantize, Target};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx::{self, Graph, float_tensor, integer_attribute, new_node};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::tensor_proto::DataType;
use drydock_optimizer::proto::tensor_shape_proto::{Dimension, dimension};
use drydock_optimizer::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};
use drydock_optimizer::technique::{self, Given};

use crate::common::{engine, int8};

const SHAPE: [i64; 4] = [-1, 4, 8, 8];

pub fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |d: &i64| Dimension {
        value: Some(match *d {
            -1 => dimension::Value::DimParam("n".into()),
            open @ ..0 => dimension::Value::DimParam(format!("d{}", -open)),
            known => dimension::Value::DimValue(known),
        }),
        ..Dimension::default()
    };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

pub fn node(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> NodeProto {
    let mut node = new_node(op, inputs.iter().map(|i| (*i).to_owned()).collect(), output.into());
    node.attribute = attributes
        .iter()
        .map(|(name, values)| match values {
            [one] => integer_attribute(name, *one),
            many => AttributeProto {
                name: (*name).into(),
                r#type: AttributeType::Ints as i32,
                ints: many.to_vec(),
                ..AttributeProto::default()
            },
        })
        .collect();
    node
}

/// Noise around zero, different for each name.
pub fn weight(name: &str, dims: &[i64]) -> TensorProto {
    let mut state = name.bytes().fold(7_u64, |a, b| a.wrapping_mul(31).wrapping_add(b.into()));
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let values: Vec<f32> = (0..dims.iter().product::<i64>()).map(next).collect();
    float_tensor(name, dims, &values)
}

pub fn model(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>, outputs: Vec<ValueInfoProto>) -> Graph {
    model_on(&SHAPE, opset, nodes, initializer, outputs)
}

/// Its input `x` has this shape.
pub fn model_on(
    shape: &[i64],
    opset: i64,
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    output: Vec<ValueInfoProto>,
) -> Graph {
    model_of(value("x", shape), opset, nodes, initializer, output)
}

pub fn model_of(
    input: ValueInfoProto,
    opset: i64,
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    output: Vec<ValueInfoProto>,
) -> Graph {
    let graph =
        GraphProto { name: "g".into(), node: nodes, initializer, input: vec![input], output, ..GraphProto::default() };
    let opset = OperatorSetIdProto { domain: String::new(), version: opset };
    Graph::new(ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() })
        .unwrap()
}

/// Into an npz file.
pub fn add_array<W: Write + Seek>(zip: &mut zip::ZipWriter<W>, name: &str, kind: &str, shape: &str, data: &[u8]) {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
    zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    zip.write_all(header.as_bytes()).unwrap();
    zip.write_all(data).unwrap();
}

/// 32 inputs of noise.
pub fn data() -> (tempfile::NamedTempFile, Vec<f32>) {
    let TensorProto { raw_data, .. } = weight("data", &[32, 4, 8, 8]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = zip::ZipWriter::new(file.as_file_mut());
    add_array(&mut zip, "x.npy", "<f4", "32, 4, 8, 8", &raw_data);
    zip.finish().unwrap();
    let values = raw_data.as_chunks::<4>().0.iter().map(|w| f32::from_le_bytes(*w)).collect();
    (file, values)
}

/// Largest error of any output, as a share of the largest float value, and the int8 graph.
pub fn error(graph: &Graph, options: Quantize) -> (f32, Graph) {
    error_on(None, graph, options)
}

pub fn error_on(target: Option<Target>, graph: &Graph, options: Quantize) -> (f32, Graph) {
    let (file, values) = data();
    let (inputs, outputs) = onnx::signature(graph).unwrap();
    let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
    let dataset = Dataset::open(file.path(), &inputs, &one).unwrap();
    let recipe = int8(options);
    let result = technique::apply(
        &engine(),
        graph.clone(),
        &recipe,
        &Given { calibration: Some(&dataset), target, ..Given::default() },
        &mut Progress::silent(),
    )
    .unwrap();
    let run = |model: &[u8]| {
        let mut found: Vec<Vec<f32>> = Vec::new();
        let names = outputs.iter().map(|o| o.name.as_str());
        let mut session = engine().open(model, 1).unwrap();
        session.run(&[32, 4, 8, 8], &values, names, |_, _, v| found.push(v.to_vec())).unwrap();
        found
    };
    let mut worst = 0.0_f32;
    for (float, quantized) in run(&graph.encode()).iter().zip(&run(&result)) {
        let largest = float.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let difference = float.iter().zip(quantized).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        worst = worst.max(difference / largest);
    }
    (worst, onnx::parse(result.into()).unwrap())
}

/// Every operator that is quantized, a shared weight, a weight behind `Identity`, two outputs of which one is read on.
pub fn everything(opset: i64) -> Graph {
    let pool: &[(&str, &[i64])] = &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])];
    let pad: &[(&str, &[i64])] = &[("pads", &[1, 1, 1, 1])];
    let nodes = vec![
        node("Conv", &["x", "w1", "b1"], "c1", pad),
        node("Relu", &["c1"], "r1", &[]),
        node("Identity", &["w1"], "w1_again", &[]),
        node("Conv", &["r1", "w1_again"], "c2", pad),
        node("Sigmoid", &["c2"], "s2", &[]),
        node("Mul", &["c2", "s2"], "m2", &[]),
        node("Conv", &["m2", "w1", "b1"], "c3", pad),
        node("Clip", &["c3", "low", "high"], "k3", &[]),
        node("Add", &["k3", "m2"], "a3", &[]),
        node("Mul", &["a3", "half"], "h3", &[]),
        node("MaxPool", &["h3"], "p3", pool),
        node("AveragePool", &["h3"], "v3", pool),
        node("Concat", &["p3", "v3"], "q3", &[("axis", &[1])]),
        node("Conv", &["q3", "w4"], "y1", &[("group", &[2])]),
        node("Softplus", &["y1"], "f4", &[]),
        node("Conv", &["f4", "w5", "b5"], "c5", &[]),
        node("GlobalAveragePool", &["c5"], "g5", &[]),
        node("Flatten", &["g5"], "t5", &[]),
        node("Gemm", &["t5", "w6", "b6"], "e6", &[]),
        node("Relu", &["e6"], "r6", &[]),
        node("MatMul", &["r6", "w7"], "m7", &[]),
        node("Gemm", &["m7", "w8", "b8"], "y2", &[("transB", &[1])]),
    ];
    let initializers = vec![
        weight("w1", &[4, 4, 3, 3]),
        weight("b1", &[4]),
        float_tensor("low", &[], &[-0.25]),
        float_tensor("high", &[], &[0.5]),
        float_tensor("half", &[], &[0.5]),
        weight("w4", &[6, 4, 1, 1]),
        weight("w5", &[8, 6, 1, 1]),
        weight("b5", &[8]),
        weight("w6", &[8, 16]),
        weight("b6", &[1, 16]),
        weight("w7", &[16, 16]),
        weight("w8", &[5, 16]),
        float_tensor("b8", &[1], &[0.25]),
    ];
    let outputs = vec![value("y1", &[-1, 6, 4, 4]), value("y2", &[-1, 5])];
    model(opset, nodes, initializers, outputs)
}
