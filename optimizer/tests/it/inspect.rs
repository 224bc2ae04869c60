//! What `inspect` says of a model.

use drydock_optimizer::inspect::describe;
use drydock_optimizer::onnx::new_node;
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::{AttributeProto, ModelProto, NodeProto};
use prost::Message as _;

use crate::common::example;

fn line<'t>(text: &'t str, start: &str) -> &'t str {
    text.lines().find(|l| l.starts_with(start)).unwrap_or_default()
}

#[test]
fn parameters_and_macs_whatever_form_the_weights_have() {
    let path = example("fashion-mobilenet.onnx");
    let text = describe(&path).unwrap();
    // What onnx's own shape inference and the products of the layers' dimensions give.
    assert_eq!(line(&text, "MACs"), "MACs        6979200 for one item", "{text}");

    let mut model = ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    for tensor in std::mem::take(&mut graph.initializer) {
        let name = tensor.name.clone();
        let value = AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor as i32,
            t: Some(tensor),
            ..AttributeProto::default()
        };
        graph.node.push(NodeProto { attribute: vec![value], ..new_node("Constant", vec![], name) });
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model.encode_to_vec()).unwrap();
    let constants = describe(file.path()).unwrap();
    for start in ["parameters", "MACs"] {
        assert_eq!(line(&text, start), line(&constants, start), "{constants}");
    }
    assert!(!line(&text, "parameters").ends_with(" 0"), "{text}");
}
