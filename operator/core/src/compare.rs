use serde_json::Value;

use crate::quantity;

/// Whether everything that is desired is observed. What the API server adds by itself does not count, what it leaves out
/// because it is empty does not count, and quantities are compared by value.
pub fn holds(desired: &Value, observed: &Value) -> bool {
    holds_at("", desired, Some(observed), false)
}

/// `false` says something else than nothing in these: the API server's default is `true`.
const TRUE_BY_DEFAULT: [&str; 3] = ["automountServiceAccountToken", "enableServiceLinks", "allowPrivilegeEscalation"];

fn holds_at(key: &str, desired: &Value, observed: Option<&Value>, quantities: bool) -> bool {
    let Some(observed) = observed.filter(|o| !o.is_null()) else {
        return is_empty(desired) && !TRUE_BY_DEFAULT.contains(&key);
    };
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
        (Value::Array(desired), Value::Array(observed)) if merge_key(key).is_some() => {
            let id = merge_key(key).unwrap_or_default();
            let id_of = |item: &Value| id.iter().find_map(|field| item.get(field).cloned());
            desired.iter().all(|d| observed.iter().any(|o| id_of(d) == id_of(o) && holds_at("", d, Some(o), false)))
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

/// Lists whose items server-side apply merges by one of these fields. What others have added to them is theirs and stays,
/// so that it must not be a difference either: it would be written against for ever.
fn merge_key(list: &str) -> Option<&'static [&'static str]> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some(&["name"]),
        "ports" => Some(&["containerPort", "port"]),
        "volumeMounts" => Some(&["mountPath"]),
        "volumeDevices" => Some(&["devicePath"]),
        "ownerReferences" => Some(&["uid"]),
        "hostAliases" => Some(&["ip"]),
        "topologySpreadConstraints" => Some(&["topologyKey"]),
        _ => None,
    }
}

/// Maps that are one value to server-side apply: a key that somebody adds changes what they mean, and selects other pods.
fn is_atomic(map: &str) -> bool {
    matches!(map, "selector" | "matchLabels" | "nodeSelector")
}

/// What the API server may leave out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert!(!holds(
            &desired,
            &json!({"selector": {"matchLabels": {"app": "a", "x": "y"}}, "labels": {"app": "a"}})
        ));
    }

    #[test]
    fn a_false_that_means_something_is_missed() {
        assert!(!holds(&json!({"automountServiceAccountToken": false}), &json!({})));
        assert!(holds(&json!({"hostNetwork": false}), &json!({})));
        assert!(!holds(&json!({"labels": {"version": "1"}}), &json!({"labels": {"version": "1.0"}})));
    }
}
