//! The readers of what clients send, as functions of bytes: what e2e/fuzz breaks into. Each says whether the bytes were taken, and
//! panics where what was read does not hold together.

use bytes::Bytes;
use drydock_contract::Datatype;
use prost::Message as _;

use crate::budget::Budget;
use crate::grpc;
use crate::images::Encoded;
use crate::oip::{Bounds, Encoding, InferMessage, read_request, read_response, write_response};
use crate::proto::{ModelInferRequest, ModelInferResponse};
use crate::tensor::{self, Tensor};

const BUDGET: usize = 1 << 20;

/// The body of an infer request in JSON, and of a response, which a canary sends.
pub fn json(body: &[u8]) -> bool {
    let body = Bytes::copy_from_slice(body);
    let request = read(&body, None);
    let response = read_response(&body, None);
    if let Ok(outputs) = &response {
        for t in outputs {
            check(t, None);
        }
        same_again(outputs);
    }
    request.is_some() || response.is_ok()
}

/// The binary tensor extension: how long the JSON is in two bytes, as the header has it, and the body.
pub fn binary(data: &[u8]) -> bool {
    let Some((length, body)) = data.split_first_chunk() else { return false };
    let (length, body) = (u16::from_le_bytes(*length).to_string(), Bytes::copy_from_slice(body));
    let request = read(&body, Some(&length));
    let response = read_response(&body, Some(&length));
    if let Ok(outputs) = &response {
        for t in outputs {
            check(t, None);
        }
        same_again(outputs);
    }
    request.is_some() || response.is_ok()
}

/// A gRPC message, as a request and as a response.
pub fn grpc(message: &[u8]) -> bool {
    let encoded = encoded();
    let request = ModelInferRequest::decode(message).ok().and_then(|r| grpc::read_inputs(&r, Some(&encoded)).ok());
    let response = ModelInferResponse::decode(message).ok().and_then(|r| grpc::read_outputs(&r));
    request.iter().flatten().for_each(|t| check(t, Some(&encoded)));
    response.iter().flatten().for_each(|t| check(t, None));
    request.is_some() || response.is_some()
}

fn encoded() -> Encoded {
    Encoded { input: "image".to_owned(), max_rows: 4 }
}

fn read(body: &Bytes, header_length: Option<&str>) -> Option<InferMessage> {
    let mut share = Budget::new(BUDGET).share();
    let bounds = &mut Bounds { inputs: &[], max_rows: 8, encoded: Some(encoded()), share: &mut share };
    let message = read_request(body, header_length, bounds).ok()?;
    message.inputs.iter().for_each(|t| check(t, Some(&encoded())));
    Some(message)
}

/// A tensor that is let through has the data that its shape needs: the engine is given a pointer and a shape.
fn check(t: &Tensor, encoded: Option<&Encoded>) {
    if encoded.is_none_or(|encoded| !encoded.is(&t.name, t.datatype)) {
        tensor::check_data(t.datatype, &t.shape, &t.data).expect("its data is of its shape");
    }
}

/// What we write of it is read as the same, in JSON and in binary.
fn same_again(outputs: &[Tensor]) {
    for encoding in [Encoding::Json, Encoding::Binary] {
        // JSON has no numbers that are none, and no bytes that are no text.
        let is_told = |t: &&Tensor| encoding == Encoding::Binary || t.datatype == Datatype::Int64;
        let outputs: Vec<_> = outputs.iter().filter(is_told).map(|t| (t.clone(), encoding)).collect();
        let Ok((body, length)) = write_response(("m", "1"), None, &outputs) else { continue };
        let length = length.map(|n| n.to_string());
        let again = read_response(&body, length.as_deref()).expect("what was written is read");
        assert!(again.iter().eq(outputs.iter().map(|(t, _)| t)), "{again:?} for {outputs:?}");
    }
}
