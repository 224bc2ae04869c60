use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;

use super::{Graph, ModelError, external};
use crate::proto::ModelProto;

/// Protobuf's own limit: no library reads a larger message.
pub const MAX_MODEL_BYTES: u64 = i32::MAX as u64;

/// Reads a model file, and the external data beside it, into a checked graph.
///
/// # Errors
/// [`ModelError`]: too large, truncated, not ONNX, an opset out of range, a graph that does not hold together.
pub fn read(path: &Path) -> Result<ModelFile, ModelError> {
    let bytes = read_file(path)?;
    let mut model = decode(bytes.clone())?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let external = match model.graph.as_mut() {
        Some(graph) => external::load(graph, directory)?,
        None => false,
    };
    Ok(ModelFile { graph: Graph::new(model)?, bytes: Some(bytes).filter(|_| !external) })
}

/// A model that was read from a file.
#[derive(Clone, Debug)]
pub struct ModelFile {
    pub graph: Graph,
    /// `None` if the file is not all of the model.
    bytes: Option<Bytes>,
}

impl ModelFile {
    /// The model as one file: its own bytes, or with external data taken in.
    pub fn single_file(&self) -> Bytes {
        self.bytes.clone().unwrap_or_else(|| self.graph.encode().into())
    }
}

/// The same for a model in memory, which cannot have external data.
pub fn parse(bytes: Bytes) -> Result<Graph, ModelError> {
    let mut model = decode(bytes)?;
    if let Some(graph) = model.graph.as_mut() {
        external::refuse(graph)?;
    }
    Graph::new(model)
}

fn decode(bytes: Bytes) -> Result<ModelProto, ModelError> {
    let size = bytes.len();
    // Nesting is bounded by prost itself: 100 messages deep.
    ModelProto::decode(bytes).map_err(|source| ModelError::Decode { bytes: size, source })
}

fn read_file(path: &Path) -> Result<Bytes, ModelError> {
    let failed = |source| ModelError::Read { path: path.to_owned(), source };
    let too_large = |bytes| ModelError::TooLarge { path: path.to_owned(), bytes, limit: MAX_MODEL_BYTES };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_MODEL_BYTES {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // A pipe or a growing file has no length to trust.
    file.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_MODEL_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes.into())
}
