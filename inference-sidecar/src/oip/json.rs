//! Raw tensor data to JSON, flat or nested.

use drydock_contract::Datatype;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::element::{Element, each, for_element};
use crate::strings;
use crate::tensor::Tensor;

/// A tensor's data as a flat JSON array.
pub(crate) struct Flat<'a>(pub(crate) &'a Tensor);

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let elements = elements(self.0).map_err(S::Error::custom)?;
        elements.serialize(s)
    }
}

/// A tensor's data as arrays in arrays, as its shape says.
pub(crate) struct Nested<'a> {
    elements: Elements<'a>,
    shape: &'a [i64],
}

impl<'a> Nested<'a> {
    pub(crate) fn new(tensor: &'a Tensor) -> Result<Self, String> {
        Ok(Self { elements: elements(tensor)?, shape: &tensor.shape })
    }

    /// Those along the first dimension.
    pub(crate) fn members(&self) -> impl Iterator<Item = Nested<'a>> + '_ {
        let (first, shape) = self.shape.split_first().map_or((1, self.shape), |(first, rest)| (*first, rest));
        let n = usize::try_from(first).unwrap_or_default();
        let width = self.elements.len().checked_div(n).unwrap_or_default();
        (0..n).map(move |i| Nested { elements: self.elements.slice(i * width, (i + 1) * width), shape })
    }
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.shape {
            [] => self.elements.serialize_first(s),
            [_] => self.elements.serialize(s),
            _ => s.collect_seq(self.members()),
        }
    }
}

enum Elements<'a> {
    Raw(Datatype, &'a [u8]),
    /// Strings differ in length: where each begins must be found once.
    Texts(std::rc::Rc<[&'a str]>, std::ops::Range<usize>),
}

fn elements(tensor: &Tensor) -> Result<Elements<'_>, String> {
    if tensor.datatype != Datatype::Bytes {
        return Ok(Elements::Raw(tensor.datatype, &tensor.data));
    }
    let texts: std::rc::Rc<[&str]> = strings::texts(&tensor.data)?.into();
    let all = 0..texts.len();
    Ok(Elements::Texts(texts, all))
}

impl<'a> Elements<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Raw(datatype, data) => data.len() / datatype.width().unwrap_or(1),
            Self::Texts(_, range) => range.len(),
        }
    }

    fn slice(&self, start: usize, end: usize) -> Elements<'a> {
        match self {
            Self::Raw(datatype, data) => {
                let width = datatype.width().unwrap_or(1);
                Elements::Raw(*datatype, data.get(start * width..end * width).unwrap_or_default())
            }
            Self::Texts(texts, range) => Elements::Texts(texts.clone(), range.start + start..range.start + end),
        }
    }

    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Raw(datatype, data) => {
                for_element!(datatype, T => s.collect_seq(each::<T>(data).map(Element::json)), Bytes => {
                    s.serialize_seq(Some(0))?.end()
                })
            }
            Self::Texts(texts, range) => s.collect_seq(texts.get(range.clone()).unwrap_or_default()),
        }
    }

    fn serialize_first<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let none = || S::Error::custom("a tensor without dimensions has no element");
        match self {
            Self::Raw(datatype, data) => for_element!(datatype, T => {
                each::<T>(data).next().ok_or_else(none)?.json().serialize(s)
            }, Bytes => Err(none())),
            Self::Texts(texts, range) => texts.get(range.start).ok_or_else(none)?.serialize(s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oip::{Dialect, read_data};

    fn tensor(datatype: Datatype, shape: &[i64], data: Vec<u8>) -> Tensor {
        Tensor { name: "x".into(), datatype, shape: shape.to_vec(), data: data.into() }
    }

    fn nested(t: &Tensor) -> String {
        serde_json::to_string(&Nested::new(t).unwrap()).unwrap()
    }

    #[test]
    fn every_element_comes_back() {
        for (text, datatype) in [
            ("[0,200,255]", Datatype::Uint8),
            ("[-7,0,127]", Datatype::Int8),
            ("[0,1,65535]", Datatype::Uint16),
            ("[-32768,0,1]", Datatype::Int16),
            ("[0,1,4294967295]", Datatype::Uint32),
            ("[-2147483648,0,1]", Datatype::Int32),
            ("[0,1,18446744073709551615]", Datatype::Uint64),
            ("[-9223372036854775808,0,1]", Datatype::Int64),
            ("[0.1,-0.0,65504]", Datatype::Fp16),
            ("[0.1,-0.0,3e38]", Datatype::Bf16),
            ("[0.1,-0.0,3.4028235e38]", Datatype::Fp32),
            ("[0.1,-0.0,1e-300]", Datatype::Fp64),
            ("[true,false,true]", Datatype::Bool),
            (r#"["","a\"]","\u00e9"]"#, Datatype::Bytes),
        ] {
            let data = read_data(text, Dialect::V1, datatype, &[3], 3).unwrap();
            let t = tensor(datatype, &[3], data.clone());
            let written = serde_json::to_string(&Flat(&t)).unwrap();
            assert_eq!(read_data(&written, Dialect::V1, datatype, &[3], 3).unwrap(), data, "{text} became {written}");
            assert_eq!(nested(&t), written);
        }
    }

    #[test]
    fn nested_as_the_shape_says() {
        for (shape, expected) in
            [(&[6][..], "[1,2,3,4,5,6]"), (&[2, 3], "[[1,2,3],[4,5,6]]"), (&[3, 1, 2], "[[[1,2]],[[3,4]],[[5,6]]]")]
        {
            assert_eq!(nested(&tensor(Datatype::Uint8, shape, vec![1, 2, 3, 4, 5, 6])), expected);
        }
        assert_eq!(nested(&tensor(Datatype::Uint8, &[], vec![7])), "7");
        let texts = read_data(r#"["a","bc","","d"]"#, Dialect::V2, Datatype::Bytes, &[4], 4).unwrap();
        assert_eq!(nested(&tensor(Datatype::Bytes, &[2, 2], texts)), r#"[["a","bc"],["","d"]]"#);
    }
}
