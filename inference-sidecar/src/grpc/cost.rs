//! How much memory a message takes once it is decoded, found before it is decoded: two bytes on the wire can become a
//! message of hundreds.
//!
//! A walk over the wire format (protobuf.dev/programming-guides/encoding) that knows the fields of `ModelInferRequest`.
//! It is an upper bound. What the walk cannot read ends it: the decoder refuses the message at the same place.

use prost::bytes::Buf as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// A message, a string or an entry of a map, in a list that grows by doubling.
const ENTRY: usize = 2 * size_of::<super::proto::model_infer_request::InferInputTensor>();
/// An element on the wire takes a byte, in the decoded list at most 8, and 8 as raw data; lists grow by doubling.
const ELEMENT: usize = 2 * 8 + 8;
/// An element of 4 or 8 bytes is as large on the wire: twice for the list that grows, once for the raw data.
const FIXED: usize = 3;

/// Bytes beside its own that the message takes.
pub(super) fn of(message: &[u8]) -> usize {
    fields(message)
        .map(|field| match field {
            // inputs
            (5, data) => ENTRY.saturating_add(input(data)),
            // raw_input_contents: its bytes are the body's own.
            (7, _) => ENTRY,
            (_, data) => ENTRY.saturating_add(data.len()),
        })
        .fold(0, usize::saturating_add)
}

fn input(data: &[u8]) -> usize {
    fields(data)
        .map(|field| match field {
            // shape
            (3, data) => ELEMENT.saturating_mul(data.len().max(1)),
            // contents
            (5, data) => contents(data),
            (_, data) => ENTRY.saturating_add(data.len()),
        })
        .fold(0, usize::saturating_add)
}

fn contents(data: &[u8]) -> usize {
    fields(data)
        .map(|field| match field {
            // fp32_contents, fp64_contents
            (6 | 7, data) if !data.is_empty() => FIXED.saturating_mul(data.len()),
            (1..=7, data) => ELEMENT.saturating_mul(data.len().max(1)),
            (_, data) => ENTRY.saturating_add(data.len()),
        })
        .fold(0, usize::saturating_add)
}

/// The fields of a message: number, and what is in it if it has a length.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (number, wire_type) = rest.has_remaining().then(|| decode_key(&mut rest).ok())??;
        if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let (data, behind) = rest.split_at_checked(length)?;
            rest = behind;
            return Some((number, data));
        }
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
        Some((number, [].as_slice()))
    })
}

#[cfg(test)]
mod tests;
