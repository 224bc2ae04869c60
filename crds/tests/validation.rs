//! Every CEL rule of the CRD accepts and refuses what tests/validation.yaml says, with the message that it says.

mod table;

use drydock_crds::ModelDeployment;
use kube::CustomResourceExt as _;
use kube::core::cel::{validate_cel, validate_cel_update};
use serde_json::Value;

fn object(base: &Value, change: &Value) -> ModelDeployment {
    let mut object = base.clone();
    json_patch::merge(&mut object, change);
    serde_json::from_value(object).expect("a ModelDeployment")
}

#[test]
fn accepts() {
    let table = table::read();
    for case in &table.accept {
        if let Err(errors) = validate_cel(&object(&table.base, &case.change)) {
            panic!("{}: refused: {errors:?}", case.name);
        }
    }
}

#[test]
fn rejects_with_a_message_that_helps() {
    let table = table::read();
    for case in table.reject.iter().filter(|c| c.by.is_none()) {
        let errors = validate_cel(&object(&table.base, &case.change)).expect_err(&case.name);
        assert!(format!("{errors:?}").contains(&case.message), "{}: {errors:?}", case.name);
    }
    for case in &table.reject_update {
        let errors = validate_cel_update(
            &object(&table.base, &case.change),
            &object(&table.base, &Value::Object(serde_json::Map::new())),
        )
        .expect_err(&case.name);
        assert!(format!("{errors:?}").contains(&case.message), "{}: {errors:?}", case.name);
    }
}

/// The name cannot be changed any more, and everything else of it must still be: to take it out of the cluster, say.
#[test]
fn a_preview_that_was_made_before_the_rule_can_be_edited() {
    let table = table::read();
    let before = serde_json::json!({ "metadata": { "name": "fashion-preview" }, "status": { "phase": "Serving" } });
    validate_cel(&object(&table.base, &before)).unwrap();
    let fresh = serde_json::json!({ "metadata": { "name": "fashion-preview" } });
    assert!(validate_cel(&object(&table.base, &fresh)).is_err());
}

/// A rule that is added without a case is found here.
#[test]
fn every_rule_has_a_case() {
    let table = table::read();
    let crd = serde_json::to_value(ModelDeployment::crd()).unwrap();
    let mut messages = Vec::new();
    collect_messages(&crd, &mut messages);
    assert!(messages.len() >= 15, "the schema has lost its rules: {messages:?}");
    for message in messages {
        assert!(
            table.reject.iter().chain(&table.reject_update).any(|c| message.contains(&c.message)),
            "no case in tests/validation.yaml expects the rule that says: {message}"
        );
    }
}

fn collect_messages(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(rules)) = map.get("x-kubernetes-validations") {
                for rule in rules {
                    let message = rule.get("message").and_then(Value::as_str);
                    found.push(message.expect("each rule says what to write instead").to_owned());
                }
            }
            map.values().for_each(|v| collect_messages(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| collect_messages(v, found)),
        _ => {}
    }
}
