//! Detectors: mean average precision as pycocotools has it, and int8 on a small detector.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use drydock_contract::{
    Detection, DetectionLayout, Digest, Distill, MANIFEST_FILE, PackageManifest, Preprocessing, Quantize, Recipe,
    Resize, SAMPLES_FILE, Technique,
};
use drydock_detection::{Bounds, Detected};
use drydock_optimizer::candidate::{self, Request};
use drydock_optimizer::error::Error;
use drydock_optimizer::evaluate::{Matches, Truth};
use drydock_optimizer::fetch::Fetched;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::report::Package;
use serde_json::Value;

use crate::common::{engine, fetched, int8, library};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn squares(name: &str) -> PathBuf {
    fixtures("detector").join(name)
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// x, y, width, height, as COCO has it.
fn bounds(value: &Value) -> Bounds {
    let [x, y, width, height]: [f64; 4] = serde_json::from_value(value.clone()).unwrap();
    Bounds { left: x, top: y, right: x + width, bottom: y + height }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

#[test]
fn precision_as_pycocotools_has_it() {
    let fixture = read_json(&fixtures("coco.json"));
    let script = Digest::of(&std::fs::read(fixtures("coco.py")).unwrap());
    assert_eq!(fixture["script"], script.hex(), "coco.py is not what made coco.json: run it again");
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let images = number(&case["images"]);
        let (mut truth, mut found) = (vec![Vec::new(); images], vec![Vec::new(); images]);
        for t in case["truth"].as_array().unwrap() {
            let crowd = t["crowd"].as_bool().unwrap();
            truth[number(&t["image"])].push(Truth { class: number(&t["class"]), bounds: bounds(&t["box"]), crowd });
        }
        for f in case["found"].as_array().unwrap() {
            let score = f["score"].as_f64().unwrap() as f32;
            found[number(&f["image"])].push(Detected { class: number(&f["class"]), score, bounds: bounds(&f["box"]) });
        }
        let mut matches = Matches::default();
        for (found, truth) in found.iter().zip(&truth) {
            matches.add(found, truth, 0.5);
        }
        matches.sort();
        let made = matches.precision(None).unwrap();
        for (what, made) in [("map", made.map), ("map50", made.map50)] {
            let expected = case["expected"][what].as_f64().unwrap();
            assert!((made - expected).abs() < 1e-6, "{}: {what} is {made}, pycocotools has {expected}", case["name"]);
        }
    }
}

pub(crate) fn preprocessing() -> Preprocessing {
    let resize = Resize { width: Some(48), height: Some(48), letterbox: Some(114), ..Resize::default() };
    Preprocessing { scale: 1.0 / 255.0, resize: Some(resize), ..Preprocessing::default() }
}

pub(crate) fn labels() -> Vec<String> {
    ["red", "blue"].map(str::to_owned).to_vec()
}

#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) recipe: Option<&'a Recipe>,
    pub(crate) evaluation: &'a Fetched,
    pub(crate) labels: &'a [String],
    pub(crate) detection: &'a Detection,
    pub(crate) needs_labels: bool,
}

pub(crate) fn make(run: &Run<'_>, store: &Path) -> Result<PackageManifest, Error> {
    let request = Request {
        name: run.recipe.map_or("original", |r| &r.name),
        recipe: run.recipe,
        target: None,
        found: None,
        model: &fetched(&squares("squares.onnx")),
        calibration: Some(&fetched(&squares("calibration.tar"))),
        evaluation: Some(run.evaluation),
        training: None,
        models: &BTreeMap::new(),
        preprocessing: &preprocessing(),
        labels: run.labels,
        detection: Some(run.detection),
        store,
        needs_labels: run.needs_labels,
        program: None,
    };
    let report = candidate::make(&engine(), &request, &mut Progress::silent())?;
    let directory = store.join("packages").join(report.package.unwrap().hex());
    Ok(serde_json::from_slice(&std::fs::read(directory.join(MANIFEST_FILE)).unwrap()).unwrap())
}

#[test]
fn int8_of_a_detector_is_measured() {
    let store = tempfile::tempdir().unwrap();
    let evaluation = fetched(&squares("evaluation.tar"));
    let recipe = int8(Quantize::default());
    let (labels, detection) = (labels(), Detection::default());
    let run = Run {
        recipe: Some(&recipe),
        evaluation: &evaluation,
        labels: &labels,
        detection: &detection,
        needs_labels: true,
    };
    let manifest = make(&run, store.path()).unwrap();
    let measured = &manifest.record.measurements;
    let d = measured.detection.as_ref().unwrap();
    println!("{d:?} {:?} {:?}", measured.fidelity, measured.size);
    let expected = read_json(&squares("expected.json"));
    // NumPy's sums are not those of ONNX Runtime, and may move a box by a bit over an edge.
    assert!((d.original_map - expected["map"].as_f64().unwrap()).abs() < 0.5, "{d:?}");
    assert!((d.original_map50 - expected["map50"].as_f64().unwrap()).abs() < 0.5, "{d:?}");
    assert_eq!((d.images, d.objects), (40, expected["objects"].as_u64().unwrap()));
    assert!(d.map > 30.0 && d.map < 100.0 && d.map50 > d.map, "{d:?}");
    let change = d.change.as_ref().unwrap();
    assert!(change.low <= d.map - d.original_map && d.map - d.original_map <= change.high, "{d:?}");
    assert!(change.low < change.high && change.p > 0.0 && change.p <= 1.0, "{change:?}");
    let fidelity = measured.fidelity.as_ref().unwrap();
    assert!(fidelity.agreement > 50.0 && fidelity.agreement < 100.0, "{fidelity:?}");
    assert!(fidelity.sqnr_decibels.unwrap() > 15.0, "{fidelity:?}");
    assert_eq!((&measured.accuracy, manifest.content.detection.as_ref()), (&None, Some(&detection)));
    assert_eq!(manifest.record.baseline.as_ref().map(|b| (b.images, b.output.is_none())), Some((40, true)));
    let size = measured.size.as_ref().unwrap();
    assert!(size.bytes * 2 < size.original_bytes, "{size:?}");
    // Gates go by it.
    let numbers = drydock_contract::Numbers::from(measured);
    assert_eq!(numbers.accuracy, drydock_contract::rounded(d.map));

    let package = Package::read(&store.path().join("packages").join(manifest.digest.hex())).unwrap();
    let report = std::fs::read_to_string(store.path().join("packages").join(manifest.digest.hex()).join("report.html"));
    assert!(report.unwrap().contains("points of mAP") && package.confusion.is_none());

    // Inputs of the calibration data with the model's answers, for whoever serves it.
    let samples = manifest.record.samples.as_ref().unwrap();
    let file = std::fs::read(store.path().join("packages").join(manifest.digest.hex()).join(SAMPLES_FILE)).unwrap();
    assert_eq!((samples.count, &samples.sha256, samples.size), (4, &Digest::of(&file), file.len() as u64));
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
    assert_eq!((shape("0.input.images"), shape("3.output.output0")), (vec![1, 3, 48, 48], vec![1, 6, 36]));

    let again = make(&run, tempfile::tempdir().unwrap().path()).unwrap();
    assert_eq!(again.record.samples.as_ref(), Some(samples));
    assert_eq!((again.digest, again.record.measurements.detection), (manifest.digest.clone(), Some(d.clone())));

    let original = make(&Run { recipe: None, ..run }, store.path()).unwrap().record.measurements;
    let (own, same) = (original.detection.unwrap(), original.fidelity.unwrap());
    assert!((own.map - d.original_map).abs() < 1e-9 && (same.agreement - 100.0).abs() < 1e-9, "{own:?} {same:?}");
    let change = own.change.unwrap();
    assert_eq!((change.lost, change.gained, change.p), (0, 0, 1.0));
}

#[test]
fn without_boxes_answers_are_compared_all_the_same() {
    let store = tempfile::tempdir().unwrap();
    let unmarked = fetched(&squares("calibration.tar"));
    let (labels, detection) = (labels(), Detection::default());
    let run = Run { recipe: None, evaluation: &unmarked, labels: &labels, detection: &detection, needs_labels: false };
    let measured = make(&run, store.path()).unwrap().record.measurements;
    assert_eq!((measured.detection, measured.fidelity.unwrap().agreement), (None, 100.0));
    let error = make(&Run { needs_labels: true, ..run }, store.path()).unwrap_err().to_string();
    assert!(error.contains("has no boxes; expected the JSON of COCO"), "{error}");
}

#[test]
fn what_does_not_suit_a_detector_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let evaluation = fetched(&squares("evaluation.tar"));
    let (labels, detection) = (labels(), Detection::default());
    let run = Run { recipe: None, evaluation: &evaluation, labels: &labels, detection: &detection, needs_labels: true };
    let by_labels = Distill { labels: 0.5, ..Distill::default() };
    let by_labels = Technique { distill: Some(by_labels), ..Technique::default() };
    let recipe = Recipe { name: "r".into(), techniques: vec![by_labels] };
    let error = make(&Run { recipe: Some(&recipe), ..run }, store.path()).unwrap_err();
    assert!(error.to_string().contains("distill.labels learns from one class for each image"), "{error}");
    assert_eq!(error.reason(), drydock_contract::FailureReason::InvalidRecipe);
    for (layout, labels, part) in [
        (Some(DetectionLayout::YoloV5), labels.clone(), "output \"output0\" is for 31 classes; expected 2"),
        (Some(DetectionLayout::Boxes), labels.clone(), "expected boxes, scores and classes"),
        (None, vec!["red".to_owned()], "expected those of a detector"),
        (None, ["red", "green"].map(str::to_owned).to_vec(), "class \"blue\" of val/"),
    ] {
        let detection = Detection { layout, ..Detection::default() };
        let error = make(&Run { labels: &labels, detection: &detection, ..run }, store.path()).unwrap_err();
        assert!(error.to_string().contains(part), "{layout:?} {labels:?}: {error}");
    }
}

fn command(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drydock-optimizer"));
    command.env("ORT_DYLIB_PATH", library()).arg(name).args(["--scale", "0.00392156862745098", "--resize", "48"]);
    command.args(["--letterbox", "114"]);
    command
}

#[test]
fn by_hand() {
    let model = squares("squares.onnx");
    let mut evaluate = command("evaluate");
    evaluate.arg("--detector").arg("--model").arg(&model).arg("--candidate").arg(&model);
    let output = evaluate.arg("--evaluation").arg(squares("evaluation.tar")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("mAP ").contains("objects in 40 images") && line("mAP50").contains('%'), "{text}");
    assert!(line("agreement").contains("100.00 %"), "{text}");

    // Without a word of boxes it is no classifier.
    let mut evaluate = command("evaluate");
    evaluate
        .arg("--model")
        .arg(&model)
        .arg("--candidate")
        .arg(&model)
        .arg("--evaluation")
        .arg(squares("evaluation.tar"));
    let output = evaluate.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("top-1 accuracy needs (N, classes)"), "{text}");
}

/// A gate would pass whatever a candidate finds.
#[test]
fn an_original_that_finds_nothing_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let evaluation = fetched(&squares("evaluation.tar"));
    // The classes the other way around.
    let (labels, detection) = (["blue", "red"].map(str::to_owned).to_vec(), Detection::default());
    let run = Run { recipe: None, evaluation: &evaluation, labels: &labels, detection: &detection, needs_labels: true };
    let error = make(&run, store.path()).unwrap_err();
    let objects = read_json(&squares("expected.json"))["objects"].as_u64().unwrap();
    assert!(error.to_string().contains(&format!("the original finds next to none of {objects} objects")), "{error}");
    assert_eq!(error.reason(), drydock_contract::FailureReason::InvalidDataset);
}

/// Mean average precision is that of 100 boxes of a class, whatever number is answered.
#[test]
fn how_many_boxes_are_answered_changes_no_measurement() {
    let evaluation = fetched(&squares("evaluation.tar"));
    let labels = labels();
    let measured = [1, 100].map(|max_detections| {
        let detection = Detection { max_detections, ..Detection::default() };
        let run =
            Run { recipe: None, evaluation: &evaluation, labels: &labels, detection: &detection, needs_labels: true };
        make(&run, tempfile::tempdir().unwrap().path()).unwrap().record.measurements
    });
    assert_eq!(measured[0].detection, measured[1].detection);
}
