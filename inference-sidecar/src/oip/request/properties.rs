//! Whatever comes, it is read or refused: no request makes the reader panic.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::tests::read_bounded;
use super::*;

const DATATYPES: [&str; 8] = ["FP32", "FP64", "INT64", "UINT8", "BOOL", "FP16", "BYTES", "FP99"];

/// Dimensions whose product may overflow, or be negative, or nothing.
fn shape() -> impl Strategy<Value = Vec<i64>> {
    let dimension = prop_oneof![
        4 => 0_i64..4,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, -1, i64::MAX, 1 << 32, 1 << 62, i64::MAX / 4 + 1]),
    ];
    vec(dimension, 0..6)
}

fn data() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(|n| n.to_string()),
        prop::sample::select(vec!["1", "true", "null", "\"]]]\"", "{\"a\":[]}", "1e999", "-0"]).prop_map(str::to_owned),
    ];
    number.prop_recursive(4, 32, 4, |inner| vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(","))))
}

fn header_length() -> impl Strategy<Value = Option<String>> {
    of(prop_oneof![any::<u64>().prop_map(|n| n.to_string()), (0_usize..300).prop_map(|n| n.to_string()), ".{0,20}"])
}

fn input() -> impl Strategy<Value = String> {
    let size = of(prop_oneof![0_u64..32, any::<u64>()]);
    let datatype = prop::sample::select(DATATYPES.to_vec());
    ("[xyz]", datatype, shape(), of(data()), size).prop_map(|(name, datatype, shape, data, size)| {
        let data = data.map_or_else(String::new, |data| format!(r#","data":{data}"#));
        let size = size.map_or_else(String::new, |n| format!(r#","parameters":{{"binary_data_size":{n}}}"#));
        format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape:?}{data}{size}}}"#)
    })
}

/// Whole tensors, and no more bytes than were there.
fn check(body: &Bytes, header_length: Option<&str>) -> Result<(), TestCaseError> {
    let expected = [TensorSignature { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, 2] }];
    for inputs in [&expected[..], &[]] {
        if let Ok(message) = read_bounded(body, header_length, inputs, 1 << 20) {
            for t in message.inputs {
                prop_assert_eq!(tensor::check_data(t.datatype, &t.shape, &t.data), Ok(()));
                t.decisions();
            }
        }
    }
    // A canary's answer is read by the same means.
    let _ = read_response(body, header_length);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in vec(any::<u8>(), 0..300), header_length in header_length()) {
        check(&body.into(), header_length.as_deref())?;
    }

    #[test]
    fn any_inputs_are_read_or_refused(
        inputs in vec(input(), 0..3),
        binary in vec(any::<u8>(), 0..32),
        header_length in header_length(),
        right in any::<bool>(),
        cut in of(0_usize..300),
    ) {
        let json = format!(r#"{{"inputs":[{}]}}"#, inputs.join(","));
        let right = right.then(|| json.len().to_string());
        let mut body = [json.as_bytes(), &binary].concat();
        body.truncate(cut.unwrap_or(usize::MAX));
        check(&body.into(), right.or(header_length).as_deref())?;
    }

    #[test]
    fn any_shape_has_a_size_or_none(shape in shape(), declared in shape(), datatype in prop::sample::select(DATATYPES.to_vec())) {
        let Ok(datatype) = datatype.parse::<Datatype>() else { return Ok(()) };
        let expected = TensorSignature { name: "x".into(), datatype, shape: declared };
        let _ = tensor::check_kind(&expected, 8, datatype, &shape);
        if let Ok(size) = tensor::byte_size(datatype, &shape) {
            let product = shape.iter().map(|d| u128::from(d.unsigned_abs())).try_fold(1, u128::checked_mul);
            prop_assert_eq!(product.map(|n| n * datatype.width().unwrap_or(strings::PREFIX) as u128), Some(size as u128));
        }
    }
}
