//! Int8 on the example models: accuracy, size, and equal bytes for equal inputs.

use std::collections::BTreeMap;

use crate::common::{engine, example, fetched, int8, preprocessing};
use drydock_contract::{Calibration, CandidateReport, Format, PackageManifest, Quantize, Recipe, Rounding};
use drydock_optimizer::candidate::{self, Request};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::error::Error;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::technique::Given;
use drydock_optimizer::{onnx, technique};
use tempfile::TempDir;

fn make(model: &str, evaluation: &str, recipe: &Recipe) -> (CandidateReport, TempDir) {
    let store = tempfile::tempdir().unwrap();
    let request = Request {
        name: &recipe.name,
        recipe: Some(recipe),
        target: None,
        found: None,
        model: &fetched(&example(model)),
        calibration: Some(&fetched(&example("fashion-calibration.npz"))),
        evaluation: Some(&fetched(&example(evaluation))),
        training: None,
        models: &BTreeMap::new(),
        preprocessing: &preprocessing(),
        labels: &[],
        detection: None,
        store: store.path(),
        needs_labels: false,
        program: None,
    };
    let report = candidate::make(&engine(), &request, &mut Progress::silent()).unwrap();
    (report, store)
}

fn apply(model: &str, recipe: &Recipe) -> Result<Vec<u8>, Error> {
    let graph = onnx::read(&example(model))?.graph;
    let (inputs, _) = onnx::signature(&graph)?;
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing())?;
    technique::apply(
        &engine(),
        graph,
        recipe,
        &Given { calibration: Some(&data), ..Given::default() },
        &mut Progress::silent(),
    )
}

struct Case {
    model: &'static str,
    evaluation: &'static str,
    original_top1: f64,
    least_top1: f64,
    least_agreement: f64,
    most_size: f64,
}

fn check(case: &Case) {
    let Case { model, .. } = case;
    let (report, store) = make(model, case.evaluation, &int8(Quantize::default()));
    let accuracy = report.measurements.accuracy.unwrap();
    println!("{model}: {accuracy:?} {:?} {:?}", report.measurements.size, report.measurements.latency);
    assert!((accuracy.original_top1 - case.original_top1).abs() < 0.02, "{model}: {accuracy:?}");
    assert!(accuracy.top1 >= case.least_top1, "{model}: {accuracy:?}");
    assert!(accuracy.agreement >= case.least_agreement, "{model}: {accuracy:?}");
    let size = report.measurements.size.unwrap();
    let share = size.bytes as f64 / size.original_bytes as f64;
    assert!(share <= case.most_size, "{model}: {share}");

    let package = store.path().join("packages").join(report.package.unwrap().hex());
    let manifest: PackageManifest =
        serde_json::from_slice(&std::fs::read(package.join("package.json")).unwrap()).unwrap();
    assert_eq!(manifest.digest, manifest.content.digest());
    assert_eq!(manifest.content.inputs[0].shape, [-1, 1, 28, 28]);
    let written = std::fs::read(package.join("model.onnx")).unwrap();
    assert_eq!(manifest.content.model.sha256, drydock_contract::Digest::of(&written));
    assert!(written == apply(model, &int8(Quantize::default())).unwrap(), "{model}: equal inputs, unequal bytes");
}

#[test]
fn resnet() {
    check(&Case {
        model: "fashion-resnet.onnx",
        evaluation: "fashion-evaluation.npz",
        original_top1: 91.85,
        least_top1: 91.55,
        least_agreement: 99.7,
        most_size: 0.27,
    });
}

#[test]
fn mobilenet() {
    check(&Case {
        model: "fashion-mobilenet.onnx",
        evaluation: "fashion-evaluation.npz",
        original_top1: 90.83,
        least_top1: 90.55,
        least_agreement: 99.4,
        most_size: 0.45,
    });
}

#[test]
fn mobilenet_with_batch_norm_is_the_same_once_folded() {
    check(&Case {
        model: "fashion-mobilenet-bn.onnx",
        // The smaller set, for time's sake.
        evaluation: "fashion-calibration.npz",
        original_top1: 90.9,
        least_top1: 90.5,
        least_agreement: 99.0,
        most_size: 0.45,
    });
}

#[test]
fn each_option_changes_the_model() {
    let default = apply("fashion-mobilenet.onnx", &int8(Quantize::default())).unwrap();
    let percentile = Quantize { calibration: Calibration::Percentile, percentile: 99.0, ..Quantize::default() };
    for (name, options) in [
        ("percentile", percentile),
        ("per tensor", Quantize { per_channel: false, ..Quantize::default() }),
        ("images", Quantize { images: 7, ..Quantize::default() }),
        ("all images", Quantize { images: 0, ..Quantize::default() }),
        ("entropy", Quantize { calibration: Calibration::Entropy, ..Quantize::default() }),
        ("error", Quantize { calibration: Calibration::Mse, ..Quantize::default() }),
        ("no equalization", Quantize { equalize: false, ..Quantize::default() }),
        ("no bias correction", Quantize { bias_correction: false, ..Quantize::default() }),
        ("adaptive rounding", Quantize { rounding: Rounding::Adaptive, ..Quantize::default() }),
        ("mixed precision", Quantize { min_sqnr: 40.0, ..Quantize::default() }),
        ("float16", Quantize { format: Format::Float16, ..Quantize::default() }),
    ] {
        let other = apply("fashion-mobilenet.onnx", &int8(options.clone())).unwrap();
        assert!(other != default, "{name} has no effect");
        assert!(
            other == apply("fashion-mobilenet.onnx", &int8(options)).unwrap(),
            "{name}: equal inputs, unequal bytes"
        );
        engine().open(&other, 1).unwrap();
    }
}

#[test]
fn a_quantized_model_has_nothing_to_quantize() {
    let once = apply("fashion-mobilenet.onnx", &int8(Quantize::default())).unwrap();
    let graph = onnx::parse(once.into()).unwrap();
    let (inputs, _) = onnx::signature(&graph).unwrap();
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing()).unwrap();
    let recipe = int8(Quantize::default());
    let error = technique::apply(
        &engine(),
        graph,
        &recipe,
        &Given { calibration: Some(&data), ..Given::default() },
        &mut Progress::silent(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("nothing to quantize"), "{error}");
}

#[test]
fn without_labels_outputs_are_compared_all_the_same() {
    let store = tempfile::tempdir().unwrap();
    let unlabelled = store.path().join("x.npz");
    let mut from = zip::ZipArchive::new(std::fs::File::open(example("fashion-calibration.npz")).unwrap()).unwrap();
    let mut to = zip::ZipWriter::new(std::fs::File::create(&unlabelled).unwrap());
    to.raw_copy_file(from.by_name("x.npy").unwrap()).unwrap();
    to.finish().unwrap();

    let recipe = int8(Quantize { images: 32, ..Quantize::default() });
    let request = Request {
        name: &recipe.name,
        recipe: Some(&recipe),
        target: None,
        found: None,
        model: &fetched(&example("fashion-mobilenet.onnx")),
        calibration: Some(&fetched(&example("fashion-evaluation.npz"))),
        evaluation: Some(&fetched(&unlabelled)),
        training: None,
        models: &BTreeMap::new(),
        preprocessing: &preprocessing(),
        labels: &[],
        detection: None,
        store: store.path(),
        needs_labels: false,
        program: None,
    };
    let measured = candidate::make(&engine(), &request, &mut Progress::silent()).unwrap().measurements;
    assert_eq!(measured.accuracy, None);
    let fidelity = measured.fidelity.unwrap();
    assert_eq!(fidelity.images, 1000);
    assert!((95.0..100.0).contains(&fidelity.agreement), "{fidelity:?}");
    assert!((15.0..60.0).contains(&fidelity.sqnr_decibels.unwrap()), "{fidelity:?}");
}

/// Layers in float until the results are as near as asked, and an error where none could stay in int8.
#[test]
fn mixed_precision_reaches_what_is_asked() {
    let graph = onnx::read(&example("fashion-mobilenet.onnx")).unwrap().graph;
    let (inputs, outputs) = onnx::signature(&graph).unwrap();
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing()).unwrap();
    let logits = |model: &[u8]| {
        let (mut found, mut session) = (Vec::new(), engine().open(model, 1).unwrap());
        data.batches(64, 64, |batch| {
            let name = outputs[0].name.as_str();
            session.run(batch.shape, batch.data, [name], |_, _, v| found.extend_from_slice(v))?;
            Ok::<(), Error>(())
        })
        .unwrap();
        found
    };
    let float = logits(&graph.encode());
    // Beside their sizes: of one small layer the scales may be larger than what they save.
    let quantized = |model: &[u8]| {
        let graph = onnx::parse(model.to_vec().into()).unwrap();
        graph.nodes().iter().filter(|n| n.op_type == "DequantizeLinear").count()
    };
    let (mut counts, mut sizes) = (Vec::new(), Vec::new());
    for min_sqnr in [0.0, 36.0, 40.0] {
        let model = apply("fashion-mobilenet.onnx", &int8(Quantize { min_sqnr, ..Quantize::default() })).unwrap();
        let noise: f32 = float.iter().zip(logits(&model)).map(|(f, q)| (f - q) * (f - q)).sum();
        let sqnr = 10.0 * (float.iter().map(|f| f * f).sum::<f32>() / noise).log10();
        // It is measured before biases are corrected, which is for the better, but not by design.
        assert!(f64::from(sqnr) >= min_sqnr - 0.5, "{sqnr} dB; asked {min_sqnr}");
        counts.push(quantized(&model));
        sizes.push(model.len());
    }
    assert!(counts.is_sorted_by(|a, b| a >= b) && counts[0] > counts[2], "{counts:?}");
    assert!(sizes[0] < sizes[2] && sizes[1] < sizes[2], "{sizes:?}");
    let error =
        apply("fashion-mobilenet.onnx", &int8(Quantize { min_sqnr: 119.0, ..Quantize::default() })).unwrap_err();
    assert!(error.to_string().contains("ask for less"), "{error}");
}
