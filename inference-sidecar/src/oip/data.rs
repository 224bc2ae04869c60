//! Tensor data in JSON, flat or nested, to raw bytes and back.
//!
//! A scanner of its own, since for a large tensor the JSON costs more than the inference: it reads numbers straight into
//! the tensor's bytes. It runs on text that serde_json has found to be JSON already.

use std::str::FromStr;

use drydock_contract::Datatype;
use serde::{Serialize, Serializer};

use crate::tensor::Tensor;

/// The bytes of a tensor of this shape, from the text of a JSON array.
pub(super) fn read(text: &str, datatype: Datatype, shape: &[i64], elements: usize) -> Result<Vec<u8>, String> {
    match datatype {
        Datatype::Bool => scan(text, datatype, shape, elements, |t| match t {
            "true" => Some([1]),
            "false" => Some([0]),
            _ => None,
        }),
        Datatype::Uint8 => scan(text, datatype, shape, elements, number::<u8, 1>(u8::to_le_bytes)),
        Datatype::Uint16 => scan(text, datatype, shape, elements, number::<u16, 2>(u16::to_le_bytes)),
        Datatype::Uint32 => scan(text, datatype, shape, elements, number::<u32, 4>(u32::to_le_bytes)),
        Datatype::Uint64 => scan(text, datatype, shape, elements, number::<u64, 8>(u64::to_le_bytes)),
        Datatype::Int8 => scan(text, datatype, shape, elements, number::<i8, 1>(i8::to_le_bytes)),
        Datatype::Int16 => scan(text, datatype, shape, elements, number::<i16, 2>(i16::to_le_bytes)),
        Datatype::Int32 => scan(text, datatype, shape, elements, number::<i32, 4>(i32::to_le_bytes)),
        Datatype::Int64 => scan(text, datatype, shape, elements, number::<i64, 8>(i64::to_le_bytes)),
        Datatype::Fp32 => scan(text, datatype, shape, elements, number::<f32, 4>(f32::to_le_bytes)),
        Datatype::Fp64 => scan(text, datatype, shape, elements, number::<f64, 8>(f64::to_le_bytes)),
        Datatype::Fp16 | Datatype::Bf16 => {
            Err(format!("{datatype} has no JSON form; send it as binary tensor data (parameters.binary_data_size)"))
        }
        Datatype::Bytes => Err("BYTES tensors are not supported".into()),
    }
}

/// JSON's own text rules are checked already, so what the number's type accepts beyond them (`inf`) cannot come.
fn number<T: FromStr, const N: usize>(bytes: fn(T) -> [u8; N]) -> impl Fn(&str) -> Option<[u8; N]> {
    move |text| text.parse().ok().map(bytes)
}

/// Every element takes two characters at least: a shape cannot make us reserve more than the body's own size allows.
pub(super) fn most_elements(text: &str) -> usize {
    text.len() / 2 + 1
}

fn scan<const N: usize>(
    text: &str,
    datatype: Datatype,
    shape: &[i64],
    elements: usize,
    parse: impl Fn(&str) -> Option<[u8; N]>,
) -> Result<Vec<u8>, String> {
    let mut data = Vec::with_capacity(elements.min(most_elements(text)) * N);
    let mut nesting = Nesting::new(shape);
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'[' => {
                nesting.open()?;
                1
            }
            b']' => {
                nesting.close()?;
                1
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' => 1,
            _ => {
                let end = rest.bytes().position(|b| matches!(b, b',' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
                let token = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
                let index = data.len() / N;
                let wrong = || format!("element {index} of the data is {}, which is no {datatype}", shorten(token));
                data.extend_from_slice(&parse(token).ok_or_else(wrong)?);
                nesting.count();
                token.len()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    if data.len() == elements * N {
        Ok(data)
    } else {
        Err(format!("the data has {} elements; shape {shape:?} has {elements}", data.len() / N))
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
struct Nesting<'a> {
    shape: &'a [i64],
    /// Members seen of each array that is open.
    open: Vec<i64>,
    deepest: usize,
}

impl<'a> Nesting<'a> {
    fn new(shape: &'a [i64]) -> Self {
        Self { shape, open: Vec::new(), deepest: 0 }
    }

    fn open(&mut self) -> Result<(), String> {
        self.count();
        if self.open.len() >= self.shape.len().max(1) {
            return Err(format!("the data is nested deeper than the {} dimensions of its shape", self.shape.len()));
        }
        self.open.push(0);
        self.deepest = self.deepest.max(self.open.len());
        Ok(())
    }

    /// Counts a member of the innermost open array.
    fn count(&mut self) {
        if let Some(n) = self.open.last_mut() {
            *n += 1;
        }
    }

    fn close(&mut self) -> Result<(), String> {
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

/// A tensor's data as a flat JSON array.
pub(super) struct Json<'a>(pub(super) &'a Tensor);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        fn each<const N: usize, V: Serialize, S: Serializer>(
            s: S,
            data: &[u8],
            read: impl Fn([u8; N]) -> V,
        ) -> Result<S::Ok, S::Error> {
            s.collect_seq(data.as_chunks::<N>().0.iter().map(|c| read(*c)))
        }
        let d = &self.0.data;
        match self.0.datatype {
            Datatype::Bool => each(s, d, |c| u8::from_le_bytes(c) != 0),
            Datatype::Uint8 => each(s, d, u8::from_le_bytes),
            Datatype::Uint16 => each(s, d, u16::from_le_bytes),
            Datatype::Uint32 => each(s, d, u32::from_le_bytes),
            Datatype::Uint64 => each(s, d, u64::from_le_bytes),
            Datatype::Int8 => each(s, d, i8::from_le_bytes),
            Datatype::Int16 => each(s, d, i16::from_le_bytes),
            Datatype::Int32 => each(s, d, i32::from_le_bytes),
            Datatype::Int64 => each(s, d, i64::from_le_bytes),
            Datatype::Fp16 => each(s, d, |c| half::f16::from_le_bytes(c).to_f32()),
            Datatype::Bf16 => each(s, d, |c| half::bf16::from_le_bytes(c).to_f32()),
            Datatype::Fp32 => each(s, d, f32::from_le_bytes),
            Datatype::Fp64 => each(s, d, f64::from_le_bytes),
            Datatype::Bytes => Err(serde::ser::Error::custom("BYTES tensors are not supported")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str, shape: &[i64]) -> Result<Vec<f64>, String> {
        let data = read(text, Datatype::Fp32, shape, crate::tensor::elements(shape).unwrap())?;
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
    fn integers_are_in_range_or_refused() {
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
            ("[\"a\"]", Datatype::Bytes, false),
        ] {
            assert_eq!(read(text, datatype, &[1], 1).is_ok(), ok, "{text} as {datatype}");
        }
    }

    #[test]
    fn every_number_comes_back() {
        for (text, datatype) in [
            ("[0,200,255]", Datatype::Uint8),
            ("[-7,0,127]", Datatype::Int8),
            ("[0,1,65535]", Datatype::Uint16),
            ("[-32768,0,1]", Datatype::Int16),
            ("[0,1,4294967295]", Datatype::Uint32),
            ("[-2147483648,0,1]", Datatype::Int32),
            ("[0,1,18446744073709551615]", Datatype::Uint64),
            ("[-9223372036854775808,0,1]", Datatype::Int64),
            ("[0.1,-0.0,3.4028235e38]", Datatype::Fp32),
            ("[0.1,-0.0,1e-300]", Datatype::Fp64),
            ("[true,false,true]", Datatype::Bool),
        ] {
            let data = read(text, datatype, &[3], 3).unwrap();
            let t = Tensor { name: "x".into(), datatype, shape: vec![3], data: data.clone().into() };
            let written = serde_json::to_string(&Json(&t)).unwrap();
            assert_eq!(read(&written, datatype, &[3], 3).unwrap(), data, "{text} became {written}");
        }
    }
}
