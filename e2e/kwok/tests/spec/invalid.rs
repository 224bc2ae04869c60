//! Values that the schema rules out, for each field that rules any out.

use serde_json::{Value, json};

use crate::values::Change;

pub struct Case {
    pub field: String,
    /// `over its maximum`.
    pub what: &'static str,
    pub spec: Value,
}

impl Case {
    /// The field's own name, or of an item of a list or a map that of the whole.
    pub fn is_named_in(&self, message: &str) -> bool {
        let name = self.field.trim_end_matches("[]").trim_end_matches("{}").rsplit('.').next().unwrap_or_default();
        message.contains(name.trim_end_matches("[]").trim_end_matches("{}"))
    }
}

/// From the first valid change of each field.
pub fn cases(schema: &Value, changes: &[Change]) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for change in changes {
        if all.iter().any(|case| case.field == change.field) {
            continue;
        }
        let of = schema_of(schema, &change.field);
        for (what, value) in wrong(of) {
            let mut spec = change.spec.clone();
            let Some(place) = place(&mut spec, &change.field) else { continue };
            *place = value;
            all.push(Case { field: change.field.clone(), what, spec });
        }
    }
    all
}

fn wrong(schema: &Value) -> Vec<(&'static str, Value)> {
    let number = |name: &str| schema[name].as_f64();
    let mut all = Vec::new();
    if let Some(most) = number("maximum") {
        all.push((
            "over its maximum",
            if schema["type"] == "integer" { json!(most as i64 + 1) } else { json!(most + 1.0) },
        ));
    }
    if let Some(least) = number("minimum") {
        all.push((
            "under its minimum",
            if schema["type"] == "integer" { json!(least as i64 - 1) } else { json!(least - 1.0) },
        ));
    }
    if schema["enum"].is_array() {
        all.push(("none of its values", json!("Nonsense")));
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        all.push(("too long", json!("x".repeat(most as usize + 1))));
    }
    if schema["pattern"].is_string() {
        all.push(("not of its pattern", json!("\u{1}")));
    }
    match schema["type"].as_str() {
        Some("object") => all.push(("not an object", json!("text"))),
        Some("array") => all.push(("not a list", json!("text"))),
        Some("string") => all.push(("not a text", json!({"a": 1}))),
        Some("boolean" | "integer" | "number") => all.push(("of another type", json!("text"))),
        _ => {}
    }
    all
}

/// `a.b[].c{}`, as names and signs.
fn parts(field: &str) -> Vec<String> {
    field
        .replace("[]", ".[]")
        .replace("{}", ".{}")
        .split('.')
        .filter(|p| !p.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

fn schema_of<'a>(schema: &'a Value, field: &str) -> &'a Value {
    parts(field).iter().fold(schema, |at, part| match part.as_str() {
        "[]" => &at["items"],
        "{}" => &at["additionalProperties"],
        name => &at["properties"][name],
    })
}

fn place<'a>(spec: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    parts(field).iter().try_fold(spec, |at, part| match part.as_str() {
        "[]" => at.get_mut(0),
        "{}" => at.as_object_mut()?.values_mut().next(),
        name => at.get_mut(name),
    })
}
