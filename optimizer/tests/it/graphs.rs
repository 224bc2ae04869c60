//! Graphs that the example models do not have: each must run in int8 and stay near its float result.

use std::collections::BTreeSet;
use std::io::Write as _;

use drydock_contract::{Calibration, Format, Preprocessing, Quantize, Rounding, Target};
use drydock_optimizer::benchmark::machine;
use drydock_optimizer::calibrate::Source;
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx::{self, Graph, float_tensor, integer_attribute, new_node};
use drydock_optimizer::passes;
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
        value: Some(if *d < 0 { dimension::Value::DimParam("n".into()) } else { dimension::Value::DimValue(*d) }),
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
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer,
        input: vec![value("x", &SHAPE)],
        output: outputs,
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: opset };
    Graph::new(ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() })
        .unwrap()
}

/// 32 inputs of noise.
pub fn data() -> (tempfile::NamedTempFile, Vec<f32>) {
    let TensorProto { raw_data, .. } = weight("data", &[32, 4, 8, 8]);
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (32, 4, 8, 8), }";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = zip::ZipWriter::new(file.as_file_mut());
    zip.start_file("x.npy", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
    zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    zip.write_all(header.as_bytes()).unwrap();
    zip.write_all(&raw_data).unwrap();
    zip.finish().unwrap();
    let values = raw_data.as_chunks::<4>().0.iter().map(|w| f32::from_le_bytes(*w)).collect();
    (file, values)
}

/// Largest error of any output, as a share of the largest float value, and the int8 graph.
fn error(graph: &Graph, options: Quantize) -> (f32, Graph) {
    error_on(None, graph, options)
}

fn error_on(target: Option<Target>, graph: &Graph, options: Quantize) -> (f32, Graph) {
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
fn everything(opset: i64) -> Graph {
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

#[test]
fn every_operator_at_every_opset() {
    for opset in [13, 17, 19, 21, 23] {
        for per_channel in [true, false] {
            let (error, graph) = error(&everything(opset), Quantize { per_channel, ..Quantize::default() });
            assert!(error < 0.06, "opset {opset}, per channel {per_channel}: {error}");
            let left: Vec<&str> = graph.nodes().iter().map(|n| n.op_type.as_str()).collect();
            assert_eq!(left.iter().filter(|op| **op == "Relu" || **op == "Clip").count(), 0, "absorbed: {left:?}");
            let float_weights = graph.initializers().iter().filter(|t| onnx::is_float(t) && t.dims.len() > 1).count();
            assert_eq!(float_weights, 0, "opset {opset}: weights left in float");
        }
    }
}

#[test]
fn every_format_and_option_on_every_operator() {
    let operators = |graph: &Graph, op: &str| graph.nodes().iter().filter(|n| n.op_type == op).count();
    for (options, most, op) in [
        (Quantize { equalize: false, bias_correction: false, ..Quantize::default() }, 0.06, "QuantizeLinear"),
        (Quantize { rounding: Rounding::Adaptive, ..Quantize::default() }, 0.06, "QuantizeLinear"),
        (Quantize { calibration: Calibration::Mse, ..Quantize::default() }, 0.1, "QuantizeLinear"),
        (Quantize { calibration: Calibration::Entropy, ..Quantize::default() }, 0.5, "QuantizeLinear"),
        (Quantize { images: 1, ..Quantize::default() }, 0.5, "QuantizeLinear"),
        (Quantize { format: Format::DynamicInt8, ..Quantize::default() }, 0.03, "MatMulInteger"),
        (Quantize { format: Format::DynamicInt8, per_channel: false, ..Quantize::default() }, 0.03, "MatMulInteger"),
        (Quantize { format: Format::WeightInt8, ..Quantize::default() }, 0.01, "MatMulNBits"),
        (Quantize { format: Format::WeightInt4, block_size: 16, ..Quantize::default() }, 0.15, "MatMulNBits"),
        (Quantize { format: Format::Float16, ..Quantize::default() }, 0.001, "Cast"),
        (Quantize { format: Format::BFloat16, ..Quantize::default() }, 0.01, "Cast"),
    ] {
        let (error, graph) = error(&everything(17), options.clone());
        assert!(error <= most, "{options:?}: {error}");
        assert!(operators(&graph, op) > 0, "{options:?}: no {op}");
    }
}

#[test]
fn each_target_gets_its_form() {
    let count = |graph: &Graph, op: &str| graph.nodes().iter().filter(|n| n.op_type == op).count();
    let of = |graph: &Graph, kind: DataType| -> Vec<u8> {
        let found = graph.initializers().iter().filter(|t| t.data_type == kind as i32);
        found.flat_map(|t| t.raw_data.to_vec()).collect()
    };
    let widest = |graph: &Graph| of(graph, DataType::Int8).iter().map(|c| c.cast_signed().unsigned_abs()).max();
    for rounding in [Rounding::Nearest, Rounding::Adaptive] {
        let options = || Quantize { rounding, ..Quantize::default() };
        let plain = error_on(Some(Target::CpuVnni), &everything(17), options()).1;
        for target in [Target::Arm64, Target::Intel] {
            let same = error_on(Some(target), &everything(17), options()).1;
            assert!(same.encode() == plain.encode(), "{target}");
        }
        let own = Target::of(&machine());
        let unnamed = error(&everything(17), options()).1;
        assert!(unnamed.encode() == error_on(Some(own), &everything(17), options()).1.encode(), "{own}");
        assert_eq!(widest(&plain), Some(127));

        let (error, narrow) = error_on(Some(Target::CpuAvx2), &everything(17), options());
        assert!(error < 0.08, "{error}");
        assert_eq!(widest(&narrow), Some(63));

        let (error, symmetric) = error_on(Some(Target::Nvidia), &everything(17), options());
        // Where sums saturate, those of 8-bit weights do, and the biases are right for hardware where they do not: 0.30 was seen.
        assert!(error < 0.4, "{error}");
        assert!(of(&symmetric, DataType::Uint8).is_empty() && of(&symmetric, DataType::Int32).is_empty());
        let zero_points = symmetric.initializers().iter().filter(|t| t.name.contains(".zero_point"));
        assert!(zero_points.flat_map(|t| t.raw_data.to_vec()).all(|b| b == 0));
        assert_eq!((count(&symmetric, "Relu"), count(&symmetric, "Clip")), (2, 1), "a signed range does not cut at 0");
    }
}

/// Through `Relu`, `Clip(0, 6)`, a pool, a sum and a depthwise layer; what is seen from outside keeps its scale.
#[test]
fn equalized_graphs_compute_the_same() {
    let pad: &[(&str, &[i64])] = &[("pads", &[1, 1, 1, 1])];
    let depthwise: &[(&str, &[i64])] = &[("pads", &[1, 1, 1, 1]), ("group", &[4])];
    let nodes = vec![
        node("Conv", &["x", "w1", "b1"], "c1", pad),
        node("Clip", &["c1", "zero", "six"], "k1", &[]),
        node("Conv", &["k1", "w2"], "c2", depthwise),
        node("Relu", &["c2"], "r2", &[]),
        node("Conv", &["r2", "w3", "b3"], "c3", pad),
        node("Add", &["c3", "k1"], "a3", &[]),
        node("MaxPool", &["a3"], "p3", &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]),
        node("Conv", &["p3", "w4"], "y", pad),
        node("GlobalAveragePool", &["p3"], "g", &[]),
        node("Flatten", &["g"], "f", &[]),
        node("Gemm", &["f", "w5", "b5"], "z", &[]),
    ];
    let mut uneven = onnx::floats(&weight("w1", &[4, 4, 3, 3])).unwrap();
    uneven.iter_mut().enumerate().for_each(|(i, v)| *v *= [1.0, 0.1, 3.0, 0.0][i / 36]);
    let initializers = vec![
        float_tensor("w1", &[4, 4, 3, 3], &uneven),
        weight("b1", &[4]),
        float_tensor("zero", &[], &[0.0]),
        float_tensor("six", &[], &[6.0]),
        weight("w2", &[4, 1, 3, 3]),
        weight("w3", &[4, 4, 3, 3]),
        weight("b3", &[4]),
        weight("w4", &[3, 4, 3, 3]),
        weight("w5", &[4, 2]),
        float_tensor("b5", &[1], &[0.25]),
    ];
    let outputs = vec![value("y", &[-1, 3, 4, 4]), value("z", &[-1, 2])];
    let graph = model(17, nodes, initializers, outputs);
    let (file, values) = data();
    let (inputs, outputs) = onnx::signature(&graph).unwrap();
    let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
    let dataset = Dataset::open(file.path(), &inputs, &one).unwrap();
    let selection = passes::select(&graph, &BTreeSet::new()).unwrap();
    let source = Source { engine: &engine(), data: &dataset, images: 0 };
    let extents = source.extents(&graph, &selection, &mut Progress::silent()).unwrap();
    let (equalized, scaled, report) = passes::equalize(graph.clone(), &selection, extents.clone()).unwrap();
    assert_eq!((report.groups, report.layers), (2, 5));
    let run = |graph: &Graph| {
        let mut found: Vec<f32> = Vec::new();
        let names = outputs.iter().map(|o| o.name.as_str());
        let mut session = engine().open(&graph.encode(), 1).unwrap();
        session.run(&[32, 4, 8, 8], &values, names, |_, _, v| found.extend_from_slice(v)).unwrap();
        found
    };
    let (float, same) = (run(&graph), run(&equalized));
    let furthest = float.iter().zip(&same).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(furthest < 1e-4, "{furthest}");
    // What was foretold of the extents is what is there, and no channel passes the limit.
    let selection = passes::select(&equalized, &BTreeSet::new()).unwrap();
    let seen = source.extents(&equalized, &selection, &mut Progress::silent()).unwrap();
    for (name, extent) in &seen {
        for (seen, foretold) in extent.channels.iter().zip(&scaled[name].channels) {
            assert!((seen.0 - foretold.0).abs() < 1e-3 && (seen.1 - foretold.1).abs() < 1e-3, "{name}");
        }
    }
    let grew = |name: &str| {
        let pairs = extents[name].channels.iter().zip(&seen[name].channels);
        pairs.fold(1.0_f32, |m, (before, after)| if before.1 > 0.0 { m.max(after.1 / before.1) } else { m })
    };
    assert!(grew("k1") > 1.02 && grew("r2") > 1.1, "{} {}", grew("k1"), grew("r2"));
    assert!(seen["k1"].range().1 <= 6.0);
}

/// What a subgraph reads by name must still be there.
#[test]
fn a_value_that_a_subgraph_reads_keeps_its_name() {
    let branch = |op: &str, output: &str| AttributeProto {
        r#type: AttributeType::Graph as i32,
        g: Some(GraphProto {
            name: output.into(),
            node: vec![node(op, &["c"], output, &[])],
            output: vec![value(output, &[-1, 4, 6, 6])],
            ..GraphProto::default()
        }),
        ..AttributeProto::default()
    };
    let mut condition = node("If", &["yes"], "y", &[]);
    condition.attribute = vec![
        AttributeProto { name: "then_branch".into(), ..branch("Tanh", "t") },
        AttributeProto { name: "else_branch".into(), ..branch("Neg", "e") },
    ];
    let nodes = vec![node("Conv", &["x", "w"], "c", &[]), node("Relu", &["c"], "r", &[]), condition];
    let initializers = vec![weight("w", &[4, 4, 3, 3]), onnx::tensor("yes", DataType::Bool, &[], vec![1])];
    let outputs = vec![value("r", &[-1, 4, 6, 6]), value("y", &[-1, 4, 6, 6])];
    let (error, graph) = error(&model(17, nodes, initializers, outputs), Quantize::default());
    assert!(error < 0.03, "{error}");
    assert!(graph.nodes().iter().any(|n| n.op_type == "Relu"), "seen by a subgraph, so not absorbed");
}

/// Two convolutions with something between them.
fn between(op: &str, zeros: usize) -> Graph {
    let mut first = onnx::floats(&weight("w1", &[4, 4, 1, 1])).unwrap();
    first.iter_mut().take(zeros).for_each(|w| *w = 0.0);
    let nodes =
        vec![node("Conv", &["x", "w1"], "c1", &[]), node(op, &["c1"], "b", &[]), node("Conv", &["b", "w2"], "y", &[])];
    let initializers = vec![float_tensor("w1", &[4, 4, 1, 1], &first), weight("w2", &[2, 4, 1, 1])];
    model(17, nodes, initializers, vec![value("y", &[-1, 2, 8, 8])])
}

fn every_way() -> Vec<Quantize> {
    let mut ways = Vec::new();
    for calibration in [Calibration::MinMax, Calibration::Percentile, Calibration::Entropy, Calibration::Mse] {
        for rounding in [Rounding::Nearest, Rounding::Adaptive] {
            ways.push(Quantize { calibration, rounding, min_sqnr: 1.0, ..Quantize::default() });
        }
    }
    ways
}

#[test]
fn dead_channels_and_constant_activations() {
    for options in every_way() {
        // One channel of zeros, then nothing but zeros.
        let (one, _) = error(&between("Relu", 4), options.clone());
        assert!(one < 0.5, "{options:?}: {one}");
        let (all, _) = error(&between("Softplus", 16), options.clone());
        assert!(all < 0.05, "{options:?}: {all}");
    }
}

#[test]
fn what_cannot_be_quantized_says_why() {
    let (file, _) = data();
    let refused_on = |target: Option<Target>, graph: Graph, options: Quantize| {
        let (inputs, _) = onnx::signature(&graph).unwrap();
        let one = Preprocessing { scale: 1.0, ..Preprocessing::default() };
        let dataset = Dataset::open(file.path(), &inputs, &one).unwrap();
        technique::apply(
            &engine(),
            graph,
            &int8(options),
            &Given { calibration: Some(&dataset), target, ..Given::default() },
            &mut Progress::silent(),
        )
        .unwrap_err()
        .to_string()
    };
    let refused = |graph, options| refused_on(None, graph, options);
    let options = Quantize { format: Format::WeightInt4, ..Quantize::default() };
    let message = refused_on(Some(Target::Nvidia), between("Relu", 0), options);
    assert!(message.contains("the target nvidia does not run; expected one of Int8, Float16, BFloat16"), "{message}");
    // The root of a negative value is NaN.
    for options in every_way() {
        let message = refused(between("Sqrt", 0), options);
        assert!(message.contains("\"b\"") && message.contains("expected finite values"), "{message}");
    }
    for (format, part) in
        [(Format::DynamicInt8, "expected a MatMul or Gemm"), (Format::WeightInt4, "expected a MatMul or Gemm")]
    {
        let message = refused(between("Relu", 0), Quantize { format, ..Quantize::default() });
        assert!(message.contains(part), "{message}");
    }
    for (options, part) in [
        (Quantize { percentile: 3.0, ..Quantize::default() }, "percentile 3; expected 50 to 100"),
        (Quantize { min_sqnr: f64::NAN, ..Quantize::default() }, "minSqnr NaN; expected 0 to 120 dB"),
        (Quantize { block_size: 48, ..Quantize::default() }, "blockSize 48; expected 16, 32"),
    ] {
        let message = refused(between("Relu", 0), options);
        assert!(message.contains(part), "{message}");
    }
}
