use super::*;
use crate::budget::Budget;

const MIB: usize = 1 << 20;

pub(super) fn read_bounded(
    body: &Bytes,
    header_length: Option<&str>,
    inputs: &[TensorSignature],
    budget: usize,
) -> Result<InferMessage, ServeError> {
    let mut share = Budget::new(budget).share();
    read_request(body, header_length, &mut Bounds { inputs, max_rows: 8, encoded: None, share: &mut share })
}

fn read(body: &str) -> Result<InferMessage, ServeError> {
    read_bounded(&Bytes::copy_from_slice(body.as_bytes()), None, &[], MIB)
}

fn read_binary(json: &str, data: &[u8], header_length: &str) -> Result<InferMessage, ServeError> {
    read_bounded(&Bytes::from([json.as_bytes(), data].concat()), Some(header_length), &[], MIB)
}

#[test]
fn the_order_of_members_does_not_matter() {
    let a =
        r#"{"id":"7","inputs":[{"name":"x","datatype":"INT16","shape":[2],"data":[1,-2]}],"outputs":[{"name":"y"}]}"#;
    let b = r#"{"outputs":[{"name":"y"}],"inputs":[{"data":[1,-2],"shape":[2],"name":"x","datatype":"INT16","extra":{"a":[]}}],"id":"7"}"#;
    let message = read(a).unwrap();
    assert_eq!(message, read(b).unwrap());
    assert_eq!(message.id.as_deref(), Some("7"));
    assert_eq!(message.inputs[0].data, [1_u8, 0, 254, 255].as_slice());
    assert_eq!(message.outputs, [OutputRequest { name: "y".into(), binary: None, classes: None }]);
}

#[test]
fn binary_tensors_follow_one_another() {
    let json = r#"{"parameters":{"binary_data_output":true},"inputs":[
        {"name":"a","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}},
        {"name":"b","datatype":"UINT8","shape":[1],"data":[9]},
        {"name":"c","datatype":"BF16","shape":[1],"parameters":{"binary_data_size":2}}]}"#;
    let message = read_binary(json, &[1, 2, 3, 4, 5], &json.len().to_string()).unwrap();
    let data: Vec<&[u8]> = message.inputs.iter().map(|t| &*t.data).collect();
    assert_eq!(data, [&[1_u8, 2, 3][..], &[9], &[4, 5]]);
    assert!(message.binary);
}

#[test]
fn bad_bodies_are_told_where_and_why() {
    let x = |rest: &str| format!(r#"{{"inputs":[{{"name":"x",{rest}}}]}}"#);
    for (body, message) in [
        (String::new(), "line 1 column 0"),
        ("{".into(), "line 1 column 1"),
        ("[]".into(), "column"),
        ("{\"inputs\":1}".into(), "column 11"),
        ("{\"inputs\":[}".into(), "column 12"),
        ("{}".into(), "missing field `inputs`"),
        (x(r#""datatype":"FP99","shape":[1],"data":[1]"#), "unknown datatype \"FP99\""),
        (x(r#""datatype":"FP32","shape":[-1],"data":[1]"#), "[-1]"),
        (x(r#""datatype":"FP32","shape":[9223372036854775807,9],"data":[1]"#), "not possible"),
        (x(r#""datatype":"FP32","shape":[9223372036854775808],"data":[1]"#), "column"),
        (x(r#""datatype":"FP32","shape":[2],"data":[1]"#), "1 elements"),
        (x(r#""datatype":"FP32","shape":[1]"#), "neither data"),
        (x(r#""datatype":"BYTES","shape":[1],"data":[7]"#), "element 0 of the data is 7, which is no BYTES"),
        (x(r#""datatype":"BYTES","shape":[2],"data":["a"]"#), "1 elements"),
        (x(r#""datatype":"BYTES","shape":[1],"data":["\u0000"]"#), "NUL"),
        (x(r#""datatype":"BYTES","shape":[9223372036854775807],"data":["a"]"#), "not possible"),
        (x(r#""datatype":"FP32","shape":[1],"data":[NaN]"#), "column"),
        (format!("{{\"inputs\":{}", "[".repeat(1_000_000)), "column"),
        (x(&format!(r#""datatype":"FP32","shape":[1],"parameters":{}"#, "[".repeat(1_000_000))), "column"),
        (r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":"3"}}]}"#.into(), "expected usize"),
        (r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":-1}}]}"#.into(), "expected usize"),
    ] {
        let error = read(&body).unwrap_err().to_string();
        assert!(error.contains(message), "{}: {error}", body.get(..100).unwrap_or(&body));
    }
}

#[test]
fn strings_come_as_text_and_as_bytes() {
    let json = r#"{"inputs":[
        {"name":"a","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":10}},
        {"name":"b","datatype":"BYTES","shape":[1,2],"data":[["é",""]]}]}"#;
    let message = read_binary(json, &[2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0], &json.len().to_string()).unwrap();
    let texts: Vec<_> = message.inputs.iter().map(|t| strings::texts(&t.data).unwrap()).collect();
    assert_eq!(texts, [["ab", ""], ["é", ""]]);
}

#[test]
fn outputs_say_what_they_want() {
    let body = r#"{"inputs":[],"outputs":[{"name":"a","parameters":{"classification":3,"binary_data":true}},
        {"name":"b","parameters":{"classification":0,"anything":[1]}}]}"#;
    let outputs = read(body).unwrap().outputs;
    assert_eq!(outputs[0], OutputRequest { name: "a".into(), binary: Some(true), classes: Some(3) });
    assert_eq!(outputs[1], OutputRequest { name: "b".into(), binary: None, classes: None });
}

#[test]
fn bad_binary_bodies_are_refused() {
    let x = |size: &str| format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[2],{size}}}]}}"#);
    let (good, bad) = (x(r#""parameters":{"binary_data_size":8}"#), x(r#""parameters":{"binary_data_size":7}"#));
    let both = x(r#""parameters":{"binary_data_size":8},"data":[1,2]"#);
    let negative = x(r#""parameters":{"binary_data_size":-8}"#);
    let strings = good.replace("FP32", "BYTES").replace("[2]", "[3]");
    for (json, data, length, message) in [
        (&good, 8, "99999", "the whole body has only"),
        (&good, 8, "-1", "expected a number"),
        (&good, 8, "18446744073709551616", "expected a number"),
        (&good, 9, "", "1 bytes are left"),
        (&good, 7, "", "only 7 bytes are left"),
        (&good, 8, "10", "column"),
        (&bad, 7, "", "has 8 bytes"),
        (&both, 8, "", "expected one of them"),
        (&negative, 8, "", "column"),
        (&strings, 8, "", "data has 2 strings; expected 3"),
    ] {
        let length = if length.is_empty() { json.len().to_string() } else { length.to_owned() };
        let error = read_binary(json, &vec![0; data], &length).unwrap_err().to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
}

#[test]
fn what_the_model_has_otherwise_is_refused_before_its_data_is_read() {
    let expected = [TensorSignature { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, 2] }];
    for (kind, message) in [
        (r#""datatype":"INT8","shape":[1,2]"#, "datatype is INT8; expected FP32"),
        (r#""datatype":"FP32","shape":[1,3]"#, "shape is [1, 3]; expected [-1, 2] (-1: any)"),
        (r#""datatype":"FP32","shape":[9,2]"#, "has 9 rows; expected at most 8"),
        (r#""datatype":"FP32","shape":[1099511627776,2]"#, "has 1099511627776 rows; expected at most 8"),
    ] {
        let body = format!(r#"{{"inputs":[{{"name":"x",{kind},"data":["no number"]}}]}}"#);
        let error = read_bounded(&Bytes::from(body), None, &expected, MIB).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn tensors_that_take_more_than_there_is_are_refused() {
    let body = |datatype: &str, shape: usize, data: &str| {
        Bytes::from(format!(r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":[{shape}],"data":{data}}}]}}"#))
    };
    // Each element is 2 characters of the body and 8 bytes of the tensor.
    let (ones, budget) = (format!("[{}1]", "1,".repeat(1023)), 4 << 10);
    assert!(read_bounded(&body("FP32", 1024, &ones), None, &[], budget).is_ok());
    let error = read_bounded(&body("FP64", 1024, &ones), None, &[], budget).unwrap_err();
    assert_eq!(error, ServeError::TooMuchMemory { needed: 8 << 10, limit: budget });
    // A shape alone takes nothing.
    let error = read_bounded(&body("FP64", 1 << 50, "[1]"), None, &[], budget).unwrap_err();
    assert!(error.to_string().contains("1 elements"), "{error}");
}

#[test]
fn lists_are_no_longer_than_a_model_can_want() {
    let shape = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[{}1],"data":[1]}}]}}"#, "1,".repeat(64));
    let outputs = format!(r#"{{"inputs":[],"outputs":[{}{{"name":"y"}}]}}"#, r#"{"name":"y"},"#.repeat(4096));
    for (body, message) in [(shape, "expected a list of at most 64"), (outputs, "expected a list of at most 4096")] {
        let error = read(&body).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// A large tensor is read past serde_json: what comes out, and what is refused, is the same.
#[test]
fn large_and_small_are_read_alike() {
    let x = |datatype: &str, n: usize, data: &str| {
        format!(r#"{{"name":"x","datatype":"{datatype}","shape":[{n}],"data":{data}}}"#)
    };
    let numbers = |last: &str| format!("[{}{last}]", "1.5, ".repeat(2000));
    let body = |rest: &str| format!(r#"{{"inputs":[{rest}],"outputs":[{{"name":"y"}}],"id":"7"}}"#);
    let message = read(&body(&x("FP32", 2001, &numbers("-0.1")))).unwrap();
    let expected: Vec<u8> = std::iter::repeat_n(1.5_f32, 2000).chain([-0.1]).flat_map(f32::to_le_bytes).collect();
    assert_eq!(
        (message.inputs[0].data.as_ref(), message.outputs.len(), message.id.as_deref()),
        (&expected[..], 1, Some("7"))
    );
    // Other datatypes, and a small one beside a large one.
    let both = format!("{},{}", x("FP64", 2001, &numbers("2")), x("UINT8", 2, "[0,255]").replace(r#""x""#, r#""b""#));
    let message = read(&body(&both)).unwrap();
    assert_eq!((message.inputs[0].data.len(), message.inputs[1].data.as_ref()), (8 * 2001, &[0, 255][..]));

    let column = "column";
    for (data, message) in [
        (numbers("1e39"), "element 2000 of the data is 1e39, which is no FP32"),
        (numbers("null"), "which is no FP32"),
        (numbers("NaN"), column),
        (numbers("1,"), column),
        (numbers(""), column),
        (numbers("01"), column),
        (numbers("{}"), "which is no FP32"),
        (numbers("1,2"), "2002 elements; shape [2001] has 2001"),
        (numbers("[1]"), "nested deeper"),
    ] {
        let error = read(&body(&x("FP32", 2001, &data))).unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
    }
    // What goes on behind the array.
    for more in ["e5", "E+3", ".5"] {
        let data = format!("{}{more}", numbers("1"));
        let error = read(&body(&x("FP32", 2001, &data))).unwrap_err().to_string();
        assert!(error.contains(column), "{more}: {error}");
    }
    // Where nobody reads it, it must be JSON all the same.
    for (last, ok) in [("1", true), ("01", false)] {
        let hidden =
            format!(r#"{},"parameters":{{"data":{}}}}}"#, x("FP32", 1, "[1]").trim_end_matches('}'), numbers(last));
        assert_eq!(read(&body(&hidden)).is_ok(), ok, "{last}");
    }
}
