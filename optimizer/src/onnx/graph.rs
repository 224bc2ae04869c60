use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use prost::Message as _;

use super::{ModelError, topology};
use crate::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// Opsets of the default domain that the passes know: 13 brought per-channel `DequantizeLinear`.
pub const OPSETS: RangeInclusive<i64> = 13..=23;

/// A model that holds together: known opset, nodes in topological order, every value made once and before it is read.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Everything but the graph.
    header: ModelProto,
    pub(crate) body: GraphProto,
}

impl Graph {
    pub fn new(mut model: ModelProto) -> Result<Self, ModelError> {
        let mut body =
            model.graph.take().filter(|g| !g.node.is_empty() && !g.output.is_empty()).ok_or(ModelError::NoGraph)?;
        let opset = default_opset(&model);
        if !OPSETS.contains(&opset) {
            return Err(ModelError::Opset { found: opset, expected: OPSETS });
        }
        topology::sort(&mut body)?;
        Ok(Self { header: model, body })
    }

    pub fn opset(&self) -> i64 {
        default_opset(&self.header)
    }

    pub fn producer(&self) -> &str {
        &self.header.producer_name
    }

    pub fn nodes(&self) -> &[NodeProto] {
        &self.body.node
    }

    pub fn initializers(&self) -> &[TensorProto] {
        &self.body.initializer
    }

    pub fn index(&self) -> Index {
        Index::new(&self.body)
    }

    /// The model as a file. Equal graphs give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        ModelProto { graph: Some(self.body.clone()), ..self.header.clone() }.encode_to_vec()
    }

    /// Declares that operators of another domain are used.
    pub(crate) fn import(&mut self, domain: &str, version: i64) {
        if !self.header.opset_import.iter().any(|o| o.domain == domain) {
            self.header.opset_import.push(OperatorSetIdProto { domain: domain.into(), version });
        }
    }

    /// The first so many nodes, without outputs.
    pub(crate) fn first(&self, nodes: usize) -> Self {
        let mut graph = self.clone();
        graph.body.node.truncate(nodes);
        graph.body.output.clear();
        graph.prune();
        graph
    }

    /// Drops initializers that nothing reads, and shapes of values that are gone.
    pub(crate) fn prune(&mut self) {
        let index = self.index();
        let outputs: HashSet<&str> = self.body.output.iter().map(|o| o.name.as_str()).collect();
        let reads = |name: &str| index.is_read(name) || outputs.contains(name);
        let dead: HashSet<String> =
            self.body.initializer.iter().filter(|t| !reads(&t.name)).map(|t| t.name.clone()).collect();
        self.body.initializer.retain(|t| !dead.contains(&t.name));
        // Before IR 4 every initializer was an input too.
        self.body.input.retain(|i| !dead.contains(&i.name));
        self.body.value_info.retain(|v| index.producer(&v.name).is_some());
    }
}

fn default_opset(model: &ModelProto) -> i64 {
    model
        .opset_import
        .iter()
        .filter(|o| matches!(o.domain.as_str(), "" | "ai.onnx"))
        .map(|o| o.version)
        .max()
        .unwrap_or_default()
}

/// Who makes and who reads each value. Positions are those of the graph at the time it was taken.
#[derive(Debug)]
pub struct Index {
    producers: HashMap<String, usize>,
    consumers: HashMap<String, Vec<usize>>,
    initializers: HashMap<String, usize>,
    /// Read by name from inside a subgraph: they can be neither renamed nor dropped.
    captured: HashSet<String>,
    outputs: HashSet<String>,
    inputs: HashSet<String>,
}

impl Index {
    fn new(graph: &GraphProto) -> Self {
        let mut index = Self {
            producers: HashMap::new(),
            consumers: HashMap::new(),
            initializers: graph.initializer.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect(),
            captured: HashSet::new(),
            outputs: graph.output.iter().map(|o| o.name.clone()).collect(),
            inputs: graph.input.iter().map(|o| o.name.clone()).collect(),
        };
        for (i, node) in graph.node.iter().enumerate() {
            for name in node.output.iter().filter(|n| !n.is_empty()) {
                index.producers.insert(name.clone(), i);
            }
            for name in node.input.iter().filter(|n| !n.is_empty()) {
                index.consumers.entry(name.clone()).or_default().push(i);
            }
            topology::captured(node, &mut |name| {
                index.captured.insert(name.to_owned());
            });
        }
        index
    }

    pub fn producer(&self, value: &str) -> Option<usize> {
        self.producers.get(value).copied()
    }

    /// A node that reads the value twice is there twice.
    pub fn consumers(&self, value: &str) -> &[usize] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    pub fn is_output(&self, value: &str) -> bool {
        self.outputs.contains(value)
    }

    pub fn is_captured(&self, value: &str) -> bool {
        self.captured.contains(value)
    }

    fn is_read(&self, value: &str) -> bool {
        self.consumers.contains_key(value) || self.captured.contains(value)
    }

    /// Read by this one node and seen by nobody else.
    pub fn sole_consumer(&self, value: &str) -> Option<usize> {
        match self.consumers(value) {
            [one] if !self.is_output(value) && !self.is_captured(value) => Some(*one),
            _ => None,
        }
    }

    pub fn initializer<'g>(&self, graph: &'g Graph, name: &str) -> Option<&'g TensorProto> {
        graph.body.initializer.get(*self.initializers.get(name)?)
    }

    /// Whether a value, or an input, has this name already.
    pub fn is_taken(&self, name: &str) -> bool {
        self.producers.contains_key(name)
            || self.initializers.contains_key(name)
            || self.inputs.contains(name)
            || self.captured.contains(name)
    }
}
