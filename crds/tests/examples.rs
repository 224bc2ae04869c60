//! The files of `examples/` say nothing that the API does not have, and keep its rules.

#![allow(clippy::panic, reason = "a test that cannot go on stops")]

use std::path::Path;

use drydock_crds::{ModelDeployment, Optimization, Rollout, Serving};
use kube::core::cel::validate_cel;
use serde_json::{Value, json};

#[test]
fn each_is_understood_to_the_last_field() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        count += 1;
        let name = path.display();
        let given: Value = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let object: ModelDeployment = serde_json::from_value(given.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Err(errors) = validate_cel(&object) {
            panic!("{name}: {errors:?}");
        }
        let understood = serde_json::to_value(&object).unwrap();
        assert_subset(&given, &understood, &format!("{name}: "));
    }
    assert!(count >= 5, "only {count} examples were found");
}

/// A misspelt field is dropped on reading, so it is missing on writing.
fn assert_subset(given: &Value, understood: &Value, at: &str) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (key, value) in given {
                let there = understood.get(key).unwrap_or_else(|| panic!("{at}.{key}: the API has no such field"));
                assert_subset(value, there, &format!("{at}.{key}"));
            }
        }
        (Value::Array(given), Value::Array(understood)) => {
            assert_eq!(given.len(), understood.len(), "{at}");
            for (n, (given, understood)) in given.iter().zip(understood).enumerate() {
                assert_subset(given, understood, &format!("{at}[{n}]"));
            }
        }
        _ => {}
    }
}

/// A part of the spec that is left out means the same as an empty one.
#[test]
fn left_out_and_empty_are_the_same() {
    assert_eq!(serde_json::from_value::<Optimization>(json!({})).unwrap(), Optimization::default());
    assert_eq!(serde_json::from_value::<Rollout>(json!({})).unwrap(), Rollout::default());
    assert_eq!(serde_json::from_value::<Serving>(json!({})).unwrap(), Serving::default());
}
