use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Why a file is not a model that this program can work on. All of them are the file's fault, so none is worth a retry.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} has {bytes} bytes; expected at most {limit}, the limit of protobuf", path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("not an ONNX model, or a truncated one: {source} (of {bytes} bytes)")]
    Decode { bytes: usize, source: prost::DecodeError },
    #[error("the file holds no graph with nodes and outputs; expected an ONNX model")]
    NoGraph,
    #[error("opset {found} of the default domain; expected {} to {}; convert it with onnx.version_converter, or export it again", expected.start(), expected.end())]
    Opset { found: i64, expected: RangeInclusive<i64> },
    #[error("node {node} reads {value:?}, which is no input, no initializer and no node's output")]
    UnknownValue { node: String, value: String },
    #[error("{value:?} is made twice, the second time by node {node}; expected each value to be made once")]
    MadeTwice { node: String, value: String },
    #[error("the graph has a cycle through node {node}; expected none")]
    Cycle { node: String },
    #[error("node {node} has {found} at position {at} of its weights {tensor:?}; expected finite numbers")]
    NotFinite { node: String, tensor: String, found: f32, at: usize },
    #[error("tensor {tensor:?}: {problem}")]
    Tensor { tensor: String, problem: String },
    #[error("tensor {tensor:?} lies in external file {location:?}: {problem}")]
    External { tensor: String, location: String, problem: String },
    #[error("input {name:?} cannot have shape {found:?}; expected {expected}")]
    InputShape { name: String, found: Vec<i64>, expected: String },
    #[error("node {node} has {problem}")]
    Shape { node: String, problem: String },
    #[error("graph {role} {name:?} has {found}; expected a tensor of a known element type")]
    Signature { role: &'static str, name: String, found: String },
}
