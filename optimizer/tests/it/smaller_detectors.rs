//! What makes a detector smaller learns from its last layers: distillation, Taylor importance, mixed precision, search.

use std::collections::BTreeMap;

use drydock_contract::{
    Detection, Distill, Importance, Limits, MANIFEST_FILE, Objective, PackageManifest, Prune, Quantize, Recipe,
    SEARCH_CANDIDATE, Search, Technique,
};
use drydock_optimizer::candidate::Request;
use drydock_optimizer::progress::Progress;
use drydock_optimizer::search::{self, Verdict};

use crate::common::{engine, fetched};
use crate::detection::{Run, labels, make, preprocessing, squares};

fn pruned(importance: Importance) -> Technique {
    let options = Prune { macs_ratio: 0.4, importance, reconstruct: false, ..Prune::default() };
    Technique { prune: Some(options), ..Technique::default() }
}

/// A package of the small detector by this recipe.
fn package(techniques: &[Technique]) -> PackageManifest {
    let recipe = Recipe { name: "r".into(), techniques: techniques.to_vec() };
    let (labels, detection, evaluation) = (labels(), Detection::default(), fetched(&squares("evaluation.tar")));
    let (recipe, detection) = (Some(&recipe), &detection);
    let run = Run { recipe, evaluation: &evaluation, labels: &labels, detection, needs_labels: true };
    let found = make(&run, tempfile::tempdir().unwrap().path()).unwrap();
    let measured = &found.record.measurements;
    println!("{:?} {:?} {:?}", measured.detection, measured.fidelity, found.record.notes);
    found
}

fn agreement(manifest: &PackageManifest) -> f64 {
    manifest.record.measurements.fidelity.as_ref().unwrap().agreement
}

#[test]
fn a_pruned_detector_learns_from_the_original_without_boxes() {
    let taught = Distill { steps: 60, batch: 12, learning_rate: 0.002, shift: 1, ..Distill::default() };
    let taught = Technique { distill: Some(taught), ..Technique::default() };
    let recipe = [pruned(Importance::Taylor), taught];
    let (before, after) = (package(&recipe[..1]), package(&recipe));
    assert!(agreement(&after) > agreement(&before) + 5.0, "{} and {}", agreement(&before), agreement(&after));
    let map = |m: &PackageManifest| m.record.measurements.detection.as_ref().unwrap().map;
    assert!(map(&after) > map(&before), "{} and {}", map(&before), map(&after));
    assert_eq!(package(&recipe).digest, after.digest, "equal inputs, unequal bytes");

    // What is int8 already is trained too, and stays what it was.
    let int8 = Technique { quantize: Some(Quantize::default()), ..Technique::default() };
    let careful = Distill { steps: 20, batch: 12, learning_rate: 0.00005, shift: 0, ..Distill::default() };
    let careful = Technique { distill: Some(careful), ..Technique::default() };
    let trained = package(&[int8, careful]);
    let notes = trained.record.notes.join(" ");
    assert!(notes.contains("distill: 20 steps") && agreement(&trained) > 85.0, "{notes} {}", agreement(&trained));
}

/// The calibration data has neither boxes nor labels.
#[test]
fn channels_that_the_heads_depend_on_least_go_first() {
    let (taylor, magnitude) = (package(&[pruned(Importance::Taylor)]), package(&[pruned(Importance::Magnitude)]));
    assert!(agreement(&taylor) > agreement(&magnitude), "{} and {}", agreement(&taylor), agreement(&magnitude));
    assert_eq!(package(&[pruned(Importance::Taylor)]).digest, taylor.digest, "equal inputs, unequal bytes");
}

#[test]
fn the_layers_that_hurt_the_heads_stay_in_float() {
    let int8 = |min_sqnr: f64| {
        let options = Quantize { min_sqnr, ..Quantize::default() };
        package(&[Technique { quantize: Some(options), ..Technique::default() }])
    };
    // Some 34 dB with every layer in int8; 29 where sums of two products saturate and nothing was done about it.
    let (plain, mixed) = (int8(0.0), int8(40.0));
    let notes = mixed.record.notes.join(" ");
    assert!(notes.contains("layers stay in float"), "{notes}");
    let size = |m: &PackageManifest| m.record.measurements.size.as_ref().unwrap().bytes;
    assert!(size(&mixed) > size(&plain) && agreement(&mixed) > agreement(&plain), "{notes}");
}

#[test]
fn a_search_goes_by_mean_average_precision() {
    let store = tempfile::tempdir().unwrap();
    let (labels, detection) = (labels(), Detection::default());
    let request = Request {
        name: SEARCH_CANDIDATE,
        recipe: None,
        found: None,
        target: None,
        model: &fetched(&squares("squares.onnx")),
        calibration: Some(&fetched(&squares("calibration.tar"))),
        evaluation: Some(&fetched(&squares("evaluation.tar"))),
        training: None,
        models: &BTreeMap::new(),
        preprocessing: &preprocessing(),
        labels: &labels,
        detection: Some(&detection),
        store: store.path(),
        needs_labels: true,
        program: None,
    };
    let limits = Limits { max_accuracy_drop: 100.0, ..Limits::default() };
    let wanted = Search { time_budget_seconds: 1200, max_candidates: 3, limits, objective: Objective::Size };
    let (report, record) = search::run(&engine(), &request, &wanted, &mut Progress::silent()).unwrap();
    println!("{}", record.table());
    let winner = record.candidates.iter().find(|t| t.verdict == Some(Verdict::Chosen)).unwrap();
    let last = winner.rounds.last().unwrap();
    let measured = report.measurements.detection.unwrap();
    assert!(last.all_images && last.images == 40);
    // The same images in another order: boxes of equal scores may change places.
    assert!((measured.map - last.accuracy).abs() < 0.2, "{measured:?} {last:?}");
    assert!((measured.map - measured.original_map - last.change.value).abs() < 0.4, "{measured:?} {last:?}");
    assert!(last.change.low <= last.change.value && last.change.value <= last.change.high);
    let package = store.path().join("packages").join(report.package.unwrap().hex());
    let manifest: PackageManifest =
        serde_json::from_slice(&std::fs::read(package.join(MANIFEST_FILE)).unwrap()).unwrap();
    assert_eq!(manifest.content.detection, Some(detection));
}
