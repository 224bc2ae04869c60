//! ONNX files: reading, a checked graph over the messages, and writing.

mod error;
mod external;
mod graph;
mod node;
mod read;
mod signature;
mod tensor;
mod topology;

pub use error::ModelError;
pub use external::open_external;
pub use graph::{Graph, Index, OPSETS};
pub use node::{attribute_float, attribute_int, attribute_ints, integer_attribute, new_node};
pub use read::{LoadedFile, MAX_MODEL_BYTES, ModelFile, external_files, load, parse, read};
pub use signature::signature;
pub use tensor::{element_count, float_tensor, floats, integers, is_float, tensor};
