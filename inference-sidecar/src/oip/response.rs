use bytes::Bytes;
use serde::Serialize;

use super::json::Flat;
use crate::tensor::Tensor;

/// How an output goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Binary,
}

#[derive(Serialize)]
struct ResponseJson<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<TensorJson<'a>>,
}

#[derive(Serialize)]
struct TensorJson<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Flat<'a>>,
}

#[derive(Serialize)]
struct Parameters {
    binary_data_size: usize,
}

/// The body of an infer response, and the length of its JSON part if binary tensors follow it.
pub(crate) fn write_response(
    (model_name, model_version): (&str, &str),
    id: Option<&str>,
    outputs: &[(Tensor, Encoding)],
) -> Result<(Bytes, Option<usize>), serde_json::Error> {
    let tensors = outputs.iter().map(|(t, encoding)| {
        let binary = *encoding == Encoding::Binary;
        TensorJson {
            name: &t.name,
            datatype: t.datatype.as_str(),
            shape: &t.shape,
            parameters: binary.then_some(Parameters { binary_data_size: t.data.len() }),
            data: (!binary).then_some(Flat(t)),
        }
    });
    let mut body = serde_json::to_vec(&ResponseJson { model_name, model_version, id, outputs: tensors.collect() })?;
    let mut binary = outputs.iter().filter(|(_, e)| *e == Encoding::Binary).peekable();
    let header_length = binary.peek().is_some().then_some(body.len());
    binary.for_each(|(t, _)| body.extend_from_slice(&t.data));
    Ok((body.into(), header_length))
}

#[derive(Serialize)]
struct RequestJson<'a> {
    inputs: Vec<TensorJson<'a>>,
    parameters: Wish,
}

#[derive(Serialize)]
struct Wish {
    binary_data_output: bool,
}

/// The other way round, all binary: the length of the JSON part of an infer request, and its body.
pub(crate) fn write_request(inputs: &[Tensor]) -> Result<(usize, Bytes), serde_json::Error> {
    let tensors = inputs.iter().map(|t| TensorJson {
        name: &t.name,
        datatype: t.datatype.as_str(),
        shape: &t.shape,
        parameters: Some(Parameters { binary_data_size: t.data.len() }),
        data: None,
    });
    let request = RequestJson { inputs: tensors.collect(), parameters: Wish { binary_data_output: true } };
    let mut body = serde_json::to_vec(&request)?;
    let header_length = body.len();
    for t in inputs {
        body.extend_from_slice(&t.data);
    }
    Ok((header_length, body.into()))
}

#[cfg(test)]
mod tests {
    use drydock_contract::Datatype;

    use super::*;
    use crate::oip::read_response;

    #[test]
    fn what_is_written_is_read_again() {
        let t = |name: &str| Tensor {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: vec![1, 2],
            data: Bytes::from_static(&[0, 0, 128, 63, 205, 204, 204, 61]),
        };
        let outputs = [(t("a"), Encoding::Json), (t("b"), Encoding::Binary)];
        let (body, length) = write_response(("m", "r1"), Some("7"), &outputs).unwrap();
        let json = std::str::from_utf8(&body[..length.unwrap()]).unwrap();
        assert_eq!(
            json,
            r#"{"model_name":"m","model_version":"r1","id":"7","outputs":[{"name":"a","datatype":"FP32","shape":[1,2],"data":[1.0,0.1]},{"name":"b","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}"#
        );
        let read = read_response(&body, length.map(|l| l.to_string()).as_deref()).unwrap();
        assert_eq!(read, [t("a"), t("b")]);
        let (_, length) = write_response(("m", "r1"), None, &outputs[..1]).unwrap();
        assert_eq!(length, None);
    }
}
