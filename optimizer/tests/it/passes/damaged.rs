//! Graphs that protobuf reads and nobody can run.

use drydock_optimizer::onnx::{float_tensor, integers_attribute};
use drydock_optimizer::passes;
use drydock_optimizer::proto::{NodeProto, TensorProto};

use super::{IMAGE, node, operators, statistics, try_model};
use crate::common::engine;
use crate::making::weight;

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

#[test]
fn weights_that_are_no_numbers_name_their_node() {
    let graph = |weights: TensorProto, constant: f32| {
        let nodes = vec![node("Conv", "x w", "c", vec![]), node("Add", "c mask", "y", vec![])];
        try_model(17, IMAGE, nodes, vec![weights, float_tensor("mask", &[], &[constant])]).unwrap()
    };
    let mut values = vec![0.5; 24];
    assert!(passes::finite(&graph(float_tensor("w", &[6, 4, 1, 1], &values), f32::NEG_INFINITY)).is_ok(), "a mask");
    for bad in [f32::NAN, f32::INFINITY] {
        values[3] = bad;
        let error = passes::finite(&graph(float_tensor("w", &[6, 4, 1, 1], &values), 0.0)).unwrap_err().to_string();
        assert!(error.contains(&format!("\"c\" (Conv) has {bad} at position 3 of its weights \"w\"")), "{error}");
    }
}
