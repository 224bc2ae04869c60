use drydock_contract::SPLIT_ANNOTATION;
use drydock_crds::PodTemplate;
use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::SpecErrors;
use crate::revision::Overlay;

const FIELD: &str = "spec.serving.podTemplate";

/// The overlay, if it says anything; every field of its spec is one that a PodSpec has.
pub fn overlay(errors: &mut SpecErrors, t: &PodTemplate) -> Option<Overlay> {
    for key in t.labels.keys().filter(|k| is_ours(k)) {
        errors.add(format!("{FIELD}.labels.{key}"), "is set by Drydock: Services find their pods by it");
    }
    for key in t.annotations.keys().filter(|k| *k == SPLIT_ANNOTATION) {
        errors.add(format!("{FIELD}.annotations.{key}"), "is set by Drydock: it splits the requests");
    }
    let spec = t.spec.clone().unwrap_or_default();
    check_spec(errors, &spec);
    let overlay = Overlay { labels: t.labels.clone(), annotations: t.annotations.clone(), spec };
    (overlay != Overlay::default()).then_some(overlay)
}

fn is_ours(label: &str) -> bool {
    label.starts_with("drydock.dev/")
        || matches!(
            label.strip_prefix("app.kubernetes.io/"),
            Some("name" | "instance" | "component" | "part-of" | "managed-by")
        )
}

/// Reads the part of a PodSpec and looks what of it was understood: a field with a slip in its name must not be lost silently.
fn check_spec(errors: &mut SpecErrors, spec: &serde_json::Map<String, Value>) {
    let mut whole = Value::Object(spec.clone());
    // A PodSpec must have containers; an overlay need not.
    if let Some(map) = whole.as_object_mut() {
        map.entry("containers").or_insert_with(|| json!([]));
    }
    match PodSpec::deserialize(&whole) {
        Err(error) => errors.add(format!("{FIELD}.spec"), error.to_string()),
        Ok(typed) => {
            let understood = serde_json::to_value(&typed).unwrap_or_default();
            unknown(errors, &format!("{FIELD}.spec"), &whole, &understood);
        }
    }
}

fn unknown(errors: &mut SpecErrors, at: &str, given: &Value, understood: &Value) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (key, value) in given.iter().filter(|(_, v)| !v.is_null()) {
                let at = format!("{at}.{key}");
                match understood.get(key) {
                    Some(other) => unknown(errors, &at, value, other),
                    None => errors.add(at, "is no field of a pod's spec"),
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) => {
            for (i, (value, other)) in given.iter().zip(understood).enumerate() {
                unknown(errors, &format!("{at}[{i}]"), value, other);
            }
        }
        _ => {}
    }
}
