//! What differs between two models, or between two packages.

use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::{GraphSummary, PackageManifest, TensorSignature};
use prost::Message as _;
use serde::Serialize;

use crate::inspect::summarize;
use crate::onnx::{Graph, ModelError, floats, raw_bytes, signature, tensor_type};
use crate::passes;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{NodeProto, TensorProto};

/// One thing that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind of thing it is: `input`, `operator`, `constant`.
    pub kind: &'static str,
    pub name: String,
    /// None: it is not there.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// What two graphs compute with: signature, operators, nodes and constants. Not names of nodes, nor what a file says besides.
///
/// # Errors
/// A constant or a shape that is none.
pub fn graphs(before: &Graph, after: &Graph) -> Result<Vec<Change>, ModelError> {
    let mut changes = Vec::new();
    let (first, second) = (summarize(before)?, summarize(after)?);
    let numbers = |s: &GraphSummary| {
        [("opset", s.opset.to_string()), ("MACs", s.macs.to_string()), ("parameters", s.parameters.to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    };
    compare("graph", &numbers(&first), &numbers(&second), &mut changes);
    let ((first_in, first_out), (second_in, second_out)) = (signature(before)?, signature(after)?);
    compare("input", &tensors(&first_in), &tensors(&second_in), &mut changes);
    compare("output", &tensors(&first_out), &tensors(&second_out), &mut changes);
    let operators = |s: &GraphSummary| s.operators.iter().map(|(op, o)| (op.clone(), o.nodes.to_string())).collect();
    compare("operator", &operators(&first), &operators(&second), &mut changes);
    // Weights may be Constant nodes in one, and initializers in the other.
    let lift = |graph: &Graph| passes::lift_constants(graph.clone()).0;
    let (before, after) = (lift(before), lift(after));
    compare("node", &nodes(&before), &nodes(&after), &mut changes);
    constants(&before, &after, &mut changes);
    Ok(changes)
}

/// What two manifests say, but for times and bytes of memory, which no two runs share.
pub fn packages(before: &PackageManifest, after: &PackageManifest) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("package", &statements(before), &statements(after), &mut changes);
    changes
}

fn statements(package: &PackageManifest) -> BTreeMap<String, String> {
    let (content, record) = (&package.content, &package.record);
    let mut all: BTreeMap<String, String> =
        record.tools.iter().map(|(t, v)| (format!("tool {t}"), v.clone())).collect();
    let mut say = |name: &str, value: String| all.insert(name.to_owned(), value);
    say("digest", package.digest.to_string());
    say("preprocessing", json(&content.preprocessing));
    say("labels", json(&content.labels));
    say("detection", json(&content.detection));
    say("candidate", record.candidate.clone());
    say("recipe", json(&record.recipe));
    say("source", record.source.to_string());
    say("calibration", json(&record.calibration));
    say("evaluation", json(&record.evaluation));
    if let Some(q) = record.measurements.quality() {
        say(q.metric, format!("{:.2} %", q.value));
    }
    if let Some(f) = &record.measurements.fidelity {
        say("agreement", format!("{:.2} %", f.agreement));
    }
    all
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn tensors(tensors: &[TensorSignature]) -> BTreeMap<String, String> {
    tensors.iter().map(|t| (t.name.clone(), format!("{} {:?}", t.datatype, t.shape))).collect()
}

/// By the first value that it makes.
fn nodes(graph: &Graph) -> BTreeMap<String, String> {
    graph.nodes().iter().map(|n| (n.output.first().cloned().unwrap_or_default(), node(n))).collect()
}

fn node(node: &NodeProto) -> String {
    let mut attributes: Vec<_> = node.attribute.iter().collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    let attributes: Vec<String> = attributes
        .into_iter()
        // What has no short form is told apart by its digest.
        .map(|a| match (&a.t, &a.g, a.graphs.len() + a.tensors.len() + a.strings.len()) {
            (None, None, 0) if a.r#type() == AttributeType::Int => format!("{}={}", a.name, a.i),
            (None, None, 0) if a.r#type() == AttributeType::Float => format!("{}={}", a.name, a.f),
            (None, None, 0) => format!(
                "{}={}{:?}{:?}{}{}",
                a.name,
                short(&a.i),
                a.ints,
                a.floats,
                short(&a.f),
                String::from_utf8_lossy(&a.s)
            ),
            _ => format!("{}={}", a.name, drydock_contract::Digest::of(&a.encode_to_vec()).short()),
        })
        .map(|text| text.replace("[]", ""))
        .collect();
    let domain = if node.is(&node.op_type) { String::new() } else { format!("{}.", node.domain) };
    let attributes = if attributes.is_empty() { String::new() } else { format!(" {{{}}}", attributes.join(", ")) };
    format!("{domain}{}({}){attributes}", node.op_type, node.input.join(", "))
}

/// Nothing for the zero that a field which is not set has.
fn short<T: Default + PartialEq + ToString>(value: &T) -> String {
    if *value == T::default() { String::new() } else { value.to_string() }
}

fn constants(before: &Graph, after: &Graph, changes: &mut Vec<Change>) {
    let by_name = |graph: &Graph| -> BTreeMap<String, TensorProto> {
        graph.initializers().iter().map(|t| (t.name.clone(), t.clone())).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (first, second) = (before.get(name), after.get(name));
        let (said, mut says) = (first.map(form), second.map(form));
        if let (Some(first), Some(second), true) = (first, second, said == says) {
            let Some(distance) = distance(first, second) else { continue };
            says = Some(distance);
        }
        changes.push(Change { kind: "constant", name: name.clone(), before: said, after: says });
    }
}

fn form(tensor: &TensorProto) -> String {
    let kind = tensor_type(tensor).map_or_else(|| tensor.data_type.to_string(), |t| t.as_str_name().to_owned());
    format!("{kind} {:?}", tensor.dims)
}

/// Of two constants of one form; `None` if they are equal.
fn distance(before: &TensorProto, after: &TensorProto) -> Option<String> {
    let (Ok(first), Ok(second)) = (floats(before), floats(after)) else {
        // Strings, and numbers of less than a byte, are compared as they are stored.
        let same = match (raw_bytes(before), raw_bytes(after)) {
            (Ok(first), Ok(second)) => first == second,
            _ => before == after,
        };
        return (!same).then(|| "other values".to_owned());
    };
    if first.iter().map(|v| v.to_bits()).eq(second.iter().map(|v| v.to_bits())) {
        return None;
    }
    let (mut norm, mut off, mut largest) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (a, b) in first.iter().zip(&second) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        norm += a * a;
        off += (a - b) * (a - b);
        largest = largest.max((a - b).abs());
    }
    Some(format!("off by {:.3} % of its norm, {largest:.3e} at most", 100.0 * (off / norm).sqrt()))
}

fn compare(
    kind: &'static str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    changes: &mut Vec<Change>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let (before, after) = (before.get(name).cloned(), after.get(name).cloned());
        (before != after).then(|| Change { kind, name: name.clone(), before, after })
    };
    changes.extend(names.into_iter().filter_map(change));
}
