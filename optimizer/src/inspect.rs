//! What a model is, for a person to read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use drydock_contract::TensorSignature;

use crate::onnx::{self, ModelError, element_count};

/// Opset, inputs and outputs, operators, parameters and size, as lines of text.
pub fn describe(path: &Path) -> Result<String, ModelError> {
    let model = onnx::read(path)?;
    let (inputs, outputs) = onnx::signature(&model.graph)?;
    let mut operators: BTreeMap<String, usize> = BTreeMap::new();
    for node in model.graph.nodes() {
        let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
        *operators.entry(format!("{domain}{}", node.op_type)).or_default() += 1;
    }
    let mut parameters = 0_usize;
    for tensor in model.graph.initializers() {
        parameters = parameters.saturating_add(element_count(tensor)?);
    }

    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "opset       {}", model.graph.opset());
    let _ = writeln!(text, "producer    {}", model.graph.producer());
    let _ = writeln!(text, "size        {} bytes", model.single_file().len());
    let _ = writeln!(text, "parameters  {parameters}");
    for (role, tensors) in [("input", inputs), ("output", outputs)] {
        for TensorSignature { name, datatype, shape } in tensors {
            let _ = writeln!(text, "{role:<11} {name}: {datatype} {shape:?}");
        }
    }
    for (operator, count) in operators {
        let _ = writeln!(text, "operator    {count:>5} {operator}");
    }
    Ok(text)
}
