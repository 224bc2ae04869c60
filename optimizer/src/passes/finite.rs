use crate::onnx::{Graph, ModelError, floats, is_float};

/// That weights are numbers. A constant that is no weight may be infinite: masks are.
///
/// # Errors
/// The first `Conv`, `Gemm` or `MatMul` whose weights or bias hold NaN or an infinity.
pub fn finite(graph: &Graph) -> Result<(), ModelError> {
    let index = graph.index();
    for node in graph.nodes().iter().filter(|n| ["Conv", "Gemm", "MatMul"].iter().any(|op| n.is(op))) {
        for tensor in node.input.iter().filter_map(|name| index.initializer(graph, name)).filter(|t| is_float(t)) {
            if let Some((at, found)) = floats(tensor)?.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                let (node, tensor) = (node.label(), tensor.name.clone());
                return Err(ModelError::NotFinite { node, tensor, found: *found, at });
            }
        }
    }
    Ok(())
}
