//! The little of an ONNX file that tells how it will run. It is read as a stream, past the weights: it takes no memory to speak of.

mod slow;
mod stream;

use std::collections::HashMap;
use std::io::{self, Read, Seek};

use prost::Message;

pub(crate) use slow::Slow;
use stream::{Stream, Value};

/// A node with more in it holds constants that nothing here asks about.
const MOST_OF_A_NODE: u64 = 1 << 20;

/// `NodeProto` of onnx.proto.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(message, optional, tag = "5")]
    t: Option<Constant>,
}

/// `TensorProto`, without its data.
#[derive(Clone, PartialEq, Message)]
struct Constant {
    #[prost(int32, tag = "2")]
    data_type: i32,
}

/// Nodes, and the types of what is constant.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    /// By name, as `TensorProto.DataType`.
    constants: HashMap<String, i32>,
    /// A tensor whose data is in another file.
    pub(crate) external: Option<String>,
}

impl Graph {
    /// The main graph of a model.
    pub(crate) fn read(file: impl Read + Seek) -> io::Result<Self> {
        let (mut stream, mut graph) = (Stream::new(file)?, Self::default());
        let end = stream.end();
        while let Some((field, value)) = stream.field(end)? {
            match (field, value) {
                // ModelProto.graph
                (7, Value::Bytes(length)) => graph.read_graph(&mut stream, length)?,
                (_, value) => stream.skip(value)?,
            }
        }
        for node in graph.nodes.iter().filter(|n| n.op_type == "Constant") {
            let constant = node.attribute.iter().find_map(|a| a.t.as_ref());
            if let (Some(name), Some(constant)) = (node.output.first(), constant) {
                graph.constants.insert(name.clone(), constant.data_type);
            }
        }
        Ok(graph)
    }

    fn read_graph<R: Read + Seek>(&mut self, stream: &mut Stream<R>, length: u64) -> io::Result<()> {
        let end = stream.position() + length;
        while let Some((field, value)) = stream.field(end)? {
            match (field, value) {
                // GraphProto.node, GraphProto.initializer
                (1, Value::Bytes(length)) if length <= MOST_OF_A_NODE => {
                    self.nodes.push(Node::decode(stream.bytes(length)?.as_slice())?);
                }
                (5, Value::Bytes(length)) => self.read_initializer(stream, length)?,
                (_, value) => stream.skip(value)?,
            }
        }
        Ok(())
    }

    fn read_initializer<R: Read + Seek>(&mut self, stream: &mut Stream<R>, length: u64) -> io::Result<()> {
        let end = stream.position() + length;
        let (mut data_type, mut name, mut external) = (0, String::new(), false);
        while let Some((field, value)) = stream.field(end)? {
            match (field, value) {
                // TensorProto.data_type, name, data_location
                (2, Value::Number(n)) => data_type = i32::try_from(n).unwrap_or_default(),
                (8, Value::Bytes(length)) if length <= MOST_OF_A_NODE => {
                    name = String::from_utf8_lossy(&stream.bytes(length)?).into_owned();
                }
                (14, Value::Number(n)) => external = n == 1,
                (_, value) => stream.skip(value)?,
            }
        }
        if external {
            self.external.get_or_insert_with(|| name.clone());
        }
        self.constants.insert(name, data_type);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
