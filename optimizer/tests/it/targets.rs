//! What each target gets, and that this machine computes what is made for it.

use std::collections::BTreeSet;

use drydock_contract::{Quantize, Rounding, Target};
use drydock_optimizer::benchmark::machine;
use drydock_optimizer::onnx::{Graph, float_tensor};
use drydock_optimizer::passes::{self, Scheme, Tuning};
use drydock_optimizer::proto::tensor_proto::DataType;

use crate::common::engine;
use crate::making::{error, error_on, everything, model_on, node, value};

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

        let (error, pairs) = error_on(Some(Target::CpuAvx2), &everything(17), options());
        assert!(error < 0.06, "{error}");
        assert!(pairs.encode() != plain.encode());

        let (error, symmetric) = error_on(Some(Target::Nvidia), &everything(17), options());
        // Where sums saturate, those of 8-bit weights do, and the biases are right for hardware where they do not: 0.30 was seen.
        assert!(error < 0.4, "{error}");
        assert!(of(&symmetric, DataType::Uint8).is_empty() && of(&symmetric, DataType::Int32).is_empty());
        let zero_points = symmetric.initializers().iter().filter(|t| t.name.contains(".zero_point"));
        assert!(zero_points.flat_map(|t| t.raw_data.to_vec()).all(|b| b == 0));
        assert_eq!((count(&symmetric, "Relu"), count(&symmetric, "Clip")), (2, 1), "a signed range does not cut at 0");
    }
}

/// One layer of all-positive and all-negative outputs.
struct OneLayer {
    op: &'static str,
    /// Of the weight; a `Gemm`'s with its outputs first.
    dims: &'static [i64],
    groups: i64,
}

/// Input by input in the order in which kernels read: of each two, by lot, one is large.
fn one_of_each_two(dims: &[i64]) -> Vec<f32> {
    let [outputs, channels, places] = [dims[0], dims[1], dims[2..].iter().product()].map(|d| d as usize);
    let mut random = fastrand::Rng::with_seed(7);
    let mut values = vec![0.0; outputs * channels * places];
    for output in 0..outputs {
        let sign = if output % 2 == 0 { 1.0 } else { -1.0 };
        let mut first = false;
        for order in 0..channels * places {
            first = if order % 2 == 0 { random.bool() } else { !first };
            let (place, channel) = (order / channels, order % channels);
            values[(output * channels + channel) * places + place] = sign * if first { 1.0 } else { 0.005 };
        }
    }
    values
}

/// Where sums of two products are of 16 bits, none of them saturates, though every input is the largest there is; and the codes
/// are no smaller than that needs. On processors that add in 32 bits the half of this is no test.
#[test]
fn no_sum_saturates() {
    let conv = |dims, groups| OneLayer { op: "Conv", dims, groups };
    for layer in [
        conv(&[6, 4, 3, 3], 1),
        conv(&[8, 8, 3, 3], 1),
        conv(&[16, 64, 1, 1], 1),
        // An odd number of channels, so that pairs lie across places; one; groups; and each channel by itself.
        conv(&[6, 3, 3, 3], 1),
        conv(&[6, 1, 5, 5], 1),
        conv(&[8, 2, 3, 3], 4),
        conv(&[16, 1, 3, 3], 8),
        conv(&[8, 1, 3, 3], 8),
        OneLayer { op: "Gemm", dims: &[6, 40], groups: 1 },
        OneLayer { op: "Gemm", dims: &[64, 33], groups: 1 },
    ] {
        let OneLayer { op, dims, groups } = layer;
        let image = [-1, dims[1] * groups, 6, 6];
        let (shape, result): (&[i64], &[i64]) =
            if op == "Conv" { (&image, &[-1, -1, -1, -1]) } else { (&[-1, dims[1]], &[-1, dims[0]]) };
        let attribute: (&str, &[i64]) = if op == "Conv" { ("group", &[groups]) } else { ("transB", &[1]) };
        let graph = model_on(
            shape,
            17,
            vec![node(op, &["x", "w"], "c", &[attribute]), node("Identity", &["c"], "y", &[])],
            vec![float_tensor("w", dims, &one_of_each_two(dims))],
            vec![value("y", result)],
        );
        for batch in [1, 5] {
            let shape: Vec<i64> = std::iter::once(batch).chain(shape[1..].iter().copied()).collect();
            let ones = vec![1.0; shape.iter().product::<i64>() as usize];
            let run = |graph: &Graph| {
                let mut found = Vec::new();
                let mut session = engine().open(&graph.encode(), 1).unwrap();
                session.run(&shape, &ones, ["y"], |_, _, values| found = values.to_vec()).unwrap();
                found
            };
            let float = run(&graph);
            let extent = float.iter().fold((0.0_f32, 0.0_f32), |(l, h), v| (l.min(*v), h.max(*v)));
            let selection = passes::select(&graph, &BTreeSet::new()).unwrap();
            let tuning =
                Tuning { ranges: [("x".into(), (0.0, 1.0)), ("c".into(), extent)].into(), ..Tuning::default() };
            let scheme = Scheme::new(true, Target::CpuAvx2);
            let (quantized, report) = passes::quantize(graph.clone(), &selection, &tuning, scheme).unwrap();
            assert_eq!(report.quantized.len(), 1, "{op} {dims:?}");
            let codes =
                quantized.initializers().iter().find(|t| t.data_type == DataType::Int8 as i32 && t.dims.len() > 1);
            let widest = codes.unwrap().raw_data.iter().map(|c| c.cast_signed().unsigned_abs()).max().unwrap();
            assert!(widest > 120, "{op} {dims:?}: {widest}");
            let largest = float.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            for (float, found) in float.iter().zip(run(&quantized)) {
                assert!((float - found).abs() < 0.02 * largest, "{op} {dims:?}, {batch} inputs: {found}, not {float}");
            }
        }
    }
}
