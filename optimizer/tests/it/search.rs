//! The search, on a small network and little data.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use drydock_contract::{
    CandidateReport, FailureReason, Limits, Objective, PackageManifest, SEARCH_CANDIDATE, SEARCH_FILE, Search,
};
use drydock_optimizer::candidate::Request;
use drydock_optimizer::dataset::Dataset;
use drydock_optimizer::fetch::Fetched;
use drydock_optimizer::onnx::{self, Graph, float_tensor};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::search::{Record, Verdict, run};
use drydock_optimizer::technique::Given;
use drydock_optimizer::{Error, technique};

use crate::common::{engine, example, fetched, preprocessing};
use crate::making::{model_of, node, value};

/// Whatever is lost and however long it takes on a busy machine.
fn wanted() -> Search {
    Search {
        time_budget_seconds: 1200,
        max_candidates: 2,
        limits: Limits { max_accuracy_drop: 100.0, ..Limits::default() },
        objective: Objective::Size,
    }
}

/// The first 48 of the 10,000 evaluation images, to calibrate with.
fn few() -> tempfile::NamedTempFile {
    let mut from = zip::ZipArchive::new(std::fs::File::open(example("fashion-evaluation.npz")).unwrap()).unwrap();
    let mut all = Vec::new();
    from.by_name("x.npy").unwrap().read_to_end(&mut all).unwrap();
    let values = 10 + usize::from(u16::from_le_bytes([all[8], all[9]]));
    let header = String::from_utf8_lossy(&all[10..values]).replacen("10000", "48", 1);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut to = zip::ZipWriter::new(file.as_file_mut());
    to.start_file("x.npy", zip::write::SimpleFileOptions::default()).unwrap();
    to.write_all(&all[..8]).unwrap();
    to.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    to.write_all(header.as_bytes()).unwrap();
    to.write_all(&all[values..values + 48 * 28 * 28]).unwrap();
    to.finish().unwrap();
    file
}

/// Measured on 1,000 images.
fn search(store: &Path, wanted: &Search) -> Result<(CandidateReport, Record), Error> {
    search_among("fashion-mobilenet.onnx", &BTreeMap::new(), None, store, wanted)
}

fn search_among(
    model: &str,
    models: &BTreeMap<String, Fetched>,
    training: Option<&Fetched>,
    store: &Path,
    wanted: &Search,
) -> Result<(CandidateReport, Record), Error> {
    let model = fetched(&example(model));
    let images: Fetched = fetched(&example("fashion-calibration.npz"));
    let few = few();
    let request = Request {
        name: SEARCH_CANDIDATE,
        recipe: None,
        found: None,
        target: None,
        model: &model,
        calibration: Some(&fetched(few.path())),
        evaluation: Some(&images),
        training,
        models,
        preprocessing: &preprocessing(),
        labels: &[],
        detection: None,
        store,
        needs_labels: true,
        program: None,
    };
    run(&engine(), &request, wanted, &mut Progress::silent())
}

/// What is found is published with its recipe, and the recipe alone makes the same bytes again.
#[test]
fn finds_a_recipe_that_can_be_rebuilt() {
    let store = tempfile::tempdir().unwrap();
    let (report, record) = search(store.path(), &wanted()).unwrap();
    assert_eq!(report.candidate, SEARCH_CANDIDATE);
    let package = store.path().join("packages").join(report.package.unwrap().hex());
    let read = |name: &str| std::fs::read(package.join(name)).unwrap();
    let manifest: PackageManifest = serde_json::from_slice(&read("package.json")).unwrap();
    let recipe = manifest.record.recipe.unwrap();
    let winner = record.candidates.iter().find(|t| t.verdict == Some(Verdict::Chosen)).unwrap();
    assert_eq!((manifest.record.candidate.as_str(), &recipe), (SEARCH_CANDIDATE, &winner.recipe));

    assert_eq!(recipe.name, "prune-35-int8");
    let graph = onnx::read(&example("fashion-mobilenet.onnx")).unwrap().graph;
    let (inputs, _) = onnx::signature(&graph).unwrap();
    let few = few();
    let data = Dataset::open(few.path(), &inputs, &preprocessing()).unwrap();
    let again = technique::apply(
        &engine(),
        graph,
        &recipe,
        &Given { calibration: Some(&data), ..Given::default() },
        &mut Progress::silent(),
    )
    .unwrap();
    assert!(again == read("model.onnx"), "the recipe makes other bytes than the search did");

    // The numbers of the last round are those that the package is published with.
    let last = winner.rounds.last().unwrap();
    let accuracy = report.measurements.accuracy.unwrap();
    assert!(last.all_images && winner.front);
    assert!((accuracy.top1 - last.accuracy).abs() < 1e-9, "{} and {}", accuracy.top1, last.accuracy);
    assert!((accuracy.top1 - accuracy.original_top1 - last.change.value).abs() < 1e-9);

    // Each has a reason, and two were tried: int8 keeps the gates, so that nothing need stay in float.
    let file: serde_json::Value = serde_json::from_slice(&read(SEARCH_FILE)).unwrap();
    let candidates = file["candidates"].as_array().unwrap();
    assert!(candidates.iter().all(|c| !c["why"].as_str().unwrap().is_empty()), "{file:#}");
    assert_eq!(candidates.iter().filter(|c| !c["rounds"].as_array().unwrap().is_empty()).count(), 2);
    let verdicts = |kind: &str| candidates.iter().filter(|c| c["verdict"]["kind"] == kind).count();
    assert_eq!((verdicts("unneeded"), verdicts("tooMany")), (2, candidates.len() - 4), "{file:#}");
    let table = record.table();
    assert!(table.lines().any(|l| l.starts_with('*') && l.ends_with("chosen")), "{table}");
}

/// Not where int8 keeps the gates: above.
#[test]
fn mixed_precision_is_tried_where_int8_breaks_a_gate() {
    let store = tempfile::tempdir().unwrap();
    // No candidate is so much faster: each breaks the gate, int8 too.
    let limits = Limits { min_speedup: Some(1000.0), ..wanted().limits };
    let (_, record) = search(store.path(), &Search { limits, ..wanted() }).unwrap();
    let tried: Vec<&str> =
        record.candidates.iter().filter(|c| !c.rounds.is_empty()).map(|c| c.recipe.name.as_str()).collect();
    assert_eq!(tried, ["int8", "int8-30-db"]);
}

/// Another network, given beside the large one, is taught in its place.
#[test]
fn a_further_model_is_a_candidate() {
    let store = tempfile::tempdir().unwrap();
    let models = BTreeMap::from([("small".to_owned(), fetched(&example("fashion-mobilenet.onnx")))]);
    let (report, record) = search_among("fashion-resnet.onnx", &models, None, store.path(), &wanted()).unwrap();
    let winner = record.candidates.iter().find(|t| t.verdict == Some(Verdict::Chosen)).unwrap();
    assert_eq!(winner.recipe.name, "small-distill-int8", "{}", record.table());
    let package = store.path().join("packages").join(report.package.unwrap().hex());
    let manifest: PackageManifest =
        serde_json::from_slice(&std::fs::read(package.join("package.json")).unwrap()).unwrap();
    assert!(manifest.record.models.contains_key("small"));
}

/// With images to train on it has another lesson, from where the first one ended: this one knows nothing, and what it learns in a
/// hundred steps is not enough for the gate. The recipe alone makes the same bytes again.
#[test]
fn a_student_that_still_learns_is_taught_on() {
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("student.onnx");
    std::fs::write(&file, student().encode()).unwrap();
    let models = BTreeMap::from([("tiny".to_owned(), fetched(&file))]);
    let training = fetched(&example("fashion-evaluation.npz"));
    let limits = Limits { max_accuracy_drop: 17.0, ..Limits::default() };
    // There is time for many lessons, and three candidates: int8 of the model itself, and two lessons.
    let wanted = Search { time_budget_seconds: 36_000, max_candidates: 3, limits, ..wanted() };
    let (report, record) =
        search_among("fashion-mobilenet.onnx", &models, Some(&training), store.path(), &wanted).unwrap();
    let table = record.table();
    let of = |name: &str| record.candidates.iter().find(|t| t.recipe.name == name);
    let (first, second) = (of("tiny-distill-int8").expect(&table), of("tiny-distill-300-int8").expect(&table));
    assert!(first.rounds[0].change.value < -17.0, "{table}");
    assert!(matches!(&first.verdict, Some(Verdict::Outgrown { by, .. }) if *by == second.recipe.name), "{table}");
    assert_eq!(second.verdict, Some(Verdict::Chosen), "{table}");

    let original = onnx::read(&example("fashion-mobilenet.onnx")).unwrap().graph;
    let (inputs, _) = onnx::signature(&original).unwrap();
    let few = few();
    let [calibration, training] =
        [few.path(), &training.path].map(|path| Dataset::open(path, &inputs, &preprocessing()).unwrap());
    let models = BTreeMap::from([("tiny".to_owned(), student())]);
    let given =
        Given { calibration: Some(&calibration), training: Some(&training), models: Some(&models), ..Given::default() };
    let again = technique::apply(&engine(), original, &second.recipe, &given, &mut Progress::silent()).unwrap();
    let package = store.path().join("packages").join(report.package.unwrap().hex());
    assert!(again == std::fs::read(package.join("model.onnx")).unwrap(), "the recipe makes other bytes");
}

/// One layer that has learned nothing, with the input and output of the example models.
fn student() -> Graph {
    let nodes =
        vec![node("Flatten", &["input"], "flat", &[]), node("Gemm", &["flat", "weight", "bias"], "logits", &[])];
    let weights = vec![float_tensor("weight", &[784, 10], &[0.0; 7840]), float_tensor("bias", &[10], &[0.0; 10])];
    model_of(value("input", &[-1, 1, 28, 28]), 17, nodes, weights, vec![value("logits", &[-1, 10])])
}

#[test]
fn no_time_for_one_candidate() {
    let store = tempfile::tempdir().unwrap();
    let short = Search { time_budget_seconds: 1, ..wanted() };
    let error = search(store.path(), &short).unwrap_err();
    assert_eq!(error.reason(), FailureReason::TimeBudgetTooShort);
    let message = error.to_string();
    assert!(message.contains("needs") && message.contains("budget of 1"), "{message}");
    assert!(!store.path().join("packages").exists(), "nothing is left");
}

/// The nearest is published all the same: the gates of whoever asked are what refuses it, with its numbers.
#[test]
fn gates_that_nothing_keeps() {
    let store = tempfile::tempdir().unwrap();
    let limits = Limits { max_size_ratio: Some(0.01), ..wanted().limits };
    let (report, record) = search(store.path(), &Search { limits, max_candidates: 1, ..wanted() }).unwrap();
    assert!(report.package.is_some());
    let nearest = record.candidates.iter().find(|t| matches!(t.verdict, Some(Verdict::Nearest { .. }))).unwrap();
    assert!(nearest.why.contains("size") && nearest.why.contains("limit 1.0 %"), "{}", nearest.why);
}
