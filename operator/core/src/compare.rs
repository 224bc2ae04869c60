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
            let quantities = matches!(key, "requests" | "limits" | "capacity" | "overhead");
            desired.iter().all(|(key, value)| {
                holds_at(key, value, observed.get(key), quantities || matches!(key.as_str(), "sizeLimit" | "divisor"))
            })
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
    fn a_false_that_means_something_is_missed() {
        assert!(!holds(&json!({"automountServiceAccountToken": false}), &json!({})));
        assert!(holds(&json!({"hostNetwork": false}), &json!({})));
        assert!(!holds(&json!({"labels": {"version": "1"}}), &json!({"labels": {"version": "1.0"}})));
    }
}
