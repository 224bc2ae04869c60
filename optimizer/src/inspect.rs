//! What a model is.

use std::fmt::Write as _;
use std::path::Path;

use drydock_contract::{GraphSummary, MODEL_FILE, OperatorCount, TensorSignature};

use crate::onnx::{self, Graph, ModelError, Shapes, element_count};
use crate::passes;

/// Parameters, multiply-accumulates and operators.
///
/// # Errors
/// Shapes that cannot go together, or a constant whose shape is no shape.
pub fn summarize(graph: &Graph) -> Result<GraphSummary, ModelError> {
    let macs = onnx::macs(graph, &Shapes::infer_batch(graph, 1)?)?;
    let mut parameters = 0_u64;
    // Some exporters write weights as Constant nodes.
    let (lifted, _) = passes::lift_constants(graph.clone());
    for tensor in lifted.initializers() {
        parameters = parameters.saturating_add(element_count(tensor)? as u64);
    }
    Ok(GraphSummary {
        opset: graph.opset(),
        parameters,
        macs: macs.total,
        uncounted_nodes: macs.unknown as u64,
        operators: onnx::operators(graph, &macs),
    })
}

/// Of a model or a package: opset, inputs and outputs, parameters, size, multiply-accumulates and operators, as lines of text.
pub fn describe(path: &Path) -> Result<String, ModelError> {
    let model = if path.is_dir() { onnx::read(&path.join(MODEL_FILE))? } else { onnx::read(path)? };
    let (inputs, outputs) = onnx::signature(&model.graph)?;
    let GraphSummary { opset, parameters, macs, uncounted_nodes, operators } = summarize(&model.graph)?;

    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "opset       {opset}");
    let _ = writeln!(text, "producer    {}", model.graph.producer());
    let _ = writeln!(text, "size        {} bytes", model.single_file().len());
    let _ = writeln!(text, "parameters  {parameters}");
    let rest =
        if uncounted_nodes > 0 { format!(", and those of {uncounted_nodes} nodes not known") } else { String::new() };
    let _ = writeln!(text, "MACs        {macs} for one item{rest}");
    for (role, tensors) in [("input", inputs), ("output", outputs)] {
        for TensorSignature { name, datatype, shape } in tensors {
            let _ = writeln!(text, "{role:<11} {name}: {datatype} {shape:?}");
        }
    }
    let _ = writeln!(text, "operator    nodes            MACs");
    for (operator, OperatorCount { nodes, macs }) in operators {
        let _ = writeln!(text, "            {nodes:>5} {macs:>15} {operator}");
    }
    Ok(text)
}
