//! Whether what is there is what is wished for.

mod walk;

use serde::Serialize;
use serde_json::Value;
use walk::Walk;

/// Whether everything that is desired is observed. What the API server adds by itself does not count, what it leaves out
/// because it is empty does not count, and quantities are compared by value.
///
/// The observed object is walked as it would be serialized, and nothing is made of it: every pass asks this of every child.
pub fn holds(desired: &Value, observed: &impl Serialize) -> bool {
    observed.serialize(Walk::over(desired)).unwrap_or(false)
}

/// `false` says something else than nothing in these: the API server's default is `true`.
const TRUE_BY_DEFAULT: [&str; 3] = ["automountServiceAccountToken", "enableServiceLinks", "allowPrivilegeEscalation"];

/// Whether it need not be there.
fn may_be_absent(key: &str, desired: &Value) -> bool {
    is_empty(desired) && !TRUE_BY_DEFAULT.contains(&key)
}

/// Lists whose items server-side apply merges by their name, port, path or the like. What others have added to them is theirs and stays,
/// so that it must not be a difference either: it would be written against for ever.
fn is_merged(list: &str) -> bool {
    matches!(
        list,
        "containers"
            | "initContainers"
            | "env"
            | "volumes"
            | "imagePullSecrets"
            | "ports"
            | "volumeMounts"
            | "volumeDevices"
            | "ownerReferences"
            | "hostAliases"
            | "topologySpreadConstraints"
    )
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
mod tests;
