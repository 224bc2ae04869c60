//! What a model is, for a person to read.

use std::fmt::Write as _;
use std::path::Path;

use drydock_contract::TensorSignature;

use crate::onnx::{self, ModelError, OperatorCount, Shapes, element_count};
use crate::passes;

/// Opset, inputs and outputs, parameters, size, multiply-accumulates and operators, as lines of text.
pub fn describe(path: &Path) -> Result<String, ModelError> {
    let model = onnx::read(path)?;
    let (inputs, outputs) = onnx::signature(&model.graph)?;
    let macs = onnx::macs(&model.graph, &Shapes::infer_batch(&model.graph, 1)?)?;
    let mut parameters = 0_usize;
    // Some exporters write weights as Constant nodes.
    let (lifted, _) = passes::lift_constants(model.graph.clone());
    for tensor in lifted.initializers() {
        parameters = parameters.saturating_add(element_count(tensor)?);
    }

    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "opset       {}", model.graph.opset());
    let _ = writeln!(text, "producer    {}", model.graph.producer());
    let _ = writeln!(text, "size        {} bytes", model.single_file().len());
    let _ = writeln!(text, "parameters  {parameters}");
    let rest =
        if macs.unknown > 0 { format!(", and those of {} nodes not known", macs.unknown) } else { String::new() };
    let _ = writeln!(text, "MACs        {} for one item{rest}", macs.total);
    for (role, tensors) in [("input", inputs), ("output", outputs)] {
        for TensorSignature { name, datatype, shape } in tensors {
            let _ = writeln!(text, "{role:<11} {name}: {datatype} {shape:?}");
        }
    }
    let _ = writeln!(text, "operator    nodes            MACs");
    for (operator, OperatorCount { nodes, macs }) in onnx::operators(&model.graph, &macs) {
        let _ = writeln!(text, "            {nodes:>5} {macs:>15} {operator}");
    }
    Ok(text)
}
