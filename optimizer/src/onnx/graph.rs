use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::{fs, io};

use prost::Message as _;

use super::{ModelError, external, topology};
use crate::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};

/// Opsets of the default domain that are read. 11 and 12 only `passes::upgrade` knows: every other pass expects 13, which
/// brought axes that are inputs and `DequantizeLinear` per channel.
pub const OPSETS: RangeInclusive<i64> = 11..=23;

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
        self.encode_with(self.body.clone())
    }

    /// The same with another graph in the place of ours.
    fn encode_with(&self, body: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(body), ..self.header.clone() }.encode_to_vec()
    }

    /// Writes the model into a directory, with its larger tensors in a file of their own: ONNX Runtime maps that, where it would have two copies
    /// of what is in the model. The path of the model.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<PathBuf> {
        let mut body = self.body.clone();
        external::store(&mut body, directory)?;
        let path = directory.join("model.onnx");
        fs::write(&path, self.encode_with(body))?;
        Ok(path)
    }

    /// Says that the graph is written in this opset of the default domain. Rewriting its nodes is the caller's.
    pub(crate) fn set_opset(&mut self, version: i64) {
        for opset in &mut self.header.opset_import {
            if matches!(opset.domain.as_str(), "" | "ai.onnx") {
                opset.version = version;
            }
        }
    }

    /// Takes initializers out of the inputs, where they are values that a caller may replace: the signature lists none.
    ///
    /// How many there were. Before IR 4 an initializer had to be an input too.
    pub(crate) fn freeze(&mut self) -> usize {
        let index = self.index();
        let before = self.body.input.len();
        self.body.input.retain(|i| !index.initializers.contains_key(&i.name));
        self.header.ir_version = self.header.ir_version.max(4);
        before - self.body.input.len()
    }

    /// What a node reads, its subgraphs as well; a value that is read twice is there twice.
    pub(crate) fn reads(&self, node: usize) -> impl Iterator<Item = &str> {
        let node = &self.body.node[node];
        reads(node).into_iter()
    }

    /// A model of some of the nodes, in topological order, which read nothing but the initializers and `input`.
    pub(crate) fn encode_part(&self, node: Vec<NodeProto>, input: Vec<ValueInfoProto>, outputs: &[&str]) -> Vec<u8> {
        let read: HashSet<&str> = node.iter().flat_map(reads).collect();
        let initializer = self.body.initializer.iter().filter(|t| read.contains(t.name.as_str())).cloned().collect();
        // ONNX Runtime finds the types by itself.
        let value = |name: &&str| ValueInfoProto { name: (*name).to_owned(), ..ValueInfoProto::default() };
        let output = outputs.iter().map(value).collect();
        let graph = GraphProto { name: "part".into(), node, initializer, input, output, ..GraphProto::default() };
        self.encode_with(graph)
    }

    /// Declares that operators of another domain are used.
    pub(crate) fn import(&mut self, domain: &str, version: i64) {
        if !self.header.opset_import.iter().any(|o| o.domain == domain) {
            self.header.opset_import.push(OperatorSetIdProto { domain: domain.into(), version });
        }
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

fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    topology::captured(node, &mut |name| names.push(name));
    names
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
    /// Made inside a subgraph: another value of the name would be hidden there.
    inner: HashSet<String>,
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
            inner: HashSet::new(),
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
            topology::made_inside(node, &mut |name| {
                index.inner.insert(name.to_owned());
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

    pub fn is_input(&self, value: &str) -> bool {
        self.inputs.contains(value)
    }

    /// By a node or a subgraph; being an output is not being read.
    pub fn is_read(&self, value: &str) -> bool {
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
            || self.inner.contains(name)
    }
}
