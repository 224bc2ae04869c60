use super::*;

fn signature(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSignature {
    TensorSignature { name: name.into(), datatype, shape: shape.to_vec() }
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64], bytes: usize) -> Tensor {
    Tensor { name: name.into(), datatype, shape: shape.to_vec(), data: vec![0; bytes].into() }
}

#[test]
fn inputs_come_into_the_models_order() {
    let expected = [signature("a", Datatype::Fp32, &[-1, 2]), signature("b", Datatype::Bool, &[1])];
    let (a, b) = (tensor("a", Datatype::Fp32, &[3, 2], 24), tensor("b", Datatype::Bool, &[1], 1));
    let ordered = in_order(&expected, 3, vec![b.clone(), a.clone()]).unwrap();
    assert_eq!(ordered, [a, b]);
}

#[test]
fn outputs_are_named_once_and_are_there() {
    let outputs = [signature("a", Datatype::Fp32, &[1]), signature("b", Datatype::Fp32, &[1])];
    let check = |names: &[&'static str]| {
        let wanted: Vec<_> = names.iter().map(|&name| Wanted { name, classes: None }).collect();
        check_outputs(&outputs, &wanted).map_err(|e| e.to_string())
    };
    assert_eq!((check(&[]), check(&["b", "a"])), (Ok(()), Ok(())));
    assert!(check(&["x"]).unwrap_err().contains("no output \"x\"; expected one of a, b"));
    assert!(check(&["b", "b"]).unwrap_err().contains("\"b\" is asked for twice"));
}

#[test]
fn wrong_inputs_are_told_what_was_expected() {
    let expected = [signature("a", Datatype::Fp32, &[-1, 2])];
    let good = || tensor("a", Datatype::Fp32, &[1, 2], 8);
    for (inputs, message) in [
        (vec![], "\"a\" is missing"),
        (vec![tensor("x", Datatype::Fp32, &[1, 2], 8)], "\"a\" is missing; found \"x\""),
        (vec![good(), good()], "came twice"),
        (vec![good(), tensor("x", Datatype::Fp32, &[1], 4)], "no input \"x\""),
        (vec![tensor("a", Datatype::Fp64, &[1, 2], 16)], "datatype is FP64; expected FP32"),
        (vec![tensor("a", Datatype::Fp32, &[1, 3], 12)], "shape is [1, 3]; expected [-1, 2]"),
        (vec![tensor("a", Datatype::Fp32, &[2], 8)], "expected [-1, 2]"),
        (vec![tensor("a", Datatype::Fp32, &[i64::MAX, 2], 8)], "not possible"),
        (vec![tensor("a", Datatype::Fp32, &[0, 2], 0)], "not possible"),
        (vec![tensor("a", Datatype::Fp32, &[1, 2], 7)], "data has 7 bytes"),
        (vec![tensor("a", Datatype::Fp32, &[4, 2], 32)], "4 rows; expected at most 3"),
    ] {
        let error = in_order(&expected, 3, inputs).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let flag = [signature("f", Datatype::Bool, &[1])];
    let two = Tensor { data: vec![2].into(), ..tensor("f", Datatype::Bool, &[1], 1) };
    assert!(in_order(&flag, 3, vec![two]).is_err());
}
