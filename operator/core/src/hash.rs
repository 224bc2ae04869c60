use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The first `digits` hexadecimal digits of the SHA-256 of a value's JSON, its keys sorted.
///
/// Sorted here because serde_json's own order of keys depends on a feature that any crate of a build can turn on.
pub fn hash(value: &Value, digits: usize) -> String {
    let mut text = String::new();
    write_sorted(value, &mut text);
    let mut hex = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex.chars().take(digits).collect()
}

fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                write_string(key, out);
                out.push(':');
                write_sorted(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::String(text) => write_string(text, out),
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// As JSON. Hardly any text of ours has a character to escape, and most of a plan's time went into looking for them one by one.
fn write_string(text: &str, out: &mut String) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_is_nothing_and_everything_else_is() {
        let a = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}});
        assert_eq!(hash(&a, 10), hash(&json!({"b": {"d": "x", "c": [1, 2]}, "a": 1}), 10));
        for other in [
            json!({"a": 1, "b": {"c": [2, 1], "d": "x"}}),
            json!({"a": "1", "b": {"c": [1, 2], "d": "x"}}),
            json!({"a": 1, "b": {"c": [1], "d": "x"}}),
        ] {
            assert_ne!(hash(&a, 10), hash(&other, 10));
        }
        assert_eq!(hash(&a, 10).len(), 10);
    }

    /// Revisions are named by it: another way to write the same would be a rollout of every model.
    #[test]
    fn text_is_written_as_json() {
        for text in ["", "plain", "a b", "quo\"te", "back\\slash", "line\nend", "\u{1}", "\u{7f}", "größe ✓", "/"] {
            let mut written = String::new();
            write_string(text, &mut written);
            assert_eq!(written, serde_json::to_string(text).unwrap());
        }
    }
}
