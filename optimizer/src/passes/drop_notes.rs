use crate::onnx::Graph;
use crate::proto::GraphProto;

/// Takes out in place what exporters note beside nodes and values: where in their source each came from, with paths of the machine that it was
/// on. `torch.onnx` writes a tenth of a small int8 model's size of it. What the model and the graph say of themselves stays, and so do the
/// descriptions of inputs and outputs.
pub(super) fn drop_notes(graph: &mut Graph) {
    drop_from(&mut graph.body);
}

fn drop_from(body: &mut GraphProto) {
    for node in &mut body.node {
        node.metadata_props.clear();
        node.doc_string.clear();
        for attribute in &mut node.attribute {
            attribute.doc_string.clear();
            attribute.t.iter_mut().for_each(|tensor| tensor.doc_string.clear());
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(drop_from);
        }
    }
    for value in &mut body.value_info {
        value.metadata_props.clear();
        value.doc_string.clear();
    }
    for tensor in &mut body.initializer {
        tensor.metadata_props.clear();
        tensor.doc_string.clear();
    }
}
