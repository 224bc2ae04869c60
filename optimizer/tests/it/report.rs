//! The record and the report of a package, and the commands that read them.

use std::path::{Path, PathBuf};

use drydock_contract::{PackageManifest, Quantize, Technique};
use drydock_optimizer::candidate::{self, Request};
use drydock_optimizer::progress::Progress;
use drydock_optimizer::proto::ModelProto;
use drydock_optimizer::report::{Gates, Package, Page, render};
use drydock_optimizer::{diff, onnx};
use prost::Message as _;

use crate::common::{engine, example, fetched, int8, preprocessing, run, text};

const MODEL: &str = "fashion-mobilenet.onnx";

/// A small int8 package of the example model.
fn make(store: &Path) -> PathBuf {
    let recipe = int8(Quantize { images: 32, ..Quantize::default() });
    let request = Request {
        name: &recipe.name,
        recipe: Some(&recipe),
        found: None,
        target: None,
        model: &fetched(&example(MODEL)),
        calibration: Some(&fetched(&example("fashion-evaluation.npz"))),
        evaluation: Some(&fetched(&example("fashion-calibration.npz"))),
        training: None,
        models: &std::collections::BTreeMap::new(),
        preprocessing: &preprocessing(),
        labels: &["T-shirt/top".to_owned(), "Trouser".to_owned()],
        detection: None,
        store,
        needs_labels: false,
        program: None,
    };
    let report = candidate::make(&engine(), &request, &mut Progress::silent()).unwrap();
    store.join("packages").join(report.package.unwrap().hex())
}

#[test]
fn the_record_says_what_the_package_is() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = make(first.path());
    let read = |package: &Path| Package::read(package).unwrap();
    let Package { manifest, confusion, study } = read(&package);
    let record = &manifest.record;

    let graphs = record.graphs.as_ref().unwrap();
    assert_eq!(graphs.original.macs, 6_979_200);
    assert_eq!(graphs.candidate.macs, graphs.original.macs, "int8 multiplies no less");
    assert!(graphs.candidate.operators["QuantizeLinear"].nodes > 10 && graphs.original.parameters > 100_000);
    assert!(
        record.notes.iter().any(|n| n.starts_with("clean:")) && record.notes.iter().any(|n| n.starts_with("quantize:"))
    );

    let baseline = record.baseline.as_ref().unwrap();
    let output = baseline.output.as_ref().unwrap();
    assert_eq!((baseline.images, output.predicted.iter().sum::<u64>()), (1000, 1000));
    assert!(output.softmax && output.mean_scores.len() == 10 && output.margin.bins.iter().sum::<u64>() == 1000);
    // Normalized with the mean and deviation of the data set.
    let input = baseline.input[0];
    assert!(input.mean.abs() < 0.05 && (input.std - 1.0).abs() < 0.05 && input.max > 2.0, "{input:?}");

    let accuracy = record.measurements.accuracy.as_ref().unwrap();
    let changed = (1000.0 * (1.0 - accuracy.agreement / 100.0)).round() as u64;
    assert_eq!((study.changed_images, confusion.unwrap().classes), (changed, 10));
    assert!(study.changed.iter().all(|c| c.png.is_some() && c.original.class != c.candidate.class));

    let layers = study.layers.as_ref().unwrap();
    let sum: u64 = layers.layers.iter().map(|l| l.candidate.macs).sum();
    assert_eq!((sum, layers.images), (graphs.candidate.macs, 16), "every layer finds its name again");
    for layer in &layers.layers {
        let decibels = layer.sqnr_decibels.unwrap_or_default();
        assert!((10.0..80.0).contains(&decibels), "{layer:?}");
        // Scales are larger than what they save in a layer of a few weights.
        assert!(layer.candidate.bytes < layer.original.bytes || layer.original.bytes < 2000, "{layer:?}");
    }

    // Equal inputs, another store: all but times is the same, and with them the report.
    let again = make(second.path());
    assert_eq!(again.file_name(), package.file_name());
    for file in ["model.onnx", "study.json", "confusion.json"] {
        assert!(std::fs::read(package.join(file)).unwrap() == std::fs::read(again.join(file)).unwrap(), "{file}");
    }
    let timeless = |package: &Path| {
        let mut package = read(package);
        package.manifest.record.measurements.latency = None;
        package
    };
    let draw = |package: &Package| render(&Page { package, others: &[], gates: &Gates::default() });
    assert_eq!(timeless(&package).manifest, timeless(&again).manifest);
    assert_eq!(draw(&timeless(&package)), draw(&timeless(&again)));
    assert_eq!(std::fs::read_to_string(package.join("report.html")).unwrap(), draw(&read(&package)));
}

/// A default that is written down is a seed that another run can use.
#[test]
fn a_recipe_is_recorded_with_its_seeds() {
    let technique: Technique = serde_json::from_str(r#"{"distill": {}}"#).unwrap();
    assert_eq!(serde_json::to_value(technique).unwrap()["distill"]["seed"], 0);
}

#[test]
fn report_and_diff_of_packages() {
    let store = tempfile::tempdir().unwrap();
    let package = make(store.path());
    let before = std::fs::read_to_string(package.join("report.html")).unwrap();
    std::fs::remove_file(package.join("report.html")).unwrap();
    assert!(run(&["report", text(&package)]).status.success());
    assert_eq!(std::fs::read_to_string(package.join("report.html")).unwrap(), before);
    let other = store.path().join("other.html");
    let output =
        run(&["report", text(&package), "--output", text(&other), "--min-speedup", "1.5", "--with", text(&package)]);
    assert!(output.status.success(), "{output:?}");
    assert!(std::fs::read_to_string(&other).unwrap().contains("gate: 1.5"));

    // A package of the first version has neither of the files, nor the new fields.
    std::fs::remove_file(package.join("study.json")).unwrap();
    std::fs::remove_file(package.join("confusion.json")).unwrap();
    let manifest = package.join("package.json");
    let mut old: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    for field in ["graphs", "baseline", "notes"] {
        old["record"].as_object_mut().unwrap().remove(field).unwrap();
    }
    std::fs::write(&manifest, old.to_string()).unwrap();
    serde_json::from_value::<PackageManifest>(old).unwrap();
    assert!(run(&["report", text(&package)]).status.success());

    let same = run(&["diff", text(&package), text(&package), "--exit-code"]);
    assert!(same.status.success() && same.stdout.is_empty(), "{same:?}");
    std::fs::write(&manifest, "{}").unwrap();
    let broken = run(&["report", text(&package)]);
    assert_eq!(broken.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("package.json"), "{broken:?}");
    assert_eq!(run(&["diff", text(&package), text(&package), "--exit-code"]).status.code(), Some(65));
}

#[test]
fn diff_of_models() {
    let (one, other) = (example(MODEL), example("fashion-mobilenet-bn.onnx"));
    let found = run(&["diff", text(&one), text(&other)]);
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success(), "{found:?}");
    assert!(said.contains("operator   BatchNormalization: - -> "), "{said}");
    assert!(said.lines().any(|l| l.starts_with("constant")) && said.contains("more; --all"), "{said}");
    assert_eq!(run(&["diff", text(&one), text(&other), "--exit-code"]).status.code(), Some(1));
    assert_eq!(run(&["diff", text(&one), text(&one), "--exit-code"]).status.code(), Some(0));
}

/// Three changes to a file, and as many that are found.
#[test]
fn diff_finds_what_was_changed_and_nothing_else() {
    let before = onnx::read(&example(MODEL)).unwrap().graph;
    let mut model = ModelProto::decode(before.encode().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let weight = graph.initializer.iter_mut().find(|t| t.dims.len() == 4).unwrap();
    let (name, dims) = (weight.name.clone(), weight.dims.clone());
    let scaled: Vec<f32> = onnx::floats(weight).unwrap().iter().map(|v| v * 1.25).collect();
    *weight = onnx::float_tensor(&name, &dims, &scaled);
    let convolution = graph.node.iter_mut().rfind(|n| n.op_type == "Conv").unwrap();
    let output = convolution.output[0].clone();
    convolution.attribute.reverse();
    convolution.attribute.iter_mut().find(|a| a.name == "dilations").unwrap().ints = vec![2, 2];
    graph.node.iter_mut().for_each(|n| n.name.push('x'));
    let after = onnx::parse(model.encode_to_vec().into()).unwrap();

    let changes = diff::graphs(&before, &after).unwrap();
    let found: Vec<(&str, &str)> = changes.iter().map(|c| (c.kind, c.name.as_str())).collect();
    assert_eq!(found, [("node", output.as_str()), ("constant", name.as_str())], "{changes:?}");
    assert!(changes[1].after.as_ref().unwrap().starts_with("off by 25.000 % of its norm"), "{changes:?}");
    assert!(changes[0].after.as_ref().unwrap().contains("dilations=[2, 2]"), "{changes:?}");
}

#[test]
fn evaluate_measures_two_files_and_leaves_no_package() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.html");
    let (model, candidate, data) =
        (example(MODEL), example("fashion-mobilenet-bn.onnx"), example("fashion-calibration.npz"));
    let output = run(&[
        "evaluate",
        "--model",
        text(&model),
        "--candidate",
        text(&candidate),
        "--evaluation",
        text(&data),
        "--scale",
        "0.00392156862745098",
        "--mean",
        "0.2860",
        "--std",
        "0.3530",
        "--report",
        text(&report),
    ]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    for row in ["top-1", "CPU", "memory", "MACs"] {
        assert!(said.lines().any(|l| l.starts_with(row)), "{row}: {said}");
    }
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("<h1>fashion-mobilenet-bn</h1>") && html.contains("<h2>Layers</h2>"), "{html}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_misspelt_key_of_a_recipe_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let recipe = directory.path().join("recipe.yaml");
    std::fs::write(&recipe, "name: int8\ntechniques: [{ quantize: { calibratoin: Mse } }]\n").unwrap();
    let output = directory.path().join("out.onnx");
    let (model, data) = (example(MODEL), example("fashion-calibration.npz"));
    let arguments = ["--model", text(&model), "--calibration", text(&data), "--recipe", text(&recipe)];
    for command in [vec!["apply", "--output", text(&output)], vec!["optimize", "--store", text(directory.path())]] {
        let refused = run(&[&command[..], &arguments].concat());
        assert_eq!(refused.status.code(), Some(65), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("`techniques.0.quantize.calibratoin`"), "{said}");
    }
}
