use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::grpc::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::grpc::proto::{InferParameter, InferTensorContents, ModelInferRequest};

fn cost(message: &[u8]) -> usize {
    of(message)
}

fn capacity<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

fn parameters(map: &HashMap<String, InferParameter>) -> usize {
    map.capacity() * size_of::<(String, InferParameter)>() + map.keys().map(String::capacity).sum::<usize>()
}

fn contents_size(c: &InferTensorContents) -> usize {
    capacity(&c.bool_contents)
        + capacity(&c.int_contents)
        + capacity(&c.int64_contents)
        + capacity(&c.uint_contents)
        + capacity(&c.uint64_contents)
        + capacity(&c.fp32_contents)
        + capacity(&c.fp64_contents)
        + capacity(&c.bytes_contents)
}

/// What a decoded message holds on the heap, the bytes of its raw contents apart.
fn size(message: &ModelInferRequest) -> usize {
    let input = |i: &InferInputTensor| {
        i.name.capacity()
            + i.datatype.capacity()
            + capacity(&i.shape)
            + parameters(&i.parameters)
            + i.contents.as_ref().map_or(0, contents_size)
    };
    message.model_name.capacity()
        + message.id.capacity()
        + parameters(&message.parameters)
        + capacity(&message.inputs)
        + message.inputs.iter().map(input).sum::<usize>()
        + capacity(&message.outputs)
        + message.outputs.iter().map(|o| o.name.capacity() + parameters(&o.parameters)).sum::<usize>()
        + capacity(&message.raw_input_contents)
}

fn contents() -> impl Strategy<Value = InferTensorContents> {
    let (ints, longs) = (vec(any::<i32>(), 0..40), vec(any::<i64>(), 0..40));
    let (bytes, bools) = (vec(vec(any::<u8>(), 0..3), 0..40), vec(any::<bool>(), 0..40));
    (ints, longs, vec(any::<f32>(), 0..40), vec(any::<f64>(), 0..40), bytes, bools).prop_map(
        |(ints, longs, floats, doubles, bytes, bools)| InferTensorContents {
            bool_contents: bools,
            uint_contents: ints.iter().map(|v| v.cast_unsigned()).collect(),
            uint64_contents: longs.iter().map(|v| v.cast_unsigned()).collect(),
            int_contents: ints,
            int64_contents: longs,
            fp32_contents: floats,
            fp64_contents: doubles,
            bytes_contents: bytes.into_iter().map(Into::into).collect(),
        },
    )
}

fn request() -> impl Strategy<Value = ModelInferRequest> {
    let name = || "[a-z]{0,9}";
    let parameters = || {
        let keys = vec("[a-z]{1,9}", 0..9);
        keys.prop_map(|keys| keys.into_iter().map(|k| (k, InferParameter::default())).collect::<HashMap<_, _>>())
    };
    let input = (name(), vec(any::<i64>(), 0..9), parameters(), proptest::option::of(contents())).prop_map(
        |(name, shape, parameters, contents)| InferInputTensor {
            name,
            datatype: "FP32".into(),
            shape,
            parameters,
            contents,
        },
    );
    let output = (name(), parameters()).prop_map(|(name, parameters)| InferRequestedOutputTensor { name, parameters });
    let raw = vec(vec(any::<u8>(), 0..9), 0..9);
    (name(), parameters(), vec(input, 0..9), vec(output, 0..9), raw).prop_map(
        |(id, parameters, inputs, outputs, raw)| ModelInferRequest {
            model_name: "m".into(),
            model_version: String::new(),
            id,
            parameters,
            inputs,
            outputs,
            raw_input_contents: raw.into_iter().map(Into::into).collect(),
        },
    )
}

proptest! {
    #[test]
    fn the_cost_is_an_upper_bound(message in request()) {
        let wire = message.encode_to_vec();
        let decoded = ModelInferRequest::decode(wire.as_slice()).unwrap();
        prop_assert!(size(&decoded) <= cost(&wire), "{} > {}", size(&decoded), cost(&wire));
    }

    #[test]
    fn any_bytes_have_a_cost(bytes in vec(any::<u8>(), 0..200)) {
        of(&bytes);
        if let Ok(decoded) = ModelInferRequest::decode(bytes.as_slice()) {
            prop_assert!(size(&decoded) <= cost(&bytes));
        }
    }
}

#[test]
fn small_messages_that_become_large_cost_what_they_become() {
    // Two bytes each: an input with nothing in it. And a list of numbers that take one byte each.
    let inputs = [0x2a, 0].repeat(1000);
    assert_eq!(ModelInferRequest::decode(inputs.as_slice()).unwrap().inputs.len(), 1000);
    assert!(cost(&inputs) >= 1000 * size_of::<InferInputTensor>());
    let contents = InferTensorContents { int64_contents: vec![1; 1000], ..Default::default() };
    let input = InferInputTensor { contents: Some(contents), ..Default::default() };
    let message = ModelInferRequest { inputs: vec![input], ..Default::default() }.encode_to_vec();
    assert!(message.len() < 1100 && cost(&message) > 16_000);
    // What most requests are: raw contents cost next to nothing.
    let raw = ModelInferRequest { raw_input_contents: vec![vec![0; 1 << 20].into()], ..Default::default() };
    assert!(cost(&raw.encode_to_vec()) < 4 << 10);
}
