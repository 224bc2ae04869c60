//! Reads what a person, or another version, wrote: a key that is not known is an error and not a wish left unheard.
//!
//! The types themselves pass over such keys, as they must: the API server and the sidecar read objects of later versions.

use serde::de::DeserializeOwned;

/// # Errors
/// What does not parse, with its place; or every key that is not known, with its path.
pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut unknown = Vec::new();
    let value = serde_yaml::with_deserializer_from_str(text, |d| {
        serde_ignored::deserialize(d, |p| unknown.push(p.to_string()))
    });
    known(value.map_err(|e| e.to_string())?, &unknown)
}

/// # Errors
/// As [`yaml`].
pub fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut unknown = Vec::new();
    let mut from = serde_json::Deserializer::from_str(text);
    let value = serde_ignored::deserialize(&mut from, |p| unknown.push(p.to_string()));
    let value = value.and_then(|v| from.end().map(|()| v)).map_err(|e| e.to_string())?;
    known(value, &unknown)
}

fn known<T>(value: T, unknown: &[String]) -> Result<T, String> {
    if unknown.is_empty() {
        return Ok(value);
    }
    // An optional field has a step of its own in the path.
    let paths: Vec<String> = unknown.iter().map(|p| format!("`{}`", p.replace(".?", ""))).collect();
    Err(format!("unknown {}: misspelt, or of a later version", paths.join(", ")))
}

#[cfg(test)]
mod tests {
    use drydock_contract::{Recipe, Task};

    use super::*;

    #[test]
    fn a_misspelt_key_is_named() {
        for (text, expected) in [
            ("name: int8\ntechniques: [{ quantize: { calibration: Mse } }]", None),
            ("name: int8\ntechniques: [{ quantize: { calibratoin: Mse } }]", Some("techniques.0.quantize.calibratoin")),
            ("name: int8\ntechniques: [{ quantize: {}, quantise: {} }]", Some("techniques.0.quantise")),
            ("name: int8\ntechnique: []\ntechniques: []", Some("`technique`")),
            ("name: int8\ntechniques: [{ quantize: { calibration: Mean } }]", Some("Mean")),
            ("name: [", Some("line 1")),
        ] {
            let found = yaml::<Recipe>(text);
            match expected {
                None => assert!(found.is_ok(), "{found:?}"),
                Some(part) => assert!(found.as_ref().is_err_and(|e| e.contains(part)), "{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_task_of_a_later_version_is_not_half_done() {
        let task = r#"{"model": {"location": {"path": "/m"}}, "store": "/s",
            "recipes": [{"name": "a", "techniques": [{"prune": {"novelty": 1}}]}]}"#;
        let error = json::<Task>(task).unwrap_err();
        assert!(error.contains("recipes.0.techniques.0.prune.novelty"), "{error}");
        assert!(json::<Task>(&task.replace(r#""novelty": 1"#, "")).is_ok());
        assert!(json::<Task>(&(task.replace(r#""novelty": 1"#, "") + "x")).is_err());
    }
}
