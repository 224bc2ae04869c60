//! Messages to tensors and back.

use bytes::Bytes;
use drydock_contract::Datatype;

use super::proto::model_infer_response::InferOutputTensor;
use super::proto::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::images::Encoded;
use crate::strings;
use crate::tensor::{self, Tensor};

/// The inputs, from raw contents or typed ones. What is wrong with them, and what was expected, if they are not right.
pub(crate) fn read_inputs(request: &ModelInferRequest, encoded: Option<&Encoded>) -> Result<Vec<Tensor>, String> {
    let raw = &request.raw_input_contents;
    if !raw.is_empty() && raw.len() != request.inputs.len() {
        return Err(format!(
            "raw_input_contents has {} entries for {} inputs; expected one for each",
            raw.len(),
            request.inputs.len()
        ));
    }
    let tensors = request.inputs.iter().enumerate().map(|(i, input)| {
        let data = raw.get(i);
        if data.is_some() && input.contents.is_some() {
            return Err(format!(
                "input {:?}: has contents beside raw_input_contents; expected one of them",
                input.name
            ));
        }
        tensor(&input.name, &input.datatype, &input.shape, data, input.contents.as_ref(), encoded)
            .map_err(|e| format!("input {:?}: {e}", input.name))
    });
    tensors.collect()
}

pub(crate) fn read_outputs(response: &ModelInferResponse) -> Option<Vec<Tensor>> {
    let outputs = response.outputs.iter().enumerate().map(|(i, output)| {
        let raw = response.raw_output_contents.get(i);
        tensor(&output.name, &output.datatype, &output.shape, raw, output.contents.as_ref(), None).ok()
    });
    outputs.collect()
}

fn tensor(
    name: &str,
    datatype: &str,
    shape: &[i64],
    raw: Option<&Bytes>,
    contents: Option<&InferTensorContents>,
    encoded: Option<&Encoded>,
) -> Result<Tensor, String> {
    let datatype: Datatype =
        datatype.parse().map_err(|found| format!("unknown datatype {found:?}; expected one like FP32"))?;
    let encoded = encoded.filter(|encoded| encoded.is(name, datatype));
    // A shape that cannot be is told so before its data is read.
    match encoded {
        Some(encoded) => encoded.check_shape(shape)?,
        None => tensor::byte_size(datatype, shape).map(|_| ())?,
    }
    let data = match (raw, contents) {
        (Some(raw), _) => raw.clone(),
        (None, Some(contents)) => read_contents(datatype, contents)?,
        (None, None) => return Err("has no contents".into()),
    };
    match encoded {
        Some(_) => Encoded::check_data(shape, &data)?,
        None => tensor::check_data(datatype, shape, &data)?,
    }
    Ok(Tensor { name: name.into(), datatype, shape: shape.to_vec(), data })
}

fn read_contents(datatype: Datatype, c: &InferTensorContents) -> Result<Bytes, String> {
    fn wide<T, const N: usize>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(bytes).collect()
    }
    /// 8 and 16 bit integers come in fields of 32 bits.
    fn narrow<T: Copy + std::fmt::Display, U: TryFrom<T>, const N: usize>(
        datatype: Datatype,
        values: &[T],
        bytes: fn(U) -> [u8; N],
    ) -> Result<Vec<u8>, String> {
        let mut data = Vec::with_capacity(values.len() * N);
        for v in values {
            data.extend(bytes(U::try_from(*v).map_err(|_| format!("{v} is no {datatype}"))?));
        }
        Ok(data)
    }
    let data = match datatype {
        Datatype::Bool => wide(&c.bool_contents, |v| [u8::from(*v)]),
        Datatype::Int8 => narrow(datatype, &c.int_contents, i8::to_le_bytes)?,
        Datatype::Int16 => narrow(datatype, &c.int_contents, i16::to_le_bytes)?,
        Datatype::Int32 => wide(&c.int_contents, |v| v.to_le_bytes()),
        Datatype::Int64 => wide(&c.int64_contents, |v| v.to_le_bytes()),
        Datatype::Uint8 => narrow(datatype, &c.uint_contents, u8::to_le_bytes)?,
        Datatype::Uint16 => narrow(datatype, &c.uint_contents, u16::to_le_bytes)?,
        Datatype::Uint32 => wide(&c.uint_contents, |v| v.to_le_bytes()),
        Datatype::Uint64 => wide(&c.uint64_contents, |v| v.to_le_bytes()),
        Datatype::Fp32 => wide(&c.fp32_contents, |v| v.to_le_bytes()),
        Datatype::Fp64 => wide(&c.fp64_contents, |v| v.to_le_bytes()),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!("{datatype} has no typed contents; send it in raw_input_contents"));
        }
        Datatype::Bytes => {
            let mut data = Vec::with_capacity(c.bytes_contents.iter().map(|e| e.len() + strings::PREFIX).sum());
            c.bytes_contents.iter().try_for_each(|element| strings::push(&mut data, element))?;
            data
        }
    };
    Ok(data.into())
}

/// Output tensors and, if the request was raw, their raw contents.
pub(super) fn write_outputs(tensors: Vec<Tensor>, raw: bool) -> (Vec<InferOutputTensor>, Vec<Bytes>) {
    // Half floats have no typed contents, and raw entries are for all tensors or none.
    let raw = raw || tensors.iter().any(|t| matches!(t.datatype, Datatype::Fp16 | Datatype::Bf16));
    let mut contents = Vec::new();
    let outputs = tensors.into_iter().map(|t| {
        let typed = (!raw).then(|| write_contents(&t));
        if raw {
            contents.push(t.data);
        }
        InferOutputTensor {
            name: t.name,
            datatype: t.datatype.to_string(),
            shape: t.shape,
            contents: typed,
            ..InferOutputTensor::default()
        }
    });
    let outputs = outputs.collect();
    (outputs, contents)
}

fn write_contents(t: &Tensor) -> InferTensorContents {
    fn each<const N: usize, T>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
        data.as_chunks::<N>().0.iter().map(|c| read(*c)).collect()
    }
    let (d, mut c) = (&t.data, InferTensorContents::default());
    match t.datatype {
        Datatype::Bool => c.bool_contents = each(d, |c| u8::from_le_bytes(c) != 0),
        Datatype::Int8 => c.int_contents = each(d, |c| i32::from(i8::from_le_bytes(c))),
        Datatype::Int16 => c.int_contents = each(d, |c| i32::from(i16::from_le_bytes(c))),
        Datatype::Int32 => c.int_contents = each(d, i32::from_le_bytes),
        Datatype::Int64 => c.int64_contents = each(d, i64::from_le_bytes),
        Datatype::Uint8 => c.uint_contents = each(d, |c| u32::from(u8::from_le_bytes(c))),
        Datatype::Uint16 => c.uint_contents = each(d, |c| u32::from(u16::from_le_bytes(c))),
        Datatype::Uint32 => c.uint_contents = each(d, u32::from_le_bytes),
        Datatype::Uint64 => c.uint64_contents = each(d, u64::from_le_bytes),
        Datatype::Fp32 => c.fp32_contents = each(d, f32::from_le_bytes),
        Datatype::Fp64 => c.fp64_contents = each(d, f64::from_le_bytes),
        Datatype::Bytes => {
            c.bytes_contents = strings::elements(d).flatten().map(|element| d.slice_ref(element)).collect();
        }
        // `write_outputs` sends these raw.
        Datatype::Fp16 | Datatype::Bf16 => {}
    }
    c
}

#[cfg(test)]
mod tests {
    use super::super::proto::model_infer_request::InferInputTensor;
    use super::*;

    fn request(
        datatype: &str,
        shape: &[i64],
        contents: Option<InferTensorContents>,
        raw: &[&[u8]],
    ) -> ModelInferRequest {
        let input = InferInputTensor {
            name: "x".into(),
            datatype: datatype.into(),
            shape: shape.to_vec(),
            contents,
            ..Default::default()
        };
        let raw_input_contents = raw.iter().map(|r| Bytes::copy_from_slice(r)).collect();
        ModelInferRequest { inputs: vec![input], raw_input_contents, ..Default::default() }
    }

    #[test]
    fn typed_contents_come_back() {
        for (datatype, data) in [
            (Datatype::Bool, &[1_u8, 0][..]),
            (Datatype::Int8, &[255, 1]),
            (Datatype::Uint8, &[255, 1]),
            (Datatype::Int16, &[0, 128, 1, 0]),
            (Datatype::Uint16, &[255, 255, 1, 0]),
            (Datatype::Int32, &[0, 0, 0, 128, 1, 0, 0, 0]),
            (Datatype::Uint32, &[255, 255, 255, 255, 1, 0, 0, 0]),
            (Datatype::Fp32, &[0, 0, 128, 63, 0, 0, 0, 0]),
            (Datatype::Int64, &[1, 0, 0, 0, 0, 0, 0, 128, 1, 0, 0, 0, 0, 0, 0, 0]),
            (Datatype::Uint64, &[1, 0, 0, 0, 0, 0, 0, 128, 1, 0, 0, 0, 0, 0, 0, 0]),
            (Datatype::Fp64, &[0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 0]),
            (Datatype::Bytes, &[0, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xa9]),
        ] {
            let t = Tensor { name: "x".into(), datatype, shape: vec![2], data: Bytes::copy_from_slice(data) };
            let typed = request(datatype.as_str(), &[2], Some(write_contents(&t)), &[]);
            assert_eq!(read_inputs(&typed, None), Ok(vec![t.clone()]), "{datatype}");
            assert_eq!(read_inputs(&request(datatype.as_str(), &[2], None, &[data]), None), Ok(vec![t]), "{datatype}");
        }
    }

    #[test]
    fn bad_messages_are_told_why() {
        let ints = |v: &[i32]| Some(InferTensorContents { int_contents: v.to_vec(), ..Default::default() });
        let bytes = |v: &[&'static [u8]]| {
            let bytes_contents = v.iter().map(|e| Bytes::from_static(e)).collect();
            Some(InferTensorContents { bytes_contents, ..Default::default() })
        };
        for (request, message) in [
            (request("FP99", &[1], None, &[]), "unknown datatype"),
            (request("FP32", &[1], None, &[]), "no contents"),
            (request("FP32", &[1], ints(&[1]), &[]), "data has 0 bytes"),
            (request("INT8", &[1], ints(&[128]), &[]), "128 is no INT8"),
            (request("INT32", &[2], ints(&[1]), &[]), "data has 4 bytes"),
            (request("INT32", &[1], ints(&[1]), &[&[0; 4]]), "expected one of them"),
            (request("INT32", &[1], None, &[&[0; 4], &[0; 4]]), "2 entries for 1 inputs"),
            (request("INT32", &[1], None, &[&[0; 3]]), "data has 3 bytes"),
            (request("INT32", &[i64::MAX, 4], None, &[&[0; 4]]), "not possible"),
            (request("FP16", &[1], ints(&[1]), &[]), "raw_input_contents"),
            (request("BYTES", &[2], None, &[&[0; 4]]), "1 strings; expected 2"),
            (request("BYTES", &[1], None, &[&[1, 0, 0, 0]]), "cut off"),
            (request("BYTES", &[1], bytes(&[b"\xff"]), &[]), "string 0 is no UTF-8"),
            (request("BYTES", &[1], bytes(&[b"a\0"]), &[]), "NUL"),
        ] {
            let error = read_inputs(&request, None).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
