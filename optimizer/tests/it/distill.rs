//! Teachers and students that are files of their own, inner values, and training of what is int8 already.

use std::collections::BTreeMap;

use drydock_contract::{Distill, Quantize, Recipe, Technique};
use drydock_optimizer::Error;
use drydock_optimizer::calibrate::Source;
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::onnx::{self, Graph};
use drydock_optimizer::passes;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::proto::ModelProto;
use drydock_optimizer::technique::{self, Given};

use prost::Message as _;

use crate::common::{engine, example, preprocessing};
use crate::compress::{agreement, apply, graph};

fn distill(options: Distill) -> Technique {
    Technique { distill: Some(options), ..Technique::default() }
}

fn few(steps: u32) -> Distill {
    Distill { steps, batch: 32, ..Distill::default() }
}

/// `fashion-resnet`, with `fashion-mobilenet-bn` as a further model.
fn with_further(techniques: &[Technique], further: Graph) -> Result<Vec<u8>, Error> {
    let original = graph("fashion-resnet.onnx");
    let (inputs, _) = onnx::signature(&original)?;
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing())?;
    let models = BTreeMap::from([("other".to_owned(), further)]);
    let given = Given { calibration: Some(&data), models: Some(&models), ..Given::default() };
    let recipe = Recipe { name: "taught".into(), techniques: techniques.to_vec() };
    technique::apply(&engine(), original, &recipe, &given, &mut Progress::silent())
}

fn count(model: &[u8], op: &str) -> usize {
    onnx::parse(model.to_vec().into()).unwrap().nodes().iter().filter(|n| n.op_type == op).count()
}

#[test]
fn another_student_learns_from_the_original() {
    let original = graph("fashion-resnet.onnx").encode();
    let student = || graph("fashion-mobilenet-bn.onnx");
    let taught = distill(Distill { student: Some("other".into()), ..few(8) });
    let result = with_further(std::slice::from_ref(&taught), student()).unwrap();
    assert!(result.len() * 10 < original.len(), "the student is what is left");
    assert_eq!(count(&result, "BatchNormalization"), 0, "trained, then folded");
    let (before, after) = (agreement(&original, &student().encode()), agreement(&original, &result));
    assert!(after > before - 3.0, "agreement {before} became {after}");
    assert!(result == with_further(std::slice::from_ref(&taught), student()).unwrap(), "equal inputs, unequal bytes");

    let int8 = Technique { quantize: Some(Quantize { images: 64, ..Quantize::default() }), ..Technique::default() };
    assert!(count(&with_further(&[taught, int8], student()).unwrap(), "QuantizeLinear") > 0);
}

/// Between two trainings of a student its BatchNormalization stays, and one whose exporter has folded it gets it back: it learns
/// with it, and is a clean graph afterwards.
#[test]
fn batch_norms_of_a_student_stay_until_it_is_taught() {
    let original = graph("fashion-resnet.onnx").encode();
    let lesson = |student: Option<&str>| {
        distill(Distill { student: student.map(str::to_owned), learning_rate: 0.002, ..few(4) })
    };
    for student in ["fashion-mobilenet.onnx", "fashion-mobilenet-bn.onnx"] {
        let once = with_further(&[lesson(Some("other"))], graph(student)).unwrap();
        let twice = with_further(&[lesson(Some("other")), lesson(None)], graph(student)).unwrap();
        assert_eq!(count(&twice, "BatchNormalization"), 0, "{student}");
        assert_eq!(count(&twice, "Conv"), count(&once, "Conv"), "{student}");
        let (before, after) = (agreement(&original, &graph(student).encode()), agreement(&original, &twice));
        assert!(twice != once && after > before - 5.0, "{student}: agreement {before} became {after}");
    }
}

/// Until it learns, it answers as before.
#[test]
fn a_batch_norm_that_is_given_back_changes_nothing() {
    let original = graph("fashion-mobilenet.onnx");
    let (inputs, _) = onnx::signature(&original).unwrap();
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing()).unwrap();
    let values = passes::without_norm(&original);
    let spreads = Source { engine: &engine(), data: &data, images: 64 }.spreads(&original, &values).unwrap();
    let unfolded = passes::unfold_batch_norm(original.clone(), &spreads).unwrap();
    assert_eq!(count(&unfolded.encode(), "BatchNormalization"), count(&original.encode(), "Conv"));
    assert!(passes::without_norm(&unfolded).is_empty());
    assert!(agreement(&original.encode(), &unfolded.encode()) > 99.9);
}

#[test]
fn another_teacher_and_inner_values() {
    let plain = few(3);
    let by_other = Distill { teacher: Some("other".into()), ..plain.clone() };
    let with_features = Distill { features: 1.0, ..plain.clone() };
    let [plain, by_other, with_features] = [plain, by_other, with_features]
        .map(|options| with_further(&[distill(options)], graph("fashion-mobilenet.onnx")).unwrap());
    assert!(plain != by_other, "the teacher has no effect");
    assert!(plain != with_features, "features have no effect");
}

#[test]
fn what_is_int8_learns_too() {
    let int8 = Technique { quantize: Some(Quantize { images: 64, ..Quantize::default() }), ..Technique::default() };
    let original = graph("fashion-mobilenet.onnx");
    let quantized = apply(original.clone(), std::slice::from_ref(&int8)).unwrap();
    let trained = Distill { learning_rate: 1e-5, shift: 0, ..few(10) };
    let result = apply(original.clone(), &[int8, distill(trained)]).unwrap();
    assert!(result != quantized);
    assert_eq!(result.len(), quantized.len(), "the same graph, other codes");
    for op in ["QuantizeLinear", "DequantizeLinear"] {
        assert_eq!(count(&result, op), count(&quantized, op));
    }
    let (before, after) = (agreement(&original.encode(), &quantized), agreement(&original.encode(), &result));
    assert!(after > before - 0.5, "agreement {before} became {after}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let student = || Distill { student: Some("other".into()), ..few(1) };
    let renamed = {
        let mut model = ModelProto::decode(graph("fashion-mobilenet.onnx").encode().as_slice()).unwrap();
        let body = model.graph.as_mut().unwrap();
        let output = std::mem::replace(&mut body.output[0].name, "scores".into());
        body.node.iter_mut().flat_map(|n| &mut n.output).filter(|o| **o == output).for_each(|o| *o = "scores".into());
        onnx::parse(model.encode_to_vec().into()).unwrap()
    };
    let same = || graph("fashion-mobilenet.onnx");
    let prune = Technique { prune: Some(drydock_contract::Prune::default()), ..Technique::default() };
    for (techniques, further, says) in [
        (vec![distill(Distill { teacher: Some("nobody".into()), ..few(1) })], same(), "\"nobody\"; there are: [other]"),
        (vec![distill(student())], renamed, "the student has inputs"),
        (vec![prune, distill(student())], same(), "expected it in the first"),
        (vec![distill(Distill { features: -1.0, ..few(1) })], same(), "expected"),
    ] {
        let error = with_further(&techniques, further).unwrap_err().to_string();
        assert!(error.contains(says), "{says:?}: {error}");
    }
}
