//! Graphs that the example models do not have: each must run in int8 and stay near its float result.

use std::collections::BTreeSet;

use drydock_contract::{Calibration, Format, Preprocessing, Quantize, Rounding, Target};
use drydock_optimizer::benchmark::machine;
use drydock_optimizer::calibrate::Source;
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx::{self, Graph, float_tensor};
use drydock_optimizer::passes;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::tensor_proto::DataType;
use drydock_optimizer::proto::{AttributeProto, GraphProto};
use drydock_optimizer::technique::{self, Given};

use crate::common::{engine, int8};
use crate::making::{data, error, error_on, everything, model, node, value, weight};

#[test]
fn every_operator_at_every_opset() {
    for opset in [11, 12, 13, 17, 19, 21, 23] {
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

/// As ShuffleNet has them: halves of the channels go ways of their own.
#[test]
fn halves_of_the_channels_stay_in_int8() {
    for (opset, target) in [(13, None), (18, None), (18, Some(Target::Nvidia))] {
        let attributes: &[(&str, &[i64])] =
            if opset < 18 { &[("axis", &[1])] } else { &[("axis", &[1]), ("num_outputs", &[2])] };
        let mut halves = node("Split", &["r1"], "left", attributes);
        halves.output.push("right".into());
        let nodes = vec![
            node("Conv", &["x", "w1"], "c1", &[]),
            node("Relu", &["c1"], "r1", &[]),
            halves,
            node("Conv", &["right", "w2"], "c2", &[]),
            node("Concat", &["left", "c2"], "q2", &[("axis", &[1])]),
            node("Slice", &["q2", "zero", "two", "one"], "first", &[]),
            node("Slice", &["q2", "two", "four", "one"], "second", &[]),
            node("Conv", &["second", "w3"], "c3", &[]),
            node("Concat", &["first", "c3"], "q3", &[("axis", &[1])]),
            node("Conv", &["q3", "w1"], "y", &[]),
        ];
        let at = |name: &str, value: i64| onnx::integer_tensor(name, &[1], &[value]);
        let initializers = vec![
            weight("w1", &[4, 4, 1, 1]),
            weight("w2", &[2, 2, 1, 1]),
            weight("w3", &[2, 2, 1, 1]),
            at("zero", 0),
            at("one", 1),
            at("two", 2),
            at("four", 4),
        ];
        let graph = model(opset, nodes, initializers, vec![value("y", &[-1, 4, 8, 8])]);
        let (error, graph) = error_on(target, &graph, Quantize::default());
        // Weights for hardware where sums do not saturate are no good where they do: 0.71 was seen.
        let saturates = target.is_some() && Target::of(&machine()) == Target::CpuAvx2;
        assert!(saturates || error < 0.06, "opset {opset}, {target:?}: {error}");
        let index = graph.index();
        let is = |position: Option<usize>, op: &str| position.is_some_and(|i| graph.nodes()[i].op_type == op);
        for node in graph.nodes().iter().filter(|n| ["Split", "Slice", "Concat"].contains(&n.op_type.as_str())) {
            assert!(is(index.producer(&node.input[0]), "DequantizeLinear"), "{}", node.op_type);
            for output in &node.output {
                assert!(is(index.sole_consumer(output), "QuantizeLinear"), "{}: {output}", node.op_type);
            }
        }
    }
}

/// A part of what is read in float keeps its own, finer, scale; and a result that nobody reads as codes is not rounded.
#[test]
fn parts_of_what_is_in_float_are_left_in_float() {
    let at = |name: &str, value: i64| onnx::integer_tensor(name, &[1], &[value]);
    let sliced = vec![
        node("Conv", &["x", "w4"], "a", &[]),
        node("Slice", &["x", "zero", "two", "one"], "part", &[]),
        node("Conv", &["part", "w2"], "b", &[]),
        node("Concat", &["a", "b"], "y", &[("axis", &[1])]),
    ];
    let mut halves = node("Split", &["c"], "left", &[("axis", &[1])]);
    halves.output.push("right".into());
    let split = vec![
        node("Conv", &["x", "w4"], "c", &[]),
        halves,
        node("Conv", &["left", "w2"], "b", &[]),
        node("Tanh", &["right"], "t", &[]),
        node("Concat", &["b", "t"], "y", &[("axis", &[1])]),
    ];
    for (op, nodes, channels) in [("Slice", sliced, 6), ("Split", split, 4)] {
        let initializers =
            vec![weight("w4", &[4, 4, 1, 1]), weight("w2", &[2, 2, 1, 1]), at("zero", 0), at("one", 1), at("two", 2)];
        let graph = model(17, nodes.clone(), initializers, vec![value("y", &[-1, channels, 8, 8])]);
        let selection = passes::select(&graph, &BTreeSet::new()).unwrap();
        let part = graph.nodes()[1].output[0].as_str();
        assert_eq!(selection.root(part), part, "{op}: a range of its own");
        let (error, graph) = error(&graph, Quantize::default());
        assert!(error < 0.06, "{op}: {error}");
        let node = graph.nodes().iter().find(|n| n.op_type == op).unwrap();
        assert_eq!(node.output, nodes[1].output, "{op}: as it was");
    }
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
