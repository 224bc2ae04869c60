//! All clean-up passes on random chains of nodes.

use drydock_optimizer::onnx::{Graph, Shapes, float_tensor, integer_attribute, integer_tensor, integers_attribute};
use drydock_optimizer::passes;
use drydock_optimizer::proto::TensorProto;
use proptest::prelude::*;

use super::{IMAGE, assert_same, clean, model, node, run, statistics};
use crate::common::engine;
use crate::making::weight;

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
