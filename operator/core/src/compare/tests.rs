use super::*;
use proptest::prelude::*;
use serde_json::json;

use crate::quantity;

#[test]
fn defaults_are_no_difference_and_drift_is() {
    let desired = json!({"spec": {"ports": [{"name": "http", "port": 80}], "publish": false, "env": [{"name": "A", "value": ""}],
        "resources": {"requests": {"cpu": "0.5", "memory": "1Gi"}}}});
    let defaulted = json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "type": "ClusterIP",
        "env": [{"name": "A"}], "resources": {"requests": {"cpu": "500m", "memory": "1024Mi"}}}});
    assert!(holds(&desired, &defaulted));
    for drifted in [
        json!({"spec": {"ports": [], "env": [{"name": "A"}], "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}}),
        json!({"spec": {"ports": [{"name": "http", "port": 81}], "env": [{"name": "A"}], "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}}),
        json!({"spec": {"ports": [{"name": "http", "port": 80}], "env": [{"name": "A"}], "resources": {"requests": {"cpu": "500m"}}}}),
        json!({}),
    ] {
        assert!(!holds(&desired, &drifted), "{drifted}");
    }
}

#[test]
fn what_others_add_to_a_merged_list_is_theirs() {
    let desired = json!({"containers": [{"name": "a", "args": ["serve"]}], "ownerReferences": [{"uid": "1"}]});
    let added = json!({"containers": [{"name": "mesh"}, {"name": "a", "args": ["serve"], "env": [{"name": "X"}]}],
        "ownerReferences": [{"uid": "2"}, {"uid": "1"}]});
    assert!(holds(&desired, &added));
    for drifted in [
        json!({"containers": [{"name": "a", "args": ["serve", "more"]}], "ownerReferences": [{"uid": "1"}]}),
        json!({"containers": [{"name": "b", "args": ["serve"]}], "ownerReferences": [{"uid": "1"}]}),
        json!({"containers": [{"name": "a", "args": ["serve"]}], "ownerReferences": [{"uid": "2"}]}),
    ] {
        assert!(!holds(&desired, &drifted), "{drifted}");
    }
}

#[test]
fn a_selector_with_a_key_more_selects_other_pods() {
    let desired = json!({"spec": {"selector": {"app": "a"}}});
    assert!(holds(&desired, &json!({"spec": {"selector": {"app": "a"}}})));
    assert!(!holds(&desired, &json!({"spec": {"selector": {"app": "a", "x": "y"}}})));
    let desired = json!({"selector": {"matchLabels": {"app": "a"}}, "labels": {"app": "a"}});
    assert!(holds(&desired, &json!({"selector": {"matchLabels": {"app": "a"}}, "labels": {"app": "a", "x": "y"}})));
    assert!(!holds(&desired, &json!({"selector": {"matchLabels": {"app": "a", "x": "y"}}, "labels": {"app": "a"}})));
}

#[test]
fn a_false_that_means_something_is_missed() {
    assert!(!holds(&json!({"automountServiceAccountToken": false}), &json!({})));
    assert!(holds(&json!({"hostNetwork": false}), &json!({})));
    assert!(!holds(&json!({"labels": {"version": "1"}}), &json!({"labels": {"version": "1.0"}})));
}

/// The same said of two trees. The walk has to come to what this says.
fn holds_at(key: &str, desired: &Value, observed: Option<&Value>, quantities: bool) -> bool {
    let Some(observed) = observed.filter(|o| !o.is_null()) else { return may_be_absent(key, desired) };
    match (desired, observed) {
        (Value::Object(desired), Value::Object(observed)) => {
            if is_atomic(key) && observed.iter().any(|(key, value)| !desired.contains_key(key) && !is_empty(value)) {
                return false;
            }
            let quantities = matches!(key, "requests" | "limits" | "capacity" | "overhead");
            desired.iter().all(|(key, value)| {
                holds_at(key, value, observed.get(key), quantities || matches!(key.as_str(), "sizeLimit" | "divisor"))
            })
        }
        (Value::Array(desired), Value::Array(observed)) if is_merged(key) => {
            let id = |item: &Value| item.get("name").cloned();
            desired.iter().all(|d| observed.iter().any(|o| id(d) == id(o) && holds_at("", d, Some(o), false)))
        }
        (Value::Array(desired), Value::Array(observed)) => {
            desired.len() == observed.len()
                && desired.iter().zip(observed).all(|(d, o)| holds_at("", d, Some(o), false))
        }
        (Value::String(desired), Value::String(observed)) if quantities => quantity::equal(desired, observed),
        (Value::Number(desired), Value::Number(observed)) => desired.as_f64() == observed.as_f64(),
        (desired, observed) => desired == observed || (is_empty(desired) && is_empty(observed)),
    }
}

/// With few words, so that two of them have something in common.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from),
        Just(json!(1.0)),
        prop_oneof![Just(""), Just("a"), Just("1"), Just("1000m"), Just("1Ki"), Just("1024")].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let keys = ["a", "b", "limits", "selector", "sizeLimit", "enableServiceLinks"];
        let key = (0..keys.len()).prop_map(move |at| keys[at].to_owned());
        let item = (prop_oneof![Just("x"), Just("y")], inner.clone()).prop_map(|(name, v)| json!({"name": name, "v": v}));
        prop_oneof![
            3 => prop::collection::btree_map(key, inner.clone(), 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
            1 => prop::collection::vec(item, 0..3).prop_map(|items| json!({"env": items})),
        ]
    })
}

/// A part of it left out, or written another way.
fn like(value: &Value, bits: u32) -> Value {
    match value {
        Value::Object(map) => {
            let of = |(i, (key, value)): (usize, (&String, &Value))| {
                let bits = bits.rotate_right(u32::try_from(i).unwrap() * 3 + 1);
                (!bits.is_multiple_of(8) || key == "name").then(|| (key.clone(), like(value, bits)))
            };
            Value::Object(map.iter().enumerate().filter_map(of).collect())
        }
        Value::Array(items) if bits % 16 == 1 => items.iter().rev().cloned().collect(),
        Value::Array(items) => items.iter().map(|item| like(item, bits.rotate_right(5))).collect(),
        Value::String(text) if bits.is_multiple_of(4) && text == "1Ki" => json!("1024"),
        value => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Of two that have nothing to do with one another, and of two of which one was made of the other.
    #[test]
    fn the_walk_says_what_the_trees_say(a in json(), b in json(), bits in any::<u32>()) {
        for (desired, observed) in [(&a, &b), (&like(&a, bits), &a), (&a, &like(&a, bits)), (&a, &a)] {
            let expected = holds_at("", desired, Some(observed), false);
            prop_assert_eq!(holds(desired, observed), expected, "{} {}", desired, observed);
        }
    }
}
