//! The file of `plan -f`.

use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    #[error("it is not YAML: {0}")]
    NotYaml(String),
    #[error("found {0} ModelDeployments; expected one")]
    NotOne(usize),
    #[error("metadata.name is missing")]
    NoName,
    #[error("it is not a ModelDeployment that this version knows: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// The one ModelDeployment among the documents of a file, and its name.
pub fn read(text: &str) -> Result<(String, Value), BadManifest> {
    let documents: Vec<Value> = serde_yaml::from_multiple(text).map_err(|e| BadManifest::NotYaml(e.to_string()))?;
    let mut found: Vec<Value> = documents.into_iter().filter(|d| d["kind"] == "ModelDeployment").collect();
    let (Some(object), true) = (found.pop(), found.is_empty()) else {
        return Err(BadManifest::NotOne(if found.is_empty() { 0 } else { found.len() + 1 }));
    };
    let name = object.pointer("/metadata/name").and_then(Value::as_str).ok_or(BadManifest::NoName)?.to_owned();
    Ok((name, object))
}

/// The object as it would stand in the cluster after an apply: `file`, and of `live` what a file does not have or did not say.
pub fn applied(file: &Value, live: &Value) -> Value {
    let mut next = file.clone();
    for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "namespace"] {
        if let Some(value) = live.pointer(&format!("/metadata/{field}")) {
            next["metadata"][field] = value.clone();
        }
    }
    if let Some(status) = live.get("status") {
        next["status"] = status.clone();
    }
    // What `kubectl drydock` has written is its own: an apply of a file that does not name it leaves it alone.
    let said = live.pointer("/spec/rollout/control");
    if let (Some(said), None) = (said, file.pointer("/spec/rollout/control"))
        && next["spec"].is_object()
        // What is no object has no field: the API server says so.
        && next["spec"].get("rollout").is_none_or(|rollout| rollout.is_object() || rollout.is_null())
    {
        next["spec"]["rollout"]["control"] = said.clone();
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_among_the_documents() {
        let one = "kind: ModelDeployment\nmetadata: { name: m }\n";
        assert_eq!(read(&format!("kind: Namespace\n---\n{one}")).unwrap().0, "m");
        for (text, expected) in [
            (format!("{one}---\n{one}"), "found 2 ModelDeployments"),
            ("kind: Namespace".to_owned(), "found 0 ModelDeployments"),
            ("kind: ModelDeployment".to_owned(), "metadata.name is missing"),
            ("a: [".to_owned(), "it is not YAML"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_was_said_stays_unless_the_file_says_otherwise() {
        let live = json!({
            "metadata": { "name": "m", "uid": "u", "generation": 3, "labels": { "a": "b" } },
            "spec": { "suspend": true, "rollout": { "steps": [], "control": { "paused": true } } },
            "status": { "phase": "Serving" },
        });
        let next = applied(&json!({ "metadata": { "name": "m" }, "spec": { "model": 1 } }), &live);
        assert_eq!(
            next,
            json!({
                "metadata": { "name": "m", "uid": "u", "generation": 3 },
                "spec": { "model": 1, "rollout": { "control": { "paused": true } } },
                "status": { "phase": "Serving" },
            })
        );
        let own = json!({ "metadata": { "name": "m" }, "spec": { "rollout": { "control": {} } } });
        assert_eq!(applied(&own, &live)["spec"]["rollout"]["control"], json!({}));
        let odd = json!({ "metadata": { "name": "m" }, "spec": { "rollout": [] } });
        assert_eq!(applied(&odd, &live)["spec"]["rollout"], json!([]));
    }
}
