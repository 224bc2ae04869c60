use bytes::Bytes;
use drydock_contract::{Datatype, TensorSignature};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::cut::{Cut, cut};
use super::data::{self, Dialect};
use super::list::AtMost;
use super::numbers;
use crate::budget::Share;
use crate::error::ServeError;
use crate::images::Encoded;
use crate::serve::Wanted;
use crate::strings;
use crate::tensor::{self, Tensor};

/// An inference request, read.
#[derive(Debug, PartialEq)]
pub(crate) struct InferMessage {
    pub(crate) id: Option<String>,
    pub(crate) inputs: Vec<Tensor>,
    /// Empty: all outputs.
    pub(crate) outputs: Vec<OutputRequest>,
    /// Whether outputs are binary that do not say it themselves.
    pub(crate) binary: bool,
    /// Microseconds that the client waits, as Triton's scheduling has it.
    pub(crate) timeout: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputRequest {
    pub(crate) name: String,
    pub(crate) binary: Option<bool>,
    /// The classification extension: so many classes in place of the values.
    pub(crate) classes: Option<usize>,
}

impl OutputRequest {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.name, classes: self.classes }
    }
}

/// What a request must keep, checked before its data is read.
#[derive(Debug)]
pub(crate) struct Bounds<'a> {
    pub(crate) inputs: &'a [TensorSignature],
    pub(crate) max_rows: usize,
    /// The input that may come as encoded images.
    pub(crate) encoded: Option<Encoded>,
    /// Holds the tensors that are read; binary ones are a part of the body, and take nothing.
    pub(crate) share: &'a mut Share,
}

impl Bounds<'_> {
    fn encoded(&self, name: &str, datatype: Datatype) -> Option<&Encoded> {
        self.encoded.as_ref().filter(|encoded| encoded.is(name, datatype))
    }
}

/// More than any model has. Two characters of JSON would else make us keep a hundred bytes.
const MAX_TENSORS: usize = 4096;
pub(super) const MAX_RANK: usize = 64;

#[derive(Deserialize)]
struct RequestJson<'a> {
    id: Option<String>,
    parameters: Option<RequestParameters>,
    #[serde(borrow)]
    inputs: AtMost<MAX_TENSORS, TensorJson<'a>>,
    outputs: Option<AtMost<MAX_TENSORS, OutputJson>>,
}

#[derive(Deserialize)]
struct ResponseJson<'a> {
    #[serde(borrow)]
    outputs: AtMost<MAX_TENSORS, TensorJson<'a>>,
}

#[derive(Deserialize)]
struct TensorJson<'a> {
    name: String,
    datatype: String,
    shape: AtMost<MAX_RANK, i64>,
    parameters: Option<TensorParameters>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputJson {
    name: String,
    parameters: Option<OutputParameters>,
}

#[derive(Deserialize)]
struct RequestParameters {
    binary_data_output: Option<bool>,
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct TensorParameters {
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
struct OutputParameters {
    binary_data: Option<bool>,
    classification: Option<usize>,
}

/// Reads the body of an infer request. `header_length`: the value of the header `Inference-Header-Content-Length`. An input
/// that the model has otherwise is refused before its data is read.
pub(crate) fn read_request(
    body: &Bytes,
    header_length: Option<&str>,
    bounds: &mut Bounds<'_>,
) -> Result<InferMessage, ServeError> {
    let (json, binary) = split_body(body, header_length)?;
    if let Some(cut) = cut(json)
        && let Ok(Some(message)) = read_parts(&cut.rest, &cut, binary.clone(), bounds)
    {
        return Ok(message);
    }
    // As a whole: the common case where nothing is large, and whoever is wrong is told where.
    let message = read_parts(json, &Cut::default(), binary, bounds)?;
    message.ok_or_else(|| ServeError::Engine("a request without arrays has lost one".into()))
}

/// The message of the JSON that is left when its arrays are cut out; `None` if one of them was no input's.
fn read_parts(
    rest: &[u8],
    cut: &Cut<'_>,
    binary: Bytes,
    bounds: &mut Bounds<'_>,
) -> Result<Option<InferMessage>, ServeError> {
    let request: RequestJson<'_> = parse(rest)?;
    let (inputs, outputs) = (request.inputs.0, request.outputs.map_or_else(Vec::new, |list| list.0));
    let is_cut = |t: &&TensorJson<'_>| t.data.is_some_and(|data| cut.array(data.get()).is_some());
    if inputs.iter().filter(is_cut).count() != cut.len() {
        return Ok(None);
    }
    let read = inputs.iter().map(|t| bytes_to_read(t, cut)).fold(0, usize::saturating_add);
    bounds.share.hold(read)?;
    let inputs = tensors(inputs, cut, binary, "input", Some(bounds))?;
    let to_engine = inputs.iter().filter(|t| bounds.encoded(&t.name, t.datatype).is_none());
    bounds.share.hold(to_engine.map(Tensor::engine_memory).fold(read, usize::saturating_add))?;
    let (binary, timeout) = request.parameters.map_or((None, None), |p| (p.binary_data_output, p.timeout));
    Ok(Some(InferMessage {
        id: request.id,
        inputs,
        outputs: outputs.into_iter().map(output).collect(),
        binary: binary.unwrap_or(false),
        timeout,
    }))
}

/// What the outputs of an infer response say that they are. Their data is passed over: it may be more than a reader has to know, and in forms
/// that are written and not read.
pub(crate) fn declared_outputs(body: &Bytes, header_length: Option<&str>) -> Result<Vec<TensorSignature>, ServeError> {
    let (json, _) = split_body(body, header_length)?;
    let declared = |t: TensorJson<'_>| {
        let datatype =
            t.datatype.parse().map_err(|found| ServeError::Invalid(format!("unknown datatype {found:?}")))?;
        Ok(TensorSignature { name: t.name, datatype, shape: t.shape.0 })
    };
    parse::<ResponseJson<'_>>(json)?.outputs.0.into_iter().map(declared).collect()
}

/// Reads the outputs of an infer response: another server's, or our own.
pub(crate) fn read_response(body: &Bytes, header_length: Option<&str>) -> Result<Vec<Tensor>, ServeError> {
    let (json, binary) = split_body(body, header_length)?;
    tensors(parse::<ResponseJson<'_>>(json)?.outputs.0, &Cut::default(), binary, "output", None)
}

fn output(output: OutputJson) -> OutputRequest {
    let (binary, classes) = output.parameters.map_or((None, None), |p| (p.binary_data, p.classification));
    // Clients that want none say 0.
    OutputRequest { name: output.name, binary, classes: classes.filter(|k| *k > 0) }
}

/// The JSON part and the binary tensors behind it.
fn split_body<'a>(body: &'a Bytes, header_length: Option<&str>) -> Result<(&'a [u8], Bytes), ServeError> {
    let Some(text) = header_length else { return Ok((body, Bytes::new())) };
    let length: usize = text.trim().parse().map_err(|_| {
        ServeError::Invalid(format!("Inference-Header-Content-Length is {text:?}; expected a number of bytes"))
    })?;
    match body.get(..length) {
        Some(json) => Ok((json, body.slice(length..))),
        None => Err(ServeError::Invalid(format!(
            "Inference-Header-Content-Length is {length}, but the whole body has only {} bytes",
            body.len()
        ))),
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ServeError> {
    // serde_json's message ends with the line and column.
    serde_json::from_slice(json)
        .map_err(|e| ServeError::Invalid(format!("the JSON of the body is not as expected: {e}")))
}

fn tensors(
    list: Vec<TensorJson<'_>>,
    cut: &Cut<'_>,
    mut binary: Bytes,
    side: &str,
    bounds: Option<&Bounds<'_>>,
) -> Result<Vec<Tensor>, ServeError> {
    let tensors = list.into_iter().map(|t| {
        let name = t.name.clone();
        tensor(t, cut, &mut binary, bounds).map_err(|e| ServeError::Invalid(format!("{side} {name:?}: {e}")))
    });
    let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    if binary.is_empty() {
        Ok(tensors)
    } else {
        Err(ServeError::Invalid(format!(
            "{} bytes are left behind the last tensor; expected that the binary_data_size of all {side}s add up to the body",
            binary.len()
        )))
    }
}

/// Bytes that reading a tensor's JSON data takes at most; 0 where there is none, or what is wrong is found later.
fn bytes_to_read(t: &TensorJson<'_>, cut: &Cut<'_>) -> usize {
    let (Some(text), Ok(datatype)) = (t.data, t.datatype.parse::<Datatype>()) else { return 0 };
    let Some(elements) = tensor::elements(&t.shape.0) else { return 0 };
    data::most_bytes(cut.array(text.get()).unwrap_or(text.get().as_bytes()), datatype, elements)
}

fn tensor(t: TensorJson<'_>, cut: &Cut<'_>, binary: &mut Bytes, bounds: Option<&Bounds<'_>>) -> Result<Tensor, String> {
    let datatype: Datatype =
        t.datatype.parse().map_err(|found| format!("unknown datatype {found:?}; expected one like FP32"))?;
    let shape = t.shape.0;
    let encoded = bounds.and_then(|b| b.encoded(&t.name, datatype));
    let expected = bounds.and_then(|b| Some((b.inputs.iter().find(|e| e.name == t.name)?, b.max_rows)));
    match (encoded, expected) {
        (Some(encoded), _) => encoded.check_shape(&shape)?,
        (None, Some((expected, max_rows))) => tensor::check_kind(expected, max_rows, datatype, &shape)?,
        (None, None) => {}
    }
    let dialect = if encoded.is_some() { Dialect::Base64 } else { Dialect::V2 };
    let size = tensor::byte_size(datatype, &shape)?;
    let data = match (t.parameters.and_then(|p| p.binary_data_size), t.data) {
        (Some(_), Some(_)) => return Err("has data and a binary_data_size; expected one of them".into()),
        (None, None) => return Err("has neither data nor a binary_data_size".into()),
        (None, Some(text)) => {
            let elements = size / datatype.width().unwrap_or(strings::PREFIX);
            let read = |text: &RawValue| data::read(text.get(), dialect, datatype, &shape, elements);
            Bytes::from(match cut.array(text.get()) {
                None => read(text)?,
                Some(array) if datatype == Datatype::Fp32 => {
                    numbers::read(array, &shape, elements).ok_or("is not all numbers")?
                }
                Some(array) => read(serde_json::from_slice(array).map_err(|e| e.to_string())?)?,
            })
        }
        (Some(found), None) if datatype.width().is_some() && found != size => {
            return Err(format!("binary_data_size is {found}; {datatype} of shape {shape:?} has {size} bytes"));
        }
        (Some(found), None) if found > binary.len() => {
            return Err(format!("binary_data_size is {found}, but only {} bytes are left of the body", binary.len()));
        }
        (Some(found), None) => binary.split_to(found),
    };
    match encoded {
        Some(_) => Encoded::check_data(&shape, &data)?,
        None => tensor::check_data(datatype, &shape, &data)?,
    }
    Ok(Tensor { name: t.name, datatype, shape, data })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
