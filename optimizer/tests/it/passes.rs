//! What each clean-up pass is for, on graphs like those of exporters; and all of them on random graphs.

use drydock_optimizer::onnx::{
    self, Graph, ModelError, Shapes, attribute_text, float_tensor, integer_attribute, integer_tensor,
    integers_attribute, new_node, text_attribute,
};
use drydock_optimizer::passes;
use drydock_optimizer::proto::attribute_proto::AttributeType;
use drydock_optimizer::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};
use proptest::prelude::*;

use crate::common::engine;
use crate::graphs::{value, weight};

fn node(op: &str, inputs: &str, outputs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |text: &str| text.split_whitespace().map(|n| n.trim_matches('_').to_owned()).collect::<Vec<_>>();
    NodeProto { attribute, output: names(outputs), ..new_node(op, names(inputs), String::new()) }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..AttributeProto::default() }
}

fn try_model(opset: i64, x: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Result<Graph, ModelError> {
    let mut y = value("y", &[]);
    y.r#type = None;
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        initializer,
        input: vec![value("x", x)],
        output: vec![y],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
    Graph::new(ModelProto { ir_version: 7, opset_import, graph: Some(graph), ..ModelProto::default() })
}

fn model(opset: i64, x: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Graph {
    try_model(opset, x, nodes, initializer).unwrap()
}

fn run(graph: &Graph, x: &[i64]) -> (Vec<i64>, Vec<f32>) {
    let shape: Vec<i64> = x.iter().map(|d| if *d < 0 { 3 } else { *d }).collect();
    let input = weight("x", &shape);
    let mut session = engine().open(&graph.encode(), 1).unwrap();
    let output = session.run_tensors(&[input]).unwrap().remove(0).unwrap();
    (output.dims.clone(), onnx::floats(&output).unwrap())
}

fn assert_same(what: &str, before: &Graph, after: &Graph, x: &[i64]) {
    let ((dims, expected), (found_dims, found)) = (run(before, x), run(after, x));
    assert_eq!(dims, found_dims, "{what}");
    let largest = expected.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
    for (a, b) in expected.iter().zip(&found) {
        assert!((a - b).abs() <= 1e-5 * largest || (a.is_nan() && b.is_nan()), "{what}: {a} and {b}");
    }
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|n| n.op_type.as_str()).collect()
}

fn clean(graph: &Graph) -> Graph {
    passes::clean(graph.clone(), &engine()).unwrap().0
}

/// Statistics of four channels: the variance is positive.
fn statistics(n: i64) -> Vec<TensorProto> {
    let variance: Vec<f32> = (0..n).map(|i| 0.5 + i as f32).collect();
    vec![weight("gain", &[n]), weight("shift", &[n]), weight("mean", &[n]), float_tensor("variance", &[n], &variance)]
}

struct Case {
    what: &'static str,
    x: &'static [i64],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// What is left.
    left: &'static [&'static str],
}

const IMAGE: &[i64] = &[-1, 4, 6, 6];

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

/// Damage that protobuf does not see. An error names the node or the tensor; what can be left alone is left alone.
#[test]
fn hostile_graphs() {
    let conv = |attributes| vec![node("Conv", "x w", "c", attributes), node("Relu", "c", "y", vec![])];
    let lie = TensorProto { dims: vec![7, 4, 3, 3], ..weight("w", &[6, 4, 3, 3]) };
    let overflow = vec![integers_attribute("dilations", &[i64::MAX, i64::MAX])];
    let unknown = NodeProto { domain: "com.example".into(), ..node("Conv", "x w", "y", vec![]) };
    let nan = float_tensor("w", &[6, 4, 1, 1], &[f32::NAN; 24]);
    let infinite = float_tensor("mean", &[6], &[f32::INFINITY; 6]);
    let norm = node("BatchNormalization", "c gain shift mean variance", "y", vec![]);
    let norm_after = || vec![node("Conv", "x w", "c", vec![]), norm.clone()];
    for (what, nodes, constants, expected) in [
        (
            "channels that do not fit",
            conv(vec![]),
            vec![weight("w", &[6, 3, 3, 3])],
            Err("\"c\" (Conv) has 4 input channels"),
        ),
        ("data that does not fit", norm_after(), [statistics(7), vec![lie]].concat(), Err("tensor \"w\"")),
        ("overflow", conv(overflow), vec![weight("w", &[6, 4, 3, 3])], Err("\"c\" (Conv) has a dimension over 2^63")),
        ("no channels", conv(vec![]), vec![weight("w", &[0, 4, 3, 3])], Ok(&["Conv", "Relu"][..])),
        ("NaN", norm_after(), [statistics(6), vec![nan]].concat(), Ok(&["Conv"])),
        (
            "infinite statistics",
            norm_after(),
            {
                let mut all = statistics(6);
                all[2] = infinite;
                all.push(weight("w", &[6, 4, 1, 1]));
                all
            },
            Ok(&["Conv", "BatchNormalization"]),
        ),
        (
            "statistics of another size",
            norm_after(),
            [statistics(5), vec![weight("w", &[6, 4, 1, 1])]].concat(),
            Err("\"y\" (BatchNormalization)"),
        ),
        ("an unknown domain", vec![unknown], vec![weight("w", &[1])], Ok(&["Conv"])),
        ("an unknown operator", vec![node("Frobnicate", "x", "y", vec![])], vec![], Ok(&["Frobnicate"])),
        ("a cycle", vec![node("Add", "x z", "y", vec![]), node("Relu", "y", "z", vec![])], vec![], Err("cycle")),
    ] {
        let result = try_model(17, IMAGE, nodes, constants).and_then(|g| passes::clean(g, &engine()));
        match (&result, expected) {
            (Ok((graph, _)), Ok(left)) => assert_eq!(operators(graph), left, "{what}"),
            (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{what}: {e}"),
            _ => panic!("{what}: {result:?}"),
        }
    }
}

/// One step of a random chain; each keeps (N, channels, H, W).
fn step() -> impl Strategy<Value = (u8, u8)> {
    (0_u8..22, 1_u8..5)
}

fn chain(opset: i64, steps: &[(u8, u8)]) -> Graph {
    let mut nodes = Vec::new();
    let mut constants = vec![
        integer_tensor("pads", &[8], &[0; 8]),
        integer_tensor("same", &[4], &[0, 0, 0, 0]),
        float_tensor("zero", &[1], &[0.0]),
        float_tensor("ones", &[1, 1, 1, 1], &[1.0]),
    ];
    let (mut at, mut channels) = ("x".to_owned(), 4_i64);
    for (i, (kind, width)) in steps.iter().enumerate() {
        let out = format!("v{i}");
        let [w, b, aside] = ["w", "b", "aside"].map(|n| format!("{n}{i}"));
        let per_channel = [1, channels, 1, 1];
        match kind {
            0..=3 => {
                let kernel = if kind % 2 == 0 { 1 } else { 3 };
                let next = i64::from(*width) * 2;
                let pad = (kernel - 1) / 2;
                constants.extend([weight(&w, &[next, channels, kernel, kernel]), weight(&b, &[next])]);
                nodes.push(node("Conv", &format!("{at} {w} {b}"), &out, vec![integers_attribute("pads", &[pad; 4])]));
                channels = next;
            }
            4 | 5 => {
                constants.push(weight(&w, &[channels, i64::from(*width), 1, 1]));
                nodes.push(node("ConvTranspose", &format!("{at} {w}"), &out, vec![]));
                channels = i64::from(*width);
            }
            6..=8 => {
                let names = ["gain", "shift", "mean", "variance"].map(|n| format!("{n}{i}"));
                for (tensor, name) in statistics(channels).into_iter().zip(&names) {
                    constants.push(TensorProto { name: name.clone(), ..tensor });
                }
                nodes.push(node("BatchNormalization", &format!("{at} {}", names.join(" ")), &out, vec![]));
            }
            9 | 10 => {
                constants.push(weight(&w, &per_channel));
                nodes.push(node(if *kind == 9 { "Mul" } else { "Add" }, &format!("{at} {w}"), &out, vec![]));
            }
            11 => nodes.push(node("Identity", &at, &out, vec![])),
            12 => nodes.push(node("Dropout", &at, &out, vec![])),
            13 => nodes.push(node("Pad", &format!("{at} pads"), &out, vec![])),
            14 => nodes.push(node("Reshape", &format!("{at} same"), &out, vec![])),
            15 => {
                nodes.push(node("Transpose", &at, &aside, vec![integers_attribute("perm", &[0, 2, 3, 1])]));
                nodes.push(node("Transpose", &aside, &out, vec![integers_attribute("perm", &[0, 3, 1, 2])]));
            }
            16 => {
                nodes.push(node("Shape", &at, &aside, vec![]));
                nodes.push(node("Reshape", &format!("{at} {aside}"), &out, vec![]));
            }
            17 => nodes.push(node("Add", &format!("{at} zero"), &out, vec![])),
            18 => nodes.push(node("Mul", &format!("{at} ones"), &out, vec![])),
            19 => {
                nodes.push(node("Relu", &at, &aside, vec![]));
                nodes.push(node("Add", &format!("{aside} {at}"), &out, vec![]));
            }
            20 => nodes.push(node("Softmax", &at, &out, vec![integer_attribute("axis", i64::from(width % 4))])),
            _ => nodes.push(node("Sigmoid", &at, &out, vec![])),
        }
        at = out;
    }
    if let Some(last) = nodes.last_mut() {
        last.output = vec!["y".into()];
    }
    model(opset, IMAGE, nodes, constants)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_give_what_they_gave(opset in 11_i64..=23, steps in prop::collection::vec(step(), 1..9)) {
        let before = chain(opset, &steps);
        let upgraded = passes::upgrade(before.clone()).unwrap().0;
        assert_same("upgrade", &before, &upgraded, IMAGE);
        let each = [
            ("fold_batch_norm", passes::fold_batch_norm(upgraded.clone()).unwrap().0),
            ("remove_noops", passes::remove_noops(upgraded.clone()).unwrap().0),
            ("fold_constants", passes::fold_constants(upgraded.clone(), &engine()).unwrap().0),
            ("lift_constants", passes::lift_constants(upgraded.clone()).0),
            ("clean", clean(&before)),
        ];
        for (pass, after) in &each {
            assert_same(pass, &before, after, IMAGE);
        }
        let (dims, _) = run(&before, IMAGE);
        prop_assert_eq!(Shapes::infer_batch(&before, 3).unwrap().sizes("y"), Some(dims));
        // What is clean stays as it is: equal graphs, equal bytes.
        let again = clean(&each[4].1);
        prop_assert!(again.encode() == each[4].1.encode());
    }
}
