use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use drydock_contract::TensorSignature;
use prost::Message as _;

use super::{Graph, ModelError, external, signature};
use crate::proto::ModelProto;

/// Protobuf's own limit: no library reads a larger message.
pub const MAX_MODEL_BYTES: u64 = i32::MAX as u64;

/// Reads a model file, and the external data beside it, into a checked graph.
///
/// # Errors
/// [`ModelError`]: too large, truncated, not ONNX, an opset out of range, a graph that does not hold together.
pub fn read(path: &Path) -> Result<ModelFile, ModelError> {
    load(path)?.check()
}

/// The same short of the checks: whether ONNX Runtime takes the model is for it to say.
///
/// # Errors
/// [`ModelError`]: too large, truncated, not ONNX.
pub fn load(path: &Path) -> Result<LoadedFile, ModelError> {
    let bytes = read_file(path)?;
    let mut model = decode(bytes.clone())?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let external = match model.graph.as_mut() {
        Some(graph) => external::load(graph, directory)?,
        None => false,
    };
    Ok(LoadedFile { model, bytes: Some(bytes).filter(|_| !external) })
}

/// Names of the files beside the model that hold its external data; empty where the file is all of it.
pub fn external_files(path: &Path) -> Result<BTreeSet<String>, ModelError> {
    decode(read_file(path)?)?.graph.as_mut().map_or_else(|| Ok(BTreeSet::new()), external::locations)
}

/// A model as it came.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    model: ModelProto,
    /// `None` if the file is not all of the model.
    bytes: Option<Bytes>,
}

impl LoadedFile {
    /// The model as one file: its own bytes, or with external data taken in.
    pub fn single_file(&self) -> Bytes {
        self.bytes.clone().unwrap_or_else(|| self.model.encode_to_vec().into())
    }

    /// Inputs and outputs, as [`signature`] has them.
    pub fn signature(&self) -> Result<(Vec<TensorSignature>, Vec<TensorSignature>), ModelError> {
        signature::of(self.model.graph.as_ref().ok_or(ModelError::NoGraph)?)
    }

    pub fn check(self) -> Result<ModelFile, ModelError> {
        Ok(ModelFile { graph: Graph::new(self.model)?, bytes: self.bytes })
    }
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
