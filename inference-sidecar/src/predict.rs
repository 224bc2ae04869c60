//! The bodies of TensorFlow Serving's `:predict`: values without names of types, whose shape is that of the JSON itself.
//!
//! ```text
//!  row:       {"instances": [V, V]}    {"instances": [{"a": V, "b": V}, …]}    ─▶ {"predictions": […]}
//!  columnar:  {"inputs": [V, V]}       {"inputs": {"a": [V, V], "b": [V, V]}}  ─▶ {"outputs": …}
//! ```

mod row;

use bytes::Bytes;
use drydock_contract::{Datatype, TensorSignature};
use serde::de::DeserializeSeed as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::ServeError;
use crate::oip::{self, Bounds, Dialect, Nested};
use crate::tensor::{self, Tensor};
use row::Row;

/// More dimensions than any model has.
const MAX_RANK: usize = 64;
/// The one signature that a model of ONNX has, by the name that clients know.
const SIGNATURE: &str = "serving_default";

/// The answer has the request's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Row,
    Columnar,
}

#[derive(Deserialize)]
struct RequestJson<'a> {
    signature_name: Option<String>,
    #[serde(borrow)]
    instances: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ResponseJson<'a> {
    #[serde(borrow)]
    predictions: Option<&'a RawValue>,
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
}

/// Whether it is one of the two that a response can be. What is in it is the model's.
pub(crate) fn is_response(body: &[u8]) -> bool {
    parse::<ResponseJson<'_>>(body).is_ok_and(|response| response.predictions.is_some() != response.outputs.is_some())
}

/// Reads a request for a model with these inputs.
pub(crate) fn read_request(body: &[u8], bounds: &mut Bounds<'_>) -> Result<(Vec<Tensor>, Form), ServeError> {
    let request: RequestJson<'_> = parse(body)?;
    if let Some(found) = request.signature_name.filter(|name| !name.is_empty() && name != SIGNATURE) {
        let wrong = format!("the model has no signature {found:?}; expected {SIGNATURE:?}, or none");
        return Err(ServeError::Invalid(wrong));
    }
    let (text, form) = match (request.instances, request.inputs) {
        (Some(rows), None) => (rows.get(), Form::Row),
        (None, Some(columns)) => (columns.get(), Form::Columnar),
        _ => return Err(ServeError::Invalid("expected one of instances and inputs in the body".into())),
    };
    let reader = Reader { side: "input", signature: bounds.inputs, max_rows: bounds.max_rows };
    // Whatever the datatype and the shape: the text alone says how much it can become.
    let widest = bounds
        .inputs
        .iter()
        .map(|i| oip::most_bytes(text.as_bytes(), i.datatype, usize::MAX))
        .max()
        .unwrap_or_default();
    bounds.share.hold(widest)?;
    let tensors = reader.read(text, form).map_err(ServeError::Invalid)?;
    bounds.share.hold(tensors.iter().map(Tensor::engine_memory).fold(widest, usize::saturating_add))?;
    Ok((tensors, form))
}

/// The first output of an answer: another server's, or our own.
pub(crate) fn read_response(body: &[u8], outputs: &[TensorSignature]) -> Result<Tensor, String> {
    let response: ResponseJson<'_> = parse(body).map_err(|e| e.to_string())?;
    let (text, form) = match (response.predictions, response.outputs) {
        (Some(rows), None) => (rows.get(), Form::Row),
        (None, Some(columns)) => (columns.get(), Form::Columnar),
        _ => return Err("expected one of predictions and outputs".into()),
    };
    let reader = Reader { side: "output", signature: outputs, max_rows: usize::MAX };
    reader.read(text, form)?.into_iter().next().ok_or_else(|| "no outputs".to_owned())
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ServeError> {
    serde_json::from_slice(json)
        .map_err(|e| ServeError::Invalid(format!("the JSON of the body is not as expected: {e}")))
}

/// What the values are held against.
struct Reader<'a> {
    side: &'static str,
    signature: &'a [TensorSignature],
    max_rows: usize,
}

impl Reader<'_> {
    fn read(&self, text: &str, form: Form) -> Result<Vec<Tensor>, String> {
        match (form, self.named(text)) {
            (Form::Columnar, true) => {
                let values = self.members(text)?;
                self.signature.iter().zip(values).map(|(s, text)| self.tensor(s, text)).collect()
            }
            (Form::Row, true) => self.rows(text),
            (_, false) => match self.signature {
                [only] => Ok(vec![self.tensor(only, text)?]),
                _ => Err(format!(
                    "values without names are for models of one {}; expected objects with {}",
                    self.side,
                    self.names()
                )),
            },
        }
    }

    /// Whether the values are in objects by name. A model of one input of strings may have them in objects of another kind.
    fn named(&self, text: &str) -> bool {
        let Some(first) = text.trim_start_matches('[').trim_ascii_start().strip_prefix('{') else { return false };
        let [only] = self.signature else { return true };
        let key = first.trim_ascii_start();
        only.datatype != Datatype::Bytes || !key.starts_with("\"b64\"")
    }

    fn names(&self) -> String {
        self.signature.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The text of each value of an object, in the order of the signature.
    fn members<'t>(&self, text: &'t str) -> Result<Vec<&'t str>, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let row = Row { side: self.side, signature: self.signature }.deserialize(&mut json);
        row.map_err(|e| format!("an object of {}s is not as expected: {e}", self.side))
    }

    fn tensor(&self, signature: &TensorSignature, text: &str) -> Result<Tensor, String> {
        let read = || {
            let shape = oip::shape_of(text, MAX_RANK)?;
            tensor::check_kind(signature, self.max_rows, signature.datatype, &shape)?;
            let data = data(signature.datatype, text, &shape)?;
            Ok(Tensor { name: signature.name.clone(), datatype: signature.datatype, shape, data: data.into() })
        };
        read().map_err(|e: String| format!("{} {:?}: {e}", self.side, signature.name))
    }

    /// Each row has a value of every tensor; one after another they are the tensors.
    fn rows(&self, text: &str) -> Result<Vec<Tensor>, String> {
        let found = oip::shape_of(text, MAX_RANK)?;
        let n = match found.as_slice() {
            [n] => usize::try_from(*n).unwrap_or_default(),
            _ => return Err(format!("expected a list of objects with {}", self.names())),
        };
        // Before anything is kept for each.
        if n > self.max_rows {
            return Err(format!("there are {n} instances; expected at most {}", self.max_rows));
        }
        let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut tensors: Vec<Option<Tensor>> = self.signature.iter().map(|_| None).collect();
        let mut parts: Vec<Vec<u8>> = vec![Vec::new(); self.signature.len()];
        for (i, row) in rows.iter().enumerate() {
            let values = self.members(row.get())?;
            for (((signature, text), tensor), part) in
                self.signature.iter().zip(values).zip(&mut tensors).zip(&mut parts)
            {
                let wrong = |e: String| format!("{} {:?} of row {i}: {e}", self.side, signature.name);
                let mut shape = oip::shape_of(text, MAX_RANK).map_err(wrong)?;
                shape.insert(0, i64::try_from(n).unwrap_or(i64::MAX));
                match tensor {
                    None => {
                        tensor::check_kind(signature, self.max_rows, signature.datatype, &shape).map_err(wrong)?;
                        let (name, datatype) = (signature.name.clone(), signature.datatype);
                        *tensor = Some(Tensor { name, datatype, shape: shape.clone(), data: Bytes::new() });
                    }
                    Some(first) if first.shape != shape => {
                        let (found, first) = (shape.get(1..), first.shape.get(1..));
                        return Err(wrong(format!(
                            "shape is {:?}; that of the rows before is {:?}",
                            found.unwrap_or_default(),
                            first.unwrap_or_default()
                        )));
                    }
                    Some(_) => {}
                }
                let row = data(signature.datatype, text, shape.get(1..).unwrap_or_default()).map_err(wrong)?;
                part.extend_from_slice(&row);
            }
        }
        let whole = |(tensor, part): (Option<Tensor>, Vec<u8>)| tensor.map(|t| Tensor { data: part.into(), ..t });
        let tensors: Option<Vec<Tensor>> = tensors.into_iter().zip(parts).map(whole).collect();
        tensors.ok_or_else(|| "there are no instances; expected one at least".to_owned())
    }
}

fn data(datatype: Datatype, text: &str, shape: &[i64]) -> Result<Vec<u8>, String> {
    // A shape that cannot be is told so here.
    tensor::byte_size(datatype, shape)?;
    let data = oip::read_data(text, Dialect::V1, datatype, shape, tensor::elements(shape).unwrap_or_default())?;
    tensor::check_data(datatype, shape, &data)?;
    Ok(data)
}

/// The answer's body: values alone where there is one output, objects by name where there are several.
pub(crate) fn write_response(outputs: &[Tensor], form: Form) -> Result<Bytes, ServeError> {
    let engine = |e: String| ServeError::Engine(e);
    let values = outputs.iter().map(|t| Ok((t.name.as_str(), Nested::new(t)?))).collect::<Result<Vec<_>, _>>();
    let values = values.map_err(engine)?;
    let body = match (form, outputs) {
        (Form::Columnar, [_]) => serde_json::to_vec(&Body { outputs: values.first().map(|(_, v)| v) }),
        (Form::Columnar, _) => serde_json::to_vec(&Body { outputs: Object(&values) }),
        (Form::Row, []) => serde_json::to_vec(&Predictions { predictions: [(); 0] }),
        (Form::Row, [first, rest @ ..]) => {
            let rows = first.rows();
            if let Some(odd) = outputs.iter().find(|t| t.shape.is_empty() || t.rows() != rows) {
                return Err(ServeError::Invalid(format!(
                    "output {:?} of shape {:?} cannot be told apart by instances; ask with inputs, not with instances",
                    odd.name, odd.shape
                )));
            }
            if rest.is_empty() {
                serde_json::to_vec(&Predictions { predictions: values.first().map(|(_, v)| v) })
            } else {
                let columns: Vec<(&str, Vec<Nested<'_>>)> =
                    values.iter().map(|(name, v)| (*name, v.members().collect())).collect();
                let row = |i: usize| Columns(&columns, i);
                serde_json::to_vec(&Predictions { predictions: (0..rows).map(row).collect::<Vec<_>>() })
            }
        }
    };
    body.map(Bytes::from).map_err(|e| engine(e.to_string()))
}

#[derive(Serialize)]
struct Predictions<T> {
    predictions: T,
}

#[derive(Serialize)]
struct Body<T> {
    outputs: T,
}

struct Object<'a>(&'a [(&'a str, Nested<'a>)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// One row of several outputs.
struct Columns<'a>(&'a [(&'a str, Vec<Nested<'a>>)], usize);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (name, rows) in self.0 {
            if let Some(row) = rows.get(self.1) {
                map.serialize_entry(name, row)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
