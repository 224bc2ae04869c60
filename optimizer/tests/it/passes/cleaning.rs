//! What each clean-up pass is for, on graphs like those of exporters.

use drydock_optimizer::onnx::{Graph, float_tensor, integer_attribute, integer_tensor, integers_attribute};
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use prost::Message as _;

use super::{IMAGE, assert_same, clean, model, node, operators, statistics};
use crate::making::{value, weight};

struct Case {
    what: &'static str,
    x: &'static [i64],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// What is left.
    left: &'static [&'static str],
}

/// `x.view(x.size(0), -1)`
fn view() -> Vec<NodeProto> {
    vec![
        node("Shape", "x", "shape", vec![]),
        node("Constant", "", "zero", vec![integer_attribute("value_int", 0)]),
        node("Gather", "shape zero", "batch", vec![]),
        node("Unsqueeze", "batch first", "one", vec![]),
        node("Concat", "one rest", "target", vec![integer_attribute("axis", 0)]),
        node("Reshape", "x target", "f", vec![]),
        node("Relu", "f", "y", vec![]),
    ]
}

#[test]
fn what_exporters_write_becomes_what_it_means() {
    let norm = |x: &str, y: &str| node("BatchNormalization", &format!("{x} gain shift mean variance"), y, vec![]);
    let pads = || vec![integers_attribute("pads", &[1, 1, 1, 1])];
    let with = |n: i64, more: Vec<TensorProto>| [statistics(n), more].concat();
    let perm = |p: &[i64]| vec![integers_attribute("perm", p)];
    for Case { what, x, nodes, constants, left } in [
        Case {
            what: "after Conv",
            x: IMAGE,
            nodes: vec![node("Conv", "x w b", "c", pads()), norm("c", "y")],
            constants: with(6, vec![weight("w", &[6, 4, 3, 3]), weight("b", &[6])]),
            left: &["Conv"],
        },
        Case {
            what: "after a grouped ConvTranspose",
            x: IMAGE,
            nodes: vec![node("ConvTranspose", "x w", "c", vec![integer_attribute("group", 2)]), norm("c", "y")],
            constants: with(6, vec![weight("w", &[4, 3, 3, 3])]),
            left: &["ConvTranspose"],
        },
        Case {
            what: "after Gemm",
            x: &[-1, 4],
            nodes: vec![node("Gemm", "x w b", "c", vec![]), norm("c", "y")],
            constants: with(6, vec![weight("w", &[4, 6]), weight("b", &[1])]),
            left: &["Gemm"],
        },
        Case {
            what: "after a transposed Gemm",
            x: &[-1, 4],
            nodes: vec![node("Gemm", "x w", "c", vec![integer_attribute("transB", 1)]), norm("c", "y")],
            constants: with(6, vec![weight("w", &[6, 4])]),
            left: &["Gemm"],
        },
        Case {
            what: "before a grouped Conv",
            x: IMAGE,
            nodes: vec![norm("x", "n"), node("Conv", "n w", "y", vec![integer_attribute("group", 2)])],
            constants: with(4, vec![weight("w", &[6, 2, 3, 3])]),
            left: &["Conv"],
        },
        Case {
            what: "before a Conv that pads: the padding is not normalized",
            x: IMAGE,
            nodes: vec![norm("x", "n"), node("Conv", "n w", "y", pads())],
            constants: with(4, vec![weight("w", &[6, 4, 3, 3])]),
            left: &["BatchNormalization", "Conv"],
        },
        Case {
            what: "read twice",
            x: IMAGE,
            nodes: vec![node("Conv", "x w", "c", vec![]), norm("c", "n"), node("Add", "c n", "y", vec![])],
            constants: with(6, vec![weight("w", &[6, 4, 3, 3])]),
            left: &["Conv", "BatchNormalization", "Add"],
        },
        Case {
            what: "PaddlePaddle's and tf2onnx's chain of scales",
            x: IMAGE,
            nodes: vec![
                node("Conv", "x w", "c", vec![]),
                node("Mul", "m c", "s", vec![]),
                node("Add", "s a", "t", vec![]),
                node("Sub", "t one", "u", vec![]),
                node("Relu", "u", "y", vec![]),
            ],
            constants: vec![
                weight("w", &[6, 4, 3, 3]),
                weight("m", &[6, 1, 1]),
                weight("a", &[1, 6, 1, 1]),
                float_tensor("one", &[], &[0.25]),
            ],
            left: &["Conv", "Relu"],
        },
        Case {
            what: "a constant for each column is none for each channel",
            x: IMAGE,
            nodes: vec![node("Conv", "x w", "c", vec![]), node("Mul", "c m", "y", vec![])],
            constants: vec![weight("w", &[4, 4, 3, 3]), weight("m", &[4])],
            left: &["Conv", "Mul"],
        },
        Case {
            what: "TorchScript's view",
            x: &[2, 4, 6, 6],
            nodes: view(),
            constants: vec![integer_tensor("first", &[1], &[0]), integer_tensor("rest", &[1], &[-1])],
            left: &["Reshape", "Relu"],
        },
        Case {
            what: "TorchScript's view of any batch",
            x: IMAGE,
            nodes: view(),
            constants: vec![integer_tensor("first", &[1], &[0]), integer_tensor("rest", &[1], &[-1])],
            left: &["Reshape", "Relu"],
        },
        Case {
            what: "NHWC",
            x: IMAGE,
            nodes: vec![
                node("Transpose", "x", "a", perm(&[0, 2, 3, 1])),
                node("Transpose", "a", "b", perm(&[0, 3, 1, 2])),
                node("Relu", "b", "y", vec![]),
            ],
            constants: vec![],
            left: &["Relu"],
        },
        Case {
            what: "nothing, in many ways",
            x: IMAGE,
            nodes: vec![
                node("Relu", "x", "a", vec![]),
                node("Identity", "a", "b", vec![]),
                node("Dropout", "b", "c", vec![]),
                node("Cast", "c", "d", vec![integer_attribute("to", 1)]),
                node("Mul", "d ones", "e", vec![]),
                node("Pad", "e pads", "f", vec![]),
                node("Concat", "f", "g", vec![integer_attribute("axis", 1)]),
                node("Slice", "g start end", "h", vec![]),
                node("Tanh", "h", "dead", vec![]),
                node("MaxPool", "h", "y", vec![integers_attribute("kernel_shape", &[1, 1])]),
            ],
            constants: vec![
                float_tensor("ones", &[1], &[1.0]),
                integer_tensor("pads", &[8], &[0; 8]),
                integer_tensor("start", &[4], &[0; 4]),
                integer_tensor("end", &[4], &[i64::MAX; 4]),
            ],
            left: &["Relu"],
        },
        Case {
            what: "all of the work on constants",
            x: &[-1, 4],
            nodes: vec![
                node("Transpose", "w", "t", vec![]),
                node("Mul", "t two", "u", vec![]),
                node("MatMul", "x u", "y", vec![]),
            ],
            constants: vec![weight("w", &[5, 4]), float_tensor("two", &[], &[2.0])],
            left: &["MatMul"],
        },
    ] {
        let before = model(17, x, nodes, constants);
        let after = clean(&before);
        assert_eq!(operators(&after), left, "{what}");
        assert_same(what, &before, &after, x);
    }
}

#[test]
fn a_subgraph_keeps_what_it_reads() {
    let branch = |name: &str, op: &str| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Graph as i32,
        g: Some(GraphProto {
            name: name.into(),
            node: vec![node(op, "i", name, vec![])],
            output: vec![value(name, IMAGE)],
            ..GraphProto::default()
        }),
        ..AttributeProto::default()
    };
    let nodes = vec![
        node("Identity", "x", "i", vec![]),
        node("ReduceMax", "x", "m", vec![integer_attribute("keepdims", 0)]),
        node("Greater", "m zero", "c", vec![]),
        node("If", "c", "y", vec![branch("then_branch", "Tanh"), branch("else_branch", "Neg")]),
    ];
    let before = model(17, IMAGE, nodes, vec![float_tensor("zero", &[], &[0.0])]);
    let after = clean(&before);
    assert_eq!(operators(&after), ["Identity", "ReduceMax", "Greater", "If"]);
    assert_same("If", &before, &after, IMAGE);
}

/// What `torch.onnx` writes beside each node, in branches too; what the model says of itself stays.
#[test]
fn notes_of_the_exporter_go() {
    let note = |value: &str| StringStringEntryProto { key: "stack_trace".into(), value: value.into() };
    let told = |op: &str, x: &str, y: &str, attributes| NodeProto {
        metadata_props: vec![note("/home/somebody/net.py")],
        doc_string: "/home/somebody/net.py".into(),
        ..node(op, x, y, attributes)
    };
    let branch = |name: &str| AttributeProto {
        name: name.into(),
        r#type: AttributeType::Graph as i32,
        g: Some(GraphProto {
            name: name.into(),
            node: vec![told("Neg", "x", name, vec![])],
            output: vec![value(name, IMAGE)],
            ..GraphProto::default()
        }),
        ..AttributeProto::default()
    };
    let nodes = vec![
        told("ReduceMax", "x", "m", vec![integer_attribute("keepdims", 0)]),
        told("Greater", "m zero", "c", vec![]),
        told("If", "c", "y", vec![branch("then_branch"), branch("else_branch")]),
    ];
    let before = model(17, IMAGE, nodes, vec![float_tensor("zero", &[], &[0.0])]);
    let mut model = ModelProto::decode(before.encode().as_slice()).unwrap();
    model.metadata_props = vec![note("the model's own")];
    let before = Graph::new(model).unwrap();
    let after = clean(&before);
    let text = |graph: &Graph| String::from_utf8_lossy(&graph.encode()).into_owned();
    assert!(text(&before).contains("/home/somebody"));
    assert!(!text(&after).contains("/home/somebody") && text(&after).contains("the model's own"));
    assert_same("notes", &before, &after, IMAGE);
}
