use bytes::Bytes;
use drydock_optimizer::onnx::{Shapes, macs, operators, parse, signature};

/// A model file, and everything that is found out about it before ONNX Runtime sees it.
pub fn onnx(data: &[u8]) -> bool {
    let Ok(graph) = parse(Bytes::copy_from_slice(data)) else { return false };
    let shown = signature(&graph);
    if let Ok(shapes) = Shapes::infer(&graph)
        && let Ok(macs) = macs(&graph, &shapes)
    {
        operators(&graph, &macs);
    }
    // A graph that holds together still does when it is written and read again.
    let again = parse(graph.encode().into()).expect("what was written is read");
    assert_eq!(signature(&again).ok(), shown.ok());
    true
}
