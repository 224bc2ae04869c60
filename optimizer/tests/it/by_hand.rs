//! The program as a person calls it: what it prints, and how it ends.

use drydock_optimizer::proto::ModelProto;
use prost::Message as _;

use crate::common::{example, run, text};

/// What it says where it ends with this code.
#[track_caller]
fn refused(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn a_model_is_inspected() {
    let output = run(&["inspect", text(&example("fashion-mobilenet.onnx"))]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("MACs        6979200 for one item"), "{said}");
    assert!(refused(&["inspect", "/nowhere.onnx"], 65).contains("/nowhere.onnx"));
    let directory = tempfile::tempdir().unwrap();
    let half = directory.path().join("half.onnx");
    std::fs::write(&half, &std::fs::read(example("fashion-mobilenet.onnx")).unwrap()[..1000]).unwrap();
    assert!(refused(&["inspect", text(&half)], 65).contains("truncated"));
}

/// Nothing is left of what could not be made.
#[test]
fn an_operator_that_nobody_knows_is_named() {
    let mut model = ModelProto::decode(std::fs::read(example("fashion-mobilenet.onnx")).unwrap().as_slice()).unwrap();
    let relu = model.graph.as_mut().unwrap().node.iter_mut().find(|n| n.op_type.as_str() != "Conv").unwrap();
    "Mystery".clone_into(&mut relu.op_type);
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path().join("model.onnx"), directory.path().join("store"));
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let data = example("fashion-calibration.npz");
    let recipe = directory.path().join("int8.yaml");
    std::fs::write(&recipe, "{name: int8, techniques: [{quantize: {}}]}").unwrap();
    let model = ["--model", text(&path), "--calibration", text(&data), "--store", text(&store)];
    let said = refused(&[&["optimize", "--recipe", text(&recipe)], model.as_slice()].concat(), 65);
    assert!(said.contains("InvalidModel") && said.contains("Mystery"), "{said}");
    assert!(!store.join("packages").exists(), "nothing is left");
}

#[test]
fn a_search_that_has_no_time_says_how_much_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let (model, data) = (example("fashion-mobilenet.onnx"), example("fashion-evaluation.npz"));
    let calibration = example("fashion-calibration.npz");
    let files = ["--model", text(&model), "--calibration", text(&calibration), "--evaluation", text(&data)];
    let said = refused(&[&["search", "--time-budget", "1", "--store", text(&store)], files.as_slice()].concat(), 65);
    assert!(said.contains("TimeBudgetTooShort") && said.contains("needs"), "{said}");
    assert!(!store.join("packages").exists(), "nothing is left");
}
