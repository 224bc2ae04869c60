use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::budget::Budget;
use crate::tensor::Decision;

const MIB: usize = 1 << 20;

fn signature(list: &[(&str, Datatype, &[i64])]) -> Vec<TensorSignature> {
    let tensor = |(name, datatype, shape): &(&str, Datatype, &[i64])| TensorSignature {
        name: (*name).into(),
        datatype: *datatype,
        shape: shape.to_vec(),
    };
    list.iter().map(tensor).collect()
}

fn one() -> Vec<TensorSignature> {
    signature(&[("x", Datatype::Int8, &[-1, 2])])
}

fn two() -> Vec<TensorSignature> {
    signature(&[("a", Datatype::Int8, &[-1, 2]), ("b", Datatype::Bytes, &[-1])])
}

fn read(body: &str, inputs: &[TensorSignature]) -> Result<(Vec<Tensor>, Form), ServeError> {
    let mut share = Budget::new(MIB).share();
    read_request(body.as_bytes(), &mut Bounds { inputs, max_rows: 3, encoded: None, share: &mut share })
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64], data: &[u8]) -> Tensor {
    Tensor { name: name.into(), datatype, shape: shape.to_vec(), data: Bytes::copy_from_slice(data) }
}

#[test]
fn both_forms_are_the_same_tensors() {
    let x = tensor("x", Datatype::Int8, &[2, 2], &[1, 2, 3, 4]);
    for (body, form) in [
        (r#"{"instances":[[1,2],[3,4]]}"#, Form::Row),
        (r#"{"instances": [ {"x":[1,2]}, {"x":[3,4]} ], "signature_name":"serving_default"}"#, Form::Row),
        (r#"{"inputs":[[1,2],[3,4]],"signature_name":""}"#, Form::Columnar),
        (r#"{"inputs":{"x":[[1,2],[3,4]]},"more":[{}]}"#, Form::Columnar),
    ] {
        assert_eq!(read(body, &one()), Ok((vec![x.clone()], form)), "{body}");
    }
    let a = tensor("a", Datatype::Int8, &[2, 2], &[1, 2, 3, 4]);
    let b = tensor("b", Datatype::Bytes, &[2], &[1, 0, 0, 0, b's', 0, 0, 0, 0]);
    for body in [
        r#"{"instances":[{"a":[1,2],"b":"s"},{"b":{"b64":""},"a":[3,4]}]}"#,
        r#"{"inputs":{"b":["s",""],"a":[[1,2],[3,4]]}}"#,
    ] {
        assert_eq!(read(body, &two()).unwrap().0, [a.clone(), b.clone()], "{body}");
    }
    let strings = signature(&[("s", Datatype::Bytes, &[-1])]);
    let s = tensor("s", Datatype::Bytes, &[1], &[1, 0, 0, 0, b's']);
    for body in [r#"{"instances":[{"b64":"cw=="}]}"#, r#"{"instances":["s"]}"#, r#"{"instances":[{"s":"s"}]}"#] {
        assert_eq!(read(body, &strings).unwrap().0, std::slice::from_ref(&s), "{body}");
    }
}

#[test]
fn bad_bodies_are_told_what_was_expected() {
    let deep = format!(r#"{{"instances":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (inputs, body, message) in [
        (one(), "", "line 1 column 0"),
        (one(), "{}", "one of instances and inputs"),
        (one(), r#"{"instances":[],"inputs":[]}"#, "one of instances and inputs"),
        (one(), r#"{"instances":[[1,2]],"signature_name":"x"}"#, "no signature \"x\""),
        (one(), r#"{"instances":[]}"#, "shape is [0]; expected [-1, 2]"),
        (one(), r#"{"instances":7}"#, "shape is []"),
        (one(), r#"{"instances":[[1,2],[3]]}"#, "has 1 members"),
        (one(), r#"{"instances":[[1,2],[3,4],[5,6],[7,8]]}"#, "4 rows; expected at most 3"),
        (one(), r#"{"instances":[[1,128]]}"#, "which is no INT8"),
        (one(), r#"{"instances":[[1,NaN]]}"#, "column"),
        (one(), r#"{"instances":[[1,null]]}"#, "null"),
        (one(), r#"{"instances":[{"x":[1,2]},{"x":[1]}]}"#, "row 1: shape is [1]; that of the rows before is [2]"),
        (one(), r#"{"instances":[{"y":[1,2]}]}"#, "no input \"y\"; expected x"),
        (one(), r#"{"instances":[{"x":[1,2],"x":[1,2]}]}"#, "twice"),
        (one(), r#"{"instances":[{}]}"#, "\"x\" is missing"),
        (one(), r#"{"instances":[{"x":[1,2]},7]}"#, "expected an object"),
        (one(), r#"{"instances":[[{"x":[1,2]}]]}"#, "a list of objects with x"),
        (two(), r#"{"instances":[[1,2]]}"#, "for models of one input; expected objects with a, b"),
        (two(), r#"{"instances":[{},{},{},{}]}"#, "there are 4 instances; expected at most 3"),
        (two(), r#"{"inputs":{"a":[[1,2]]}}"#, "\"b\" is missing"),
        (two(), r#"{"inputs":{"a":[[1,2]],"b":[{"b64":"/w=="}]}}"#, "no UTF-8"),
        (one(), &deep, "deeper than 64"),
    ] {
        let error = read(body, &inputs).unwrap_err().to_string();
        assert!(error.contains(message), "{}: {error}", body.get(..80).unwrap_or(body));
    }
    assert!(
        read_request(
            b"{\"instances\":[[\"\xff\"]]}",
            &mut Bounds { inputs: &one(), max_rows: 1, encoded: None, share: &mut Budget::new(MIB).share() }
        )
        .is_err()
    );
}

#[test]
fn answers_have_the_form_of_their_requests() {
    let a = tensor("a", Datatype::Int8, &[2, 2], &[1, 2, 3, 4]);
    let b = tensor("b", Datatype::Bytes, &[2], &[1, 0, 0, 0, b's', 0, 0, 0, 0]);
    let scalar = tensor("c", Datatype::Bool, &[], &[1]);
    let text = |outputs: &[&Tensor], form| {
        let outputs: Vec<Tensor> = outputs.iter().map(|t| (*t).clone()).collect();
        write_response(&outputs, form).map(|body| String::from_utf8(body.to_vec()).unwrap())
    };
    for (outputs, form, expected) in [
        (&[&a][..], Form::Row, r#"{"predictions":[[1,2],[3,4]]}"#),
        (&[&a, &b], Form::Row, r#"{"predictions":[{"a":[1,2],"b":"s"},{"a":[3,4],"b":""}]}"#),
        (&[&a], Form::Columnar, r#"{"outputs":[[1,2],[3,4]]}"#),
        (&[&a, &scalar], Form::Columnar, r#"{"outputs":{"a":[[1,2],[3,4]],"c":true}}"#),
    ] {
        assert_eq!(text(outputs, form).as_deref(), Ok(expected));
    }
    assert!(text(&[&a, &scalar], Form::Row).unwrap_err().to_string().contains("ask with inputs"));
}

#[test]
fn answers_can_be_compared() {
    let outputs = signature(&[("a", Datatype::Fp32, &[-1, 3]), ("b", Datatype::Fp32, &[-1])]);
    let classes = [Decision::Class(1), Decision::Class(0)];
    for body in [
        r#"{"predictions":[{"a":[0,2,1],"b":1},{"b":2,"a":[5,4,3]}]}"#,
        r#"{"outputs":{"a":[[0,2,1],[5,4,3]],"b":[1,2]}}"#,
    ] {
        assert_eq!(read_response(body.as_bytes(), &outputs).unwrap().decisions().unwrap(), classes, "{body}");
    }
    let body = br#"{"predictions":[[0,2,1],[5,4,3]]}"#;
    assert_eq!(read_response(body, &outputs[..1]).unwrap().decisions().unwrap(), classes);
    assert!(read_response(b"{\"error\":\"x\"}", &outputs).is_err());
}

/// Values that mean something to one reader or another, in lists and objects.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (0..3_i64).prop_map(|n| n.to_string()),
        prop::sample::select(vec!["null", "true", "\"]]{\\\"\"", "\"s\"", "{\"b64\":\"AA==\"}", "{}", "[]", "1e999"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = prop::sample::select(vec!["a", "b", "x", "b64", "{"]);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            vec((key, inner), 0..3).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(
        value in value(),
        member in prop::sample::select(vec!["instances", "inputs", "predictions", "outputs"]),
        cut in prop::option::of(0_usize..100),
    ) {
        let mut body = format!(r#"{{"{member}":{value}}}"#);
        body.truncate(cut.unwrap_or(usize::MAX));
        for signature in [one(), two(), signature(&[("x", Datatype::Bytes, &[-1, -1])])] {
            if let Ok((tensors, form)) = read(&body, &signature) {
                for t in &tensors {
                    prop_assert_eq!(tensor::check_data(t.datatype, &t.shape, &t.data), Ok(()));
                }
                prop_assert!(write_response(&tensors, form).is_ok());
            }
            let _ = read_response(body.as_bytes(), &signature);
        }
    }
}
