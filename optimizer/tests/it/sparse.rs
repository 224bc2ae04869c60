//! Zeros: as many as asked, where asked, and kept by what comes after.

use drydock_contract::{Distill, Importance, Pattern, Prune, Quantize, Rounding, Sparsify, Technique};
use drydock_optimizer::onnx::{self, Graph};
use drydock_optimizer::proto::tensor_proto::DataType;

use crate::compress::{agreement, apply, graph, macs, prune};

const FEW: u32 = 64;

fn sparsify(pattern: Pattern, sparsity: f64) -> Technique {
    Technique { sparsify: Some(Sparsify { pattern, sparsity, images: FEW }), ..Technique::default() }
}

/// Weights of 1x1 convolutions, (rows, channels): floats, or the codes of int8.
fn pointwise(graph: &Graph) -> Vec<(usize, Vec<f32>)> {
    let weights = graph.initializers().iter().filter(|t| matches!(t.dims.as_slice(), [_, c, 1, 1] if *c >= 16));
    let values = |t: &drydock_optimizer::proto::TensorProto| {
        if t.data_type == DataType::Int8 as i32 {
            t.raw_data.iter().map(|b| f32::from(b.cast_signed())).collect()
        } else {
            onnx::floats(t).unwrap()
        }
    };
    weights.map(|t| (t.dims[1] as usize, values(t))).collect()
}

#[test]
fn half_of_the_weights_and_nearly_the_same_answers() {
    let original = graph("fashion-mobilenet.onnx");
    let result = apply(original.clone(), &[sparsify(Pattern::Unstructured, 0.5)]).unwrap();
    for (_, weights) in pointwise(&onnx::parse(result.clone().into()).unwrap()) {
        let zeros = weights.iter().filter(|w| **w == 0.0).count() as f64 / weights.len() as f64;
        assert!((zeros - 0.5).abs() < 0.02, "{zeros}");
    }
    let agreement = agreement(&original.encode(), &result);
    assert!(agreement > 85.0, "{agreement}");
    assert!(result == apply(original, &[sparsify(Pattern::Unstructured, 0.5)]).unwrap(), "equal inputs, unequal bytes");
}

#[test]
fn two_of_four_through_training_and_int8() {
    let distill =
        Technique { distill: Some(Distill { steps: 3, batch: 8, ..Distill::default() }), ..Technique::default() };
    let adaptive = Quantize { rounding: Rounding::Adaptive, images: FEW, ..Quantize::default() };
    let quantize = Technique { quantize: Some(adaptive), ..Technique::default() };
    let techniques = [sparsify(Pattern::TwoOfFour, 0.0), distill, quantize];
    let result = apply(graph("fashion-mobilenet.onnx"), &techniques).unwrap();
    let layers = pointwise(&onnx::parse(result.into()).unwrap());
    assert!(layers.len() > 5, "{}", layers.len());
    for (channels, weights) in layers {
        let fours = weights.chunks(channels).flat_map(|row| row.chunks_exact(4));
        for four in fours {
            assert!(four.iter().filter(|w| **w == 0.0).count() >= 2, "{four:?}");
        }
    }
}

#[test]
fn importance_by_gradients() {
    let original = graph("fashion-mobilenet.onnx");
    let taylor = |importance| {
        let options = Prune { macs_ratio: 0.7, importance, images: FEW, reconstruct: true };
        apply(original.clone(), &[prune(options)]).unwrap()
    };
    let result = taylor(Importance::Taylor);
    assert!(result != taylor(Importance::Magnitude), "it is its own order");
    let left = macs(&onnx::parse(result.clone().into()).unwrap()) as f64 / macs(&original) as f64;
    assert!(left <= 0.7, "{left}");
    let agreement = agreement(&original.encode(), &result);
    assert!(agreement > 80.0, "{agreement}");
}
