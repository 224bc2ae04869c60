//! Tensor data in JSON, flat or nested, to raw bytes.
//!
//! A scanner of its own, since for a large tensor the JSON costs more than the inference: it reads numbers straight into
//! the tensor's bytes. It runs on text that serde_json has found to be JSON already.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock_contract::Datatype;
use serde::Deserialize;

use super::numbers;
use super::tokens::tokens;
use crate::element::{Element as _, for_element};
use crate::strings;

/// What JSON may have for elements beyond what the Open Inference Protocol allows: TensorFlow Serving's v1 has numbers for half
/// floats, and `{"b64": …}` for strings. Encoded images are no text: their strings are base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    V1,
    V2,
    Base64,
}

/// The bytes of a tensor of this shape, from the text of a JSON array.
pub(crate) fn read(
    text: &str,
    dialect: Dialect,
    datatype: Datatype,
    shape: &[i64],
    elements: usize,
) -> Result<Vec<u8>, String> {
    if dialect != Dialect::V1 && matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
        return Err(format!(
            "{datatype} has no JSON form; send it as binary tensor data (parameters.binary_data_size)"
        ));
    }
    if datatype == Datatype::Fp32
        && let Some(data) = numbers::read(text.as_bytes(), shape, elements)
    {
        return Ok(data);
    }
    // Or what is wrong with it.
    let mut data = Vec::with_capacity(most_bytes(text.as_bytes(), datatype, elements));
    for_element!(datatype, T => scan(text, datatype, shape, elements, |token| {
        T::parse(token).map(|element| element.write(&mut data)).ok_or_else(String::new)
    }), Bytes => scan(text, datatype, shape, elements, |token| push_string(&mut data, token, dialect)))?;
    Ok(data)
}

fn push_string(data: &mut Vec<u8>, token: &str, dialect: Dialect) -> Result<(), String> {
    let text: Cow<'_, str> = match token.bytes().next() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(token).map_err(|e| format!(": {e}"))?.0,
        Some(b'{') if dialect == Dialect::V1 => {
            let Base64 { b64 } = serde_json::from_str(token).map_err(|e| format!(": {e}"))?;
            let bytes = STANDARD.decode(b64.0.as_bytes()).map_err(|e| format!(": {e}"))?;
            return strings::push(data, &bytes);
        }
        _ => return Err(String::new()),
    };
    if dialect == Dialect::Base64 {
        let bytes = STANDARD.decode(text.as_bytes());
        return strings::push(data, &bytes.map_err(|e| format!(": {e}; expected an encoded image in base64"))?);
    }
    strings::push(data, text.as_bytes())
}

/// Borrows where nothing is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Base64<'a> {
    #[serde(borrow)]
    b64: Text<'a>,
}

/// Every element takes two characters at least: a shape cannot make us reserve more than the body's own size allows. A string
/// of JSON and what separates it from the next take as many characters as its length and itself take bytes, less one.
pub(crate) fn most_bytes(text: &[u8], datatype: Datatype, elements: usize) -> usize {
    match datatype.width() {
        Some(width) => elements.min(text.len() / 2 + 1).saturating_mul(width),
        None => text.len().saturating_add(elements.min(text.len() / 2 + 1)).saturating_add(strings::PREFIX),
    }
}

/// Gives each element's token to `push`, which says what is wrong with one, if it knows more than that it is none.
fn scan(
    text: &str,
    datatype: Datatype,
    shape: &[i64],
    elements: usize,
    mut push: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let (mut nesting, mut index) = (Nesting::new(shape), 0);
    for token in tokens(text) {
        match token {
            "[" => nesting.open()?,
            "]" => nesting.close()?,
            token => {
                push(token).map_err(|why| {
                    format!("element {index} of the data is {}, which is no {datatype}{why}", shorten(token))
                })?;
                nesting.count();
                index += 1;
            }
        }
    }
    if index == elements {
        Ok(())
    } else {
        Err(format!("the data has {index} elements; shape {shape:?} has {elements}"))
    }
}

fn shorten(token: &str) -> String {
    let mut short: String = token.chars().take(20).collect();
    if short.len() < token.len() {
        short.push('…');
    }
    short
}

/// Checks that nested arrays are as long as the shape says. Depth is bounded by the shape's, and so by the model's.
pub(super) struct Nesting<'a> {
    shape: &'a [i64],
    /// Members seen of each array that is open.
    open: Vec<i64>,
    deepest: usize,
}

impl<'a> Nesting<'a> {
    pub(super) fn new(shape: &'a [i64]) -> Self {
        Self { shape, open: Vec::new(), deepest: 0 }
    }

    pub(super) fn open(&mut self) -> Result<(), String> {
        self.count();
        if self.open.len() >= self.shape.len().max(1) {
            return Err(format!("the data is nested deeper than the {} dimensions of its shape", self.shape.len()));
        }
        self.open.push(0);
        self.deepest = self.deepest.max(self.open.len());
        Ok(())
    }

    /// Counts a member of the innermost open array.
    pub(super) fn count(&mut self) {
        if let Some(n) = self.open.last_mut() {
            *n += 1;
        }
    }

    pub(super) fn close(&mut self) -> Result<(), String> {
        let (depth, found) = (self.open.len(), self.open.pop().unwrap_or_default());
        // A flat array holds all elements at depth 1; the total is checked at the end.
        let nested = self.deepest > 1;
        match self.shape.get(depth.saturating_sub(1)) {
            Some(expected) if nested && *expected != found => Err(format!(
                "an array of the data has {found} members; dimension {} of its shape {:?} has {expected}",
                depth - 1,
                self.shape
            )),
            _ if nested && depth == self.deepest && depth != self.shape.len() => Err(format!(
                "the data is nested {depth} deep; expected flat data, or all {} dimensions",
                self.shape.len()
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn floats(text: &str, shape: &[i64]) -> Result<Vec<f64>, String> {
        let data = read(text, Dialect::V2, Datatype::Fp32, shape, crate::tensor::elements(shape).unwrap())?;
        let t = Tensor { name: "x".into(), datatype: Datatype::Fp32, shape: shape.to_vec(), data: data.into() };
        Ok(t.values().unwrap())
    }

    #[test]
    fn flat_and_nested_are_the_same() {
        let expected = Ok(vec![1.0, -2.5, 3e2, 0.0]);
        for text in ["[1,-2.5,3e2,0]", "[[1,-2.5],[3e2,0]]", " [ [ 1 , -2.5 ] ,\n[3E2\t,0 ] ] "] {
            assert_eq!(floats(text, &[2, 2]), expected, "{text}");
        }
        assert_eq!(floats("[1]", &[]), Ok(vec![1.0]));
        assert_eq!(floats("[1,-2.5,3e2,0]", &[2, 1, 2]), expected);
    }

    #[test]
    fn wrong_data_is_told() {
        for (text, shape, message) in [
            ("[1,2,3]", &[2, 2][..], "3 elements; shape [2, 2] has 4"),
            ("[1,2,3,4,5]", &[2, 2], "5 elements"),
            ("[[1,2,3],[4]]", &[2, 2], "has 3 members"),
            ("[[1,2],[3]]", &[2, 2], "has 1 members"),
            ("[[[1,2],[3,4]]]", &[2, 2], "deeper"),
            ("[[1,2],[3,4]]", &[2, 2, 1], "nested 2 deep"),
            ("[1,\"a\"]", &[2], "element 1"),
            ("[1,null]", &[2], "null"),
            ("[1,true]", &[2], "no FP32"),
            ("{\"a\":1}", &[1], "no FP32"),
            ("7", &[2], "1 elements"),
        ] {
            let error = floats(text, shape).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = "[".repeat(1_000_000);
        assert!(floats(&deep, &[2, 2]).unwrap_err().contains("deeper"));
    }

    #[test]
    fn numbers_are_in_range_or_refused() {
        for (text, datatype, ok) in [
            ("[255]", Datatype::Uint8, true),
            ("[256]", Datatype::Uint8, false),
            ("[-1]", Datatype::Uint8, false),
            ("[-128]", Datatype::Int8, true),
            ("[1.0]", Datatype::Int32, false),
            ("[18446744073709551615]", Datatype::Uint64, true),
            ("[-9223372036854775808]", Datatype::Int64, true),
            ("[true]", Datatype::Bool, true),
            ("[1]", Datatype::Bool, false),
            ("[1]", Datatype::Fp16, false),
            ("[3.4e38]", Datatype::Fp32, true),
            ("[3.5e38]", Datatype::Fp32, false),
            ("[-1e999]", Datatype::Fp64, false),
            ("[\"a\"]", Datatype::Bytes, true),
            ("[7]", Datatype::Bytes, false),
            ("[{\"b64\":\"YQ==\"}]", Datatype::Bytes, false),
        ] {
            assert_eq!(read(text, Dialect::V2, datatype, &[1], 1).is_ok(), ok, "{text} as {datatype}");
        }
    }

    #[test]
    fn strings_are_read_as_they_are_meant() {
        let texts = |text: &str, dialect, n| {
            let data = read(text, dialect, Datatype::Bytes, &[n], n as usize)?;
            Ok::<_, String>(strings::elements(&data).map(|e| e.unwrap().to_vec()).collect::<Vec<_>>())
        };
        let text = r#"["", "]],", "\"\\", "\u00e9\ud83d\ude00"]"#;
        let expected = ["", "]],", "\"\\", "é😀"].map(|t| t.as_bytes().to_vec());
        assert_eq!(texts(text, Dialect::V2, 4), Ok(expected.to_vec()));
        let text = r#"[{"b64":"AP8="}, "a", { "b64" : "" }]"#;
        assert_eq!(texts(text, Dialect::V1, 3), Ok(vec![vec![0, 255], b"a".to_vec(), vec![]]));
        for (text, message) in [
            (r#"[{"b64":"?"}]"#, "which is no BYTES: Invalid"),
            (r#"[{"a":{"b64":""}}]"#, "which is no BYTES: "),
            (r#"["\ud800"]"#, "which is no BYTES: "),
            (r#"["a","b"]"#, "2 elements"),
        ] {
            let error = texts(text, Dialect::V1, 1).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn no_more_is_reserved_than_strings_can_take() {
        for n in [1_usize, 2, 1000] {
            let text = format!("[{}]", vec!["\"\""; n].join(","));
            let data = read(&text, Dialect::V2, Datatype::Bytes, &[n as i64], n).unwrap();
            assert!(data.len() <= most_bytes(text.as_bytes(), Datatype::Bytes, n), "{n}");
            assert_eq!(data.len(), n * 4);
        }
    }

    #[test]
    fn half_floats_are_numbers_in_v1_only() {
        let read = |dialect, datatype| read("[1.5]", dialect, datatype, &[1], 1);
        assert_eq!(read(Dialect::V1, Datatype::Fp16), Ok(vec![0x00, 0x3e]));
        assert_eq!(read(Dialect::V1, Datatype::Bf16), Ok(vec![0xc0, 0x3f]));
        assert!(read(Dialect::V2, Datatype::Fp16).unwrap_err().contains("no JSON form"));
        let infinite = super::read("[65520]", Dialect::V1, Datatype::Fp16, &[1], 1);
        assert!(infinite.unwrap_err().contains("no FP16"));
    }
}
