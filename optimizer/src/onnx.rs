//! ONNX files: reading, a checked graph over the messages, and writing.

mod error;
mod external;
mod graph;
mod macs;
mod node;
mod read;
mod shapes;
mod signature;
mod tensor;
mod topology;

pub use error::ModelError;
pub use external::open_external;
pub use graph::{Graph, Index, OPSETS};
pub use macs::{Macs, macs, operators};
pub use node::{
    attribute_float, attribute_int, attribute_ints, attribute_text, integer_attribute, integers_attribute, new_node,
    text_attribute,
};
pub use read::{LoadedFile, MAX_MODEL_BYTES, ModelFile, external_files, load, parse, read};
pub use shapes::{Dim, Shapes, ValueType};
pub use signature::signature;
pub use tensor::{
    element_count, float_tensor, float_value, floats, integer_tensor, integers, is_float, raw_bytes, tensor,
    tensor_type, typed_value,
};
