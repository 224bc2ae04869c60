//! Int8 on the example models: accuracy, size, and equal bytes for equal inputs.

use crate::common::{engine, example, fetched, int8, preprocessing};
use drydock_contract::{Calibration, CandidateReport, PackageManifest, Quantize, Recipe};
use drydock_optimizer::candidate::{self, Request};
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::error::Error;
use drydock_optimizer::onnx;
use drydock_optimizer::progress::Progress;
use tempfile::TempDir;

fn make(model: &str, evaluation: &str, recipe: &Recipe) -> (CandidateReport, TempDir) {
    let store = tempfile::tempdir().unwrap();
    let request = Request {
        name: &recipe.name,
        recipe: Some(recipe),
        model: &fetched(&example(model)),
        calibration: Some(&fetched(&example("fashion-calibration.npz"))),
        evaluation: Some(&fetched(&example(evaluation))),
        preprocessing: &preprocessing(),
        labels: &[],
        store: store.path(),
        program: None,
    };
    let report = candidate::make(&engine(), &request, &mut Progress::silent()).unwrap();
    (report, store)
}

fn apply(model: &str, recipe: &Recipe) -> Result<Vec<u8>, Error> {
    let graph = onnx::read(&example(model))?.graph;
    let (inputs, _) = onnx::signature(&graph)?;
    let data = Dataset::open(&example("fashion-calibration.npz"), &inputs, &preprocessing())?;
    candidate::apply(&engine(), graph, recipe, Some(&data), &mut Progress::silent())
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
        least_agreement: 99.5,
        most_size: 0.27,
    });
}

#[test]
fn mobilenet() {
    check(&Case {
        model: "fashion-mobilenet.onnx",
        evaluation: "fashion-evaluation.npz",
        original_top1: 90.83,
        least_top1: 90.47,
        least_agreement: 99.0,
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
        ("bias correction", Quantize { bias_correction: true, ..Quantize::default() }),
    ] {
        let other = apply("fashion-mobilenet.onnx", &int8(options)).unwrap();
        assert!(other != default, "{name} has no effect");
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
    let error = candidate::apply(&engine(), graph, &recipe, Some(&data), &mut Progress::silent()).unwrap_err();
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
        model: &fetched(&example("fashion-mobilenet.onnx")),
        calibration: Some(&fetched(&example("fashion-evaluation.npz"))),
        evaluation: Some(&fetched(&unlabelled)),
        preprocessing: &preprocessing(),
        labels: &[],
        store: store.path(),
        program: None,
    };
    let measured = candidate::make(&engine(), &request, &mut Progress::silent()).unwrap().measurements;
    assert_eq!(measured.accuracy, None);
    let fidelity = measured.fidelity.unwrap();
    assert_eq!(fidelity.images, 1000);
    assert!((95.0..100.0).contains(&fidelity.agreement), "{fidelity:?}");
    assert!((15.0..60.0).contains(&fidelity.sqnr_decibels.unwrap()), "{fidelity:?}");
}
