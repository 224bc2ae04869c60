//! The program as the Job runs it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::{example, int8, library, preprocessing, with_opset};
use crate::making::{node, value};
use drydock_contract::{
    CandidateReport, Dataset, Digest, FailureReason, Input, Limits, Location, Objective, PackageManifest, Quantize,
    Search, Task,
};
use drydock_optimizer::proto::tensor_proto::DataLocation;
use drydock_optimizer::proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};

fn input(path: &Path) -> Input {
    Input { location: Location::Path(path.display().to_string()), sha256: None }
}

fn task(store: &Path) -> Task {
    Task {
        model: input(&example("fashion-mobilenet.onnx")),
        preprocessing: preprocessing(),
        labels: ["T-shirt/top", "Trouser"].map(str::to_owned).to_vec(),
        detection: None,
        dataset: Some(Dataset {
            calibration: input(&example("fashion-calibration.npz")),
            // Small, so that the test is quick.
            evaluation: input(&example("fashion-calibration.npz")),
            training: None,
        }),
        recipes: vec![int8(Quantize { images: 32, ..Quantize::default() })],
        models: BTreeMap::new(),
        target: None,
        search: None,
        store: store.display().to_string(),
    }
}

fn command(directory: &Path, task: &str, index: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drydock-optimizer"));
    command
        .arg("job")
        .env("DRYDOCK_TASK", task)
        .env("JOB_COMPLETION_INDEX", index)
        .env("DRYDOCK_TERMINATION_LOG", directory.join("made/termination-log"))
        .env("ORT_DYLIB_PATH", library());
    command
}

fn report(directory: &Path) -> CandidateReport {
    let text = std::fs::read_to_string(directory.join("made/termination-log")).unwrap();
    assert!(text.len() <= 4096);
    serde_json::from_str(&text).unwrap()
}

fn store_package(store: &Path, report: &CandidateReport) -> PathBuf {
    store.join("packages").join(report.package.as_ref().unwrap().hex())
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn both_indexes_and_a_second_run() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let task = task(&store);
    let json = serde_json::to_string(&task).unwrap();

    let output = command(directory.path(), &json, "0").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let original = report(directory.path());
    assert_eq!((original.candidate.as_str(), &original.failure), ("original", &None));
    let accuracy = original.measurements.accuracy.unwrap();
    assert_eq!((accuracy.top1, accuracy.agreement), (accuracy.original_top1, 100.0));
    let latency = original.measurements.latency.unwrap();
    assert_eq!(latency.machine.as_ref().unwrap().architecture, std::env::consts::ARCH);
    assert_eq!(latency.speedup().to_bits(), 1.0_f64.to_bits(), "its own equal");
    let package = store.join("packages").join(original.package.unwrap().hex());
    let same = std::fs::read(package.join("model.onnx")).unwrap();
    assert!(same == std::fs::read(example("fashion-mobilenet.onnx")).unwrap(), "the original is a copy");

    let output = command(directory.path(), &json, "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("are one file"), "{}", stdout(&output));
    assert!(stdout(&output).contains("32/32 images") && stdout(&output).contains('%'), "{}", stdout(&output));
    let first = report(directory.path());
    assert_eq!(first.candidate, "int8");
    assert!(first.measurements.accuracy.as_ref().unwrap().same_data);
    let confusion: serde_json::Value =
        serde_json::from_slice(&std::fs::read(store_package(&store, &first).join("confusion.json")).unwrap()).unwrap();
    let images =
        |of: &str| confusion[of].as_array().unwrap().iter().map(|c| c["images"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((images("original"), images("candidate")), (1000, 1000));
    assert!(first.measurements.memory.as_ref().unwrap().peak_bytes > 1 << 20);
    let package = store_package(&store, &first);
    let manifest: PackageManifest =
        serde_json::from_slice(&std::fs::read(package.join("package.json")).unwrap()).unwrap();
    assert_eq!(manifest.record.tools["drydock-optimizer"], env!("CARGO_PKG_VERSION"));
    assert!(!manifest.record.tools["onnxruntime"].is_empty(), "{:?}", manifest.record.tools);
    assert_eq!(manifest.content.labels, task.labels);

    let output = command(directory.path(), &json, "1").output().unwrap();
    assert!(stdout(&output).contains("already"), "{}", stdout(&output));
    assert_eq!(report(directory.path()), first);
}

#[test]
fn a_search_is_the_last_index() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let with = |time_budget_seconds| {
        let limits = Limits { max_accuracy_drop: 2.0, ..Limits::default() };
        let search = Search { time_budget_seconds, max_candidates: 1, limits, objective: Objective::Size };
        let task = Task { recipes: Vec::new(), search: Some(search), ..task(&store) };
        serde_json::to_string(&task).unwrap()
    };
    let run = |task: &str, index: &str| command(directory.path(), task, index).output().unwrap();

    assert_eq!(run(&with(1), "1").status.code(), Some(65));
    let failure = report(directory.path()).failure.unwrap();
    assert_eq!(failure.reason, FailureReason::TimeBudgetTooShort);
    assert!(failure.message.contains("budget of 1"), "{}", failure.message);

    let output = run(&with(120), "1");
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("s left, try int8: 1/"), "{}", stdout(&output));
    let found = report(directory.path());
    assert_eq!(found.candidate, "auto");
    assert!(found.measurements.memory.is_some() && found.measurements.latency.is_some());
    assert!(store_package(&store, &found).join("search.json").is_file());
    assert_eq!(run(&with(120), "2").status.code(), Some(64), "it is the last");

    let output = run(&with(120), "1");
    assert!(stdout(&output).contains("already") && report(directory.path()) == found, "{}", stdout(&output));
}

#[test]
fn without_a_data_set_the_original_is_packaged_and_a_recipe_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let task = Task { dataset: None, ..task(&directory.path().join("store")) };
    let json = serde_json::to_string(&task).unwrap();
    assert!(command(directory.path(), &json, "0").status().unwrap().success());
    let original = report(directory.path());
    assert!(original.measurements.accuracy.is_none() && original.measurements.latency.is_some());

    assert_eq!(command(directory.path(), &json, "1").status().unwrap().code(), Some(65));
    assert_eq!(report(directory.path()).failure.unwrap().reason, FailureReason::InvalidDataset);
}

#[test]
fn failures_have_a_reason_and_an_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let good = task(&store);
    let text = |task: &Task| serde_json::to_string(task).unwrap();
    let model = |path: &Path, sha256| Task { model: Input { sha256, ..input(path) }, ..good.clone() };
    let garbage = directory.path().join("garbage.onnx");
    std::fs::write(&garbage, b"garbage").unwrap();
    let wrong = Some(Digest::of(b"something else"));
    let file_store = Task { store: garbage.display().to_string(), ..good.clone() };

    for (case, task, index, reason, code) in [
        ("no task", String::new(), "0", FailureReason::InvalidTask, 64),
        ("newer task", r#"{"model": {}, "novelty": 1}"#.into(), "0", FailureReason::InvalidTask, 64),
        ("no index", text(&good), "", FailureReason::InvalidTask, 64),
        ("index too large", text(&good), "2", FailureReason::InvalidTask, 64),
        ("garbage", text(&model(&garbage, None)), "0", FailureReason::InvalidModel, 65),
        ("digest", text(&model(&garbage, wrong)), "0", FailureReason::DigestMismatch, 65),
        ("missing", text(&model(Path::new("/missing"), None)), "0", FailureReason::SourceUnreachable, 75),
        ("store", text(&file_store), "0", FailureReason::StoreUnavailable, 75),
    ] {
        let output = command(directory.path(), &task, index).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{case}: {output:?}");
        let report = report(directory.path());
        assert_eq!(report.failure.unwrap().reason, reason, "{case}");
        assert_eq!(report.package, None);
    }

    let output = command(directory.path(), &text(&good), "0").env("ORT_DYLIB_PATH", "/missing.so").output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let failure = report(directory.path()).failure.unwrap();
    assert_eq!(failure.reason, FailureReason::Internal);
    assert!(failure.message.contains("/missing.so"), "{}", failure.message);
}

/// ONNX Runtime says only that there is a cycle.
#[test]
fn a_model_that_is_refused_has_the_node_named() {
    let directory = tempfile::tempdir().unwrap();
    let cyclic = directory.path().join("cyclic.onnx");
    let graph = GraphProto {
        name: "g".into(),
        node: vec![node("Add", &["x", "z"], "y", &[]), node("Relu", &["y"], "z", &[])],
        input: vec![value("x", &[1, 4])],
        output: vec![value("y", &[1, 4])],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    let model = ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
    std::fs::write(&cyclic, model.encode_to_vec()).unwrap();
    let store = directory.path().join("store");
    let task = serde_json::to_string(&Task { model: input(&cyclic), ..task(&store) }).unwrap();
    for index in ["0", "1"] {
        assert_eq!(command(directory.path(), &task, index).status().unwrap().code(), Some(65));
        let failure = report(directory.path()).failure.unwrap();
        assert_eq!(failure.reason, FailureReason::InvalidModel);
        assert!(failure.message.contains("cycle through node"), "{}", failure.message);
    }
    let published = std::fs::read_dir(store.join("packages")).map_or(0, Iterator::count);
    assert_eq!(published, 0, "nothing is published, in whole or in part");
}

/// Index 1 takes seconds: ten thousand images, then the benchmark.
#[test]
fn a_signal_ends_the_work_and_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let good = task(&store);
    let dataset = good.dataset.clone().unwrap();
    let slow = Task {
        model: input(&example("fashion-resnet.onnx")),
        dataset: Some(Dataset { evaluation: input(&example("fashion-evaluation.npz")), ..dataset }),
        ..good
    };
    let json = serde_json::to_string(&slow).unwrap();
    for (index, stage) in [("1", "] evaluate"), ("0", "] benchmark")] {
        let mut child = command(directory.path(), &json, index).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().any(|line| line.unwrap().contains(stage)), "no {stage}");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        // Read on, or the child would find nobody to talk to.
        lines.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(75));
        assert_eq!(report(directory.path()).failure.unwrap().reason, FailureReason::Interrupted);
        let left = std::fs::read_dir(store.join("packages")).unwrap().count();
        assert_eq!(left, 0, "half-written packages");
    }
}

#[test]
fn an_old_opset_is_served_as_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.onnx");
    let bytes = std::fs::read(example("fashion-resnet.onnx")).unwrap();
    std::fs::write(&old, with_opset(bytes.clone(), 10)).unwrap();
    let task = Task { model: input(&old), ..task(&directory.path().join("store")) };
    let json = serde_json::to_string(&task).unwrap();

    let output = command(directory.path(), &json, "0").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let original = report(directory.path()).measurements;
    assert!(original.accuracy.unwrap().top1 > 90.0 && original.latency.is_some());

    assert_eq!(command(directory.path(), &json, "1").status().unwrap().code(), Some(65));
    let failure = report(directory.path()).failure.unwrap();
    assert_eq!(failure.reason, FailureReason::InvalidModel);
    assert!(failure.message.contains("version_converter"), "{}", failure.message);

    // Whether ONNX Runtime takes it is asked even where nothing is measured.
    std::fs::write(&old, with_opset(bytes, 120)).unwrap();
    let json = serde_json::to_string(&Task { dataset: None, ..task }).unwrap();
    assert_eq!(command(directory.path(), &json, "0").status().unwrap().code(), Some(65));
    assert_eq!(report(directory.path()).failure.unwrap().reason, FailureReason::InvalidModel);
}

#[test]
fn another_weights_file_is_another_source() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("m.onnx");
    let weights = directory.path().join("w.bin");
    let mut proto = ModelProto::decode(&std::fs::read(example("fashion-mobilenet.onnx")).unwrap()[..]).unwrap();
    // The last bias, for one: its values are small, and the model stays a model whatever they are.
    let tensor = proto.graph.as_mut().unwrap().initializer.iter_mut().rfind(|t| t.dims == [10]).unwrap();
    std::fs::write(&weights, std::mem::take(&mut tensor.raw_data)).unwrap();
    tensor.data_location = DataLocation::External as i32;
    tensor.external_data = vec![StringStringEntryProto { key: "location".into(), value: "w.bin".into() }];
    std::fs::write(&model, proto.encode_to_vec()).unwrap();

    let task = Task { model: input(&model), dataset: None, ..task(&directory.path().join("store")) };
    let json = serde_json::to_string(&task).unwrap();
    let package = || {
        assert!(command(directory.path(), &json, "0").status().unwrap().success());
        report(directory.path()).package.unwrap()
    };
    let first = package();
    std::fs::write(&weights, [0; 40]).unwrap();
    assert_ne!(package(), first);
}

#[test]
fn images_in_both_sets_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let good = task(&directory.path().join("store"));
    let copy = directory.path().join("copy.npz");
    // The same images, in a file that differs by a comment at its end.
    let mut bytes = std::fs::read(example("fashion-calibration.npz")).unwrap();
    let comment = bytes.len() - 2;
    bytes[comment] = 1;
    bytes.push(b' ');
    std::fs::write(&copy, bytes).unwrap();
    let dataset = Dataset { evaluation: input(&copy), ..good.dataset.clone().unwrap() };
    let json = serde_json::to_string(&Task { dataset: Some(dataset), ..good.clone() }).unwrap();
    assert_eq!(command(directory.path(), &json, "1").status().unwrap().code(), Some(65));
    let failure = report(directory.path()).failure.unwrap();
    assert_eq!(failure.reason, FailureReason::InvalidDataset);
    assert!(
        failure.message.contains("1000 of 1000 images") && failure.message.contains("the first at row 0"),
        "{failure:?}"
    );
}
