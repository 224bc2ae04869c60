//! Values for each field, by its schema; by hand where a schema cannot know what makes sense.

use serde_json::{Map, Value, json};

/// A spec with one field set, and whatever else that needs.
#[derive(Clone, Debug)]
pub struct Change {
    /// `rollout.steps[].weight`, `serving.resources.limits{}`.
    pub field: String,
    pub value: Value,
    pub spec: Value,
    base: Value,
}

impl Change {
    /// As a merge patch.
    pub fn patch(&self) -> Value {
        difference(&self.base, &self.spec)
    }
}

fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(a), Value::Object(b)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for key in a.keys().filter(|k| !b.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in b.iter().filter(|(k, v)| a.get(*k) != Some(v)) {
        patch.insert(key.clone(), a.get(key).map_or_else(|| value.clone(), |old| difference(old, value)));
    }
    Value::Object(patch)
}

/// Every field there is, by its path.
pub fn fields(schema: &Value) -> Vec<String> {
    let mut all = Vec::new();
    walk(schema, "", &mut |path, _| all.push(path.to_owned()));
    all
}

/// Each field with each of its values.
pub fn changes(schema: &Value, spec: &Value) -> Vec<Change> {
    let mut all = Vec::new();
    walk(schema, "", &mut |path, field| {
        let values = values(path, field);
        for value in values {
            let mut changed = spec.clone();
            set(&mut changed, schema, "", path, &value);
            json_patch::merge(&mut changed, &companions(path, &value));
            all.push(Change { field: path.to_owned(), value, spec: changed, base: spec.clone() });
        }
    });
    all
}

fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    if !path.is_empty() {
        visit(path, schema);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        walk(field, &path, visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &format!("{path}{{}}"), visit);
    }
}

/// Fields that do not go together.
const ONE_OF: [&[&str]; 6] = [
    &["prometheus", "webHook", "job"],
    &["https", "oci", "pvc"],
    &["factorize", "prune", "sparsify", "distill", "quantize"],
    &["macsRatio", "latencyRatio", "ranks"],
    &["header", "cookie"],
    &["replicas", "autoscaling"],
];

/// Sets the field of that path, and makes whatever it stands in.
fn set(at: &mut Value, schema: &Value, path: &str, rest: &str, value: &Value) {
    if rest.is_empty() {
        *at = value.clone();
        return;
    }
    if let Some(rest) = rest.strip_prefix("[]") {
        if at.as_array().is_none_or(Vec::is_empty) {
            *at = json!([least(&schema["items"], &format!("{path}[]"))]);
        }
        set(&mut at[0], &schema["items"], &format!("{path}[]"), rest, value);
    } else if let Some(rest) = rest.strip_prefix("{}") {
        let (inner, path) = (&schema["additionalProperties"], format!("{path}{{}}"));
        if !at.is_object() {
            *at = json!({});
        }
        let place = &mut at[key_of(&path)];
        if place.is_null() {
            *place = least(inner, &path);
        }
        set(place, inner, &path, rest, value);
    } else {
        let rest = rest.trim_start_matches('.');
        let end = rest.find(['.', '[', '{']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (inner, path) = (&schema["properties"][name], join(path, name));
        if let (Some(group), Some(map)) = (ONE_OF.iter().find(|group| group.contains(&name)), at.as_object_mut()) {
            map.retain(|other, _| other == name || !group.contains(&other.as_str()));
            if name == "job" {
                // Its exit code is its word.
                map.retain(|other, _| !["max", "min", "intervalSeconds", "failureLimit"].contains(&other.as_str()));
            }
        }
        if name == "shorterSide" {
            *at = json!({});
        }
        if at[name].is_null() {
            at[name] = least(inner, &path);
        }
        set(&mut at[name], inner, &path, rest, value);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn key_of(path: &str) -> &'static str {
    if path.contains("resources") { "cpu" } else { "key" }
}

/// With what is required of it, and nothing else.
fn least(schema: &Value, path: &str) -> Value {
    if let Some(first) = by_hand(path).and_then(|values| values.into_iter().next()) {
        return first;
    }
    if schema["type"] != "object" || schema["additionalProperties"].is_object() {
        return values(path, schema).remove(0);
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let fields = required.map(|name| (name.to_owned(), least(&schema["properties"][name], &join(path, name))));
    Value::Object(fields.collect())
}

/// At least one.
fn values(path: &str, schema: &Value) -> Vec<Value> {
    if let Some(values) = by_hand(path) {
        return values;
    }
    if let Some(all) = schema["enum"].as_array() {
        return all.clone();
    }
    let bound = |name: &str| schema[name].as_f64();
    match schema["type"].as_str() {
        Some("boolean") => vec![json!(false), json!(true)],
        Some("integer") => {
            let (from, to) = (bound("minimum").unwrap_or(0.0), bound("maximum").unwrap_or(1000.0));
            vec![json!(from as i64), json!(to as i64)]
        }
        Some("number") => vec![json!(bound("minimum").unwrap_or(-1.0)), json!(bound("maximum").unwrap_or(2.0))],
        Some("array") => vec![json!([least(&schema["items"], &format!("{path}[]"))])],
        Some("object") if schema["additionalProperties"].is_object() => {
            let path = format!("{path}{{}}");
            vec![json!({ key_of(&path): least(&schema["additionalProperties"], &path) }), json!({})]
        }
        Some("object") if schema["properties"].is_object() => vec![least(schema, path)],
        _ => panic!("{path}: its schema does not say what makes sense: give it values in by_hand"),
    }
}

fn by_hand(path: &str) -> Option<Vec<Value>> {
    let last = path.rsplit(['.', '[', '{']).next().unwrap_or(path);
    let values = match path {
        "optimization" => json!([{}]),
        "optimization.gates.maxAccuracyDrop" => json!([0.1, 1.0, 100.0]),
        "optimization.gates.maxLatencyMilliseconds" => json!([2.0, 10.0]),
        "optimization.gates.maxSizeRatio" => json!([0.5, 1.0]),
        "optimization.gates.minSpeedup" => json!([0.0, 1.0]),
        "optimization.gates.maxMemory" => json!(["100Mi", "1Gi"]),
        "optimization.recipes[].name" | "optimization.models[].name" => json!(["int8", "other"]),
        "optimization.recipes[].techniques[].distill.teacher"
        | "optimization.recipes[].techniques[].distill.student" => {
            json!(["other"])
        }
        "optimization.recipes[].techniques[]" => json!([{ "quantize": {} }, { "prune": {} }]),
        "model.labels[]" => json!(["boot"]),
        "model.preprocessing.std[]" => json!([0.5, 2.0]),
        "model.preprocessing.resize" => json!([{ "width": 28, "height": 28 }]),
        "model.source"
        | "optimization.models[].source"
        | "optimization.dataset.calibration"
        | "optimization.dataset.evaluation"
        | "optimization.dataset.training" => {
            json!([{ "https": { "url": "https://models.example/other.onnx" } }])
        }
        "rollout.analysis.minRequests" => json!([1, 200]),
        "rollout.abTest" => json!([{ "durationSeconds": 4 }]),
        "rollout.abTest.durationSeconds" => json!([1, 4]),
        "rollout.abTest.metric" => json!(["ErrorRate", "Latency", "Accuracy"]),
        "rollout.analysis.metrics[].name" => json!(["conversion", "rating"]),
        "rollout.analysis.metrics[].min" => json!([-1.0, 0.5]),
        "rollout.analysis.metrics[].max" => json!([1.0, 5.0]),
        "rollout.analysis.metrics[].maxWorsening" => json!([0.1, 0.4]),
        "rollout.analysis.external[]" => {
            let query = json!({ "address": "http://prometheus.monitoring:9090", "query": "up" });
            json!([{ "name": "errors", "prometheus": query, "max": 0.1 }])
        }
        "rollout.analysis.external[].name" => json!(["errors", "gate"]),
        "rollout.analysis.external[].prometheus.address" => {
            json!(["http://prometheus:9090", "https://p.example/prefix"])
        }
        "rollout.analysis.external[].prometheus.query" => json!(["up", "sum(rate(x{revision=\"{{canary}}\"}[1m]))"]),
        "rollout.analysis.external[].webHook.url" => json!(["http://gate.shop/{{name}}"]),
        "rollout.analysis.external[].webHook.metadata{}" => json!(["{{namespace}}"]),
        "rollout.analysis.external[].webHook.pointer" => json!(["", "/value"]),
        "rollout.analysis.external[].job.command[]" | "rollout.analysis.external[].job.args[]" => json!(["{{canary}}"]),
        "rollout.analysis.external[].max" => json!([0.0, 1e9]),
        "rollout.analysis.external[].min" => json!([-1e9, 0.1]),
        "rollout.analysis.external[].timeoutSeconds" => json!([1, 60]),
        "rollout.gateway.http" | "rollout.gateway.grpc" => json!([{ "parentRefs": [{ "name": "public" }] }]),
        "rollout.gateway" => json!([{ "http": { "parentRefs": [{ "name": "public" }] } }]),
        "rollout.blueGreen.previewSeconds" | "rollout.steps[].holdSeconds" => json!([0, 2]),
        "rollout.steps[].weight" => json!([1, 30]),
        "rollout.progressDeadlineSeconds" => json!([12, 600]),
        "rollout.scaleDownDelaySeconds" => json!([0, 5]),
        "rollout.revisionHistoryLimit" => json!([0, 1, 1000]),
        "rollout.control.abort" | "rollout.control.promote" | "rollout.control.rollBackTo" => json!(["none"]),
        "rollout.control.proceed" => json!(["none/0"]),
        "rollout.control.retry" => json!(["none@1"]),
        "rollout.match[].value" => json!(["vip"]),
        "rollout.match[]" => json!([{ "header": "x-user", "value": "vip" }]),
        "rollout.sticky" => json!([{ "header": "x-user" }, { "cookie": "user" }]),
        "serving.image" => json!(["sidecar:0", "sidecar:5"]),
        "serving.replicas" => json!([0, 1, 4]),
        "serving.autoscaling" => json!([{ "minReplicas": 1, "maxReplicas": 3 }]),
        "serving.autoscaling.minReplicas" => json!([1, 2]),
        "serving.autoscaling.maxReplicas" => json!([3, 5]),
        "serving.podTemplate.annotations{}" | "serving.podTemplate.labels{}" => json!(["a", "b"]),
        "serving.podTemplate.spec" => json!([
            { "nodeSelector": { "disk": "ssd" } },
            { "tolerations": [{ "key": "gpu", "operator": "Exists" }], "terminationGracePeriodSeconds": 5 },
            { "containers": [{ "name": "inference-sidecar", "env": [{ "name": "A", "value": "b" }] }] },
        ]),
        _ if path.contains("resources.") && path.ends_with("{}") => json!(["100m", "1"]),
        _ if path.ends_with("oci") => json!([{ "image": "registry.example/m:1", "path": "a.onnx" }]),
        _ if path.ends_with("pvc") => json!([{ "claimName": "data", "path": "a.npz" }]),
        _ => match last {
            "url" => json!(["https://models.example/a", "https://models.example/b?c=d"]),
            "sha256" => json!(["0".repeat(64), format!("sha256:{}", "aB".repeat(32))]),
            "image" => json!(["registry.example/m:1", "registry.example/m:2"]),
            "path" => json!(["a.onnx", "b/c.onnx"]),
            "claimName" => json!(["data", "other"]),
            "storageClassName" => json!(["fast"]),
            "size" => json!(["1Gi", "20Gi"]),
            "header" | "cookie" => json!(["x-user"]),
            _ if path.starts_with("rollout.control.by.") => json!(["ana", "a pipeline"]),
            _ if path.ends_with("parentRefs[]") => json!([{ "name": "public" }]),
            _ if path.contains("parentRefs[].") && last != "kind" => json!(["public", "infra"]),
            _ if path.ends_with("hostnames[]") => json!(["models.example", "*.models.example"]),
            _ => return None,
        },
    };
    values.as_array().cloned()
}

/// What else must be so for the API server to take it, as a merge patch.
fn companions(path: &str, value: &Value) -> Value {
    let sticky = json!({ "header": "x-user" });
    match path {
        "rollout.strategy" => match value.as_str() {
            Some("ABTest") => json!({ "rollout": { "abTest": { "durationSeconds": 4 }, "sticky": sticky } }),
            Some("Shadow") => json!({ "rollout": { "shadow": { "percentage": 30 } } }),
            _ => json!({}),
        },
        "rollout.router" if value == "Gateway" => {
            json!({ "rollout": { "gateway": { "http": { "parentRefs": [{ "name": "public" }] } } } })
        }
        // Such a parent is the object's own Service, and has its name.
        "rollout.gateway.http.parentRefs[].kind" | "rollout.gateway.grpc.parentRefs[].kind" if value == "Service" => {
            let protocol = path.split('.').nth(2).unwrap_or_default();
            let parent = json!({ "parentRefs": [{ "kind": "Service", "name": "fashion" }] });
            json!({ "rollout": { "router": "Gateway", "gateway": { protocol: parent } } })
        }
        _ if path.starts_with("rollout.gateway") => json!({ "rollout": { "router": "Gateway" } }),
        "rollout.abTest.onWinner" | "rollout.abTest.onNoWinner" | "rollout.abTest.sampleSize" => {
            json!({ "rollout": { "strategy": "ABTest", "sticky": sticky, "abTest": { "metric": "ErrorRate" } } })
        }
        _ if path.starts_with("rollout.analysis.tolerance") => {
            json!({ "rollout": { "analysis": { "minAgreement": 90.0 } } })
        }
        _ if path.starts_with("rollout.abTest") => json!({ "rollout": { "strategy": "ABTest", "sticky": sticky } }),
        _ if path.starts_with("rollout.blueGreen") => json!({ "rollout": { "strategy": "BlueGreen" } }),
        _ if path.ends_with("distill.teacher") || path.ends_with("distill.student") => {
            let source = json!({ "https": { "url": "https://models.example/other.onnx" } });
            json!({ "optimization": { "models": [{ "name": value, "source": source }] } })
        }
        _ => json!({}),
    }
}
