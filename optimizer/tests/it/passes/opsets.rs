//! What old opsets say in another way.

use drydock_optimizer::onnx::{attribute_text, float_tensor, integer_attribute, integers_attribute, text_attribute};
use drydock_optimizer::passes;
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::{AttributeProto, GraphProto, NodeProto};

use super::{IMAGE, assert_same, float, model, node};
use crate::making::value;

/// In the main graph and in a subgraph, where no shapes are known.
#[test]
fn opsets_11_and_12_give_what_they_gave() {
    let axes = |a: &[i64]| vec![integers_attribute("axes", a)];
    let inside = |op: &str, axis: Option<i64>| {
        let attributes = axis.map(|a| integer_attribute("axis", a)).into_iter().collect();
        vec![node(op, "x", "y", attributes)]
    };
    let mut cases: Vec<Vec<NodeProto>> = Vec::new();
    for op in ["Softmax", "LogSoftmax", "Hardmax"] {
        for axis in [None, Some(0), Some(1), Some(2), Some(3), Some(-1), Some(-2)] {
            cases.push(inside(op, axis));
        }
    }
    cases.push(vec![node("Unsqueeze", "x", "u", axes(&[0, -1])), node("Squeeze", "u", "y", axes(&[0]))]);
    cases.push(vec![node("ReduceSum", "x", "y", axes(&[2, -1]))]);
    let parts = vec![integers_attribute("split", &[1, 3]), integer_attribute("axis", 1)];
    cases.push(vec![node("Split", "x", "a b", parts), node("Mul", "a b", "y", vec![])]);
    for rounding in ["floor", "round_prefer_floor"] {
        let attributes = vec![
            text_attribute("coordinate_transformation_mode", "tf_half_pixel_for_nn"),
            text_attribute("nearest_mode", rounding),
        ];
        cases.push(vec![node("Resize", "x roi scales", "y", attributes)]);
    }
    let constants = vec![float_tensor("roi", &[0], &[]), float_tensor("scales", &[4], &[1.0, 1.0, 1.5, 2.0])];
    for opset in [11, 12] {
        for nodes in &cases {
            let what = format!("opset {opset}: {nodes:?}");
            let before = model(opset, IMAGE, nodes.clone(), constants.clone());
            let (after, report) = passes::upgrade(before.clone()).unwrap();
            assert_eq!((after.opset(), report.from), (13, opset), "{what}");
            assert!(report.rewritten > 0, "{what}");
            assert_same(&what, &before, &after, IMAGE);

            let branch = |name: &str| AttributeProto {
                name: name.into(),
                r#type: AttributeType::Graph as i32,
                g: Some(GraphProto {
                    name: name.into(),
                    node: nodes.iter().map(|n| rename(n, name)).collect(),
                    output: vec![rename_value(name)],
                    ..GraphProto::default()
                }),
                ..AttributeProto::default()
            };
            let outer = vec![
                node("ReduceMax", "x", "m", vec![integer_attribute("keepdims", 0)]),
                node("Greater", "m zero", "c", vec![]),
                node("If", "c", "y", vec![branch("then_branch"), branch("else_branch")]),
            ];
            let constants = [constants.clone(), vec![float_tensor("zero", &[], &[0.0])]].concat();
            let before = model(opset, IMAGE, outer, constants);
            let (after, _) = passes::upgrade(before.clone()).unwrap();
            assert_same(&format!("inside: {what}"), &before, &after, IMAGE);
        }
    }
    for other in [
        node("Dropout", "x", "y", vec![float("ratio", 0.25)]),
        node("ReduceSum", "x", "y", vec![integer_attribute("keepdims", 0)]),
    ] {
        let before = model(11, IMAGE, vec![other], vec![]);
        let (after, _) = passes::upgrade(before.clone()).unwrap();
        assert_same("without axes", &before, &after, IMAGE);
    }

    let lost = vec![
        text_attribute("coordinate_transformation_mode", "tf_half_pixel_for_nn"),
        text_attribute("mode", "linear"),
    ];
    let resize = node("Resize", "x roi scales", "y", lost);
    assert_eq!(attribute_text(&resize, "mode"), "linear");
    let error = passes::upgrade(model(11, IMAGE, vec![resize], constants)).unwrap_err().to_string();
    assert!(error.contains("\"y\" (Resize)") && error.contains("tf_half_pixel_for_nn"), "{error}");
}

/// Names of values inside a branch are its own.
fn rename(node: &NodeProto, branch: &str) -> NodeProto {
    let outer = ["x", "roi", "scales"];
    let rename = |n: &String| if outer.contains(&n.as_str()) { n.clone() } else { format!("{branch}.{n}") };
    NodeProto {
        input: node.input.iter().map(rename).collect(),
        output: node.output.iter().map(rename).collect(),
        ..node.clone()
    }
}

fn rename_value(branch: &str) -> drydock_optimizer::proto::ValueInfoProto {
    let mut output = value(&format!("{branch}.y"), &[]);
    if let Some(drydock_optimizer::proto::type_proto::Value::TensorType(t)) =
        output.r#type.as_mut().and_then(|t| t.value.as_mut())
    {
        t.shape = None;
    }
    output
}
