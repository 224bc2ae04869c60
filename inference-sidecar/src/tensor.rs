//! A tensor as every layer passes it on: raw little-endian bytes and what they mean.
//!
//! Raw, because then batching, splitting, the binary extension and gRPC's raw contents need no case per datatype.

use bytes::Bytes;
use drydock_contract::{Datatype, TensorSignature};

use crate::classification;
use crate::detection::Objects;
use crate::element::{Element, each, for_element};
use crate::strings;

#[cfg(target_endian = "big")]
compile_error!("tensors are kept little-endian and given to the engine as they are");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
    /// Row-major, little-endian, no padding; `BYTES` as in [`strings`].
    pub data: Bytes,
}

/// Elements of a shape; `None` if a dimension is below 1 or the product does not fit.
pub(crate) fn elements(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, d| n.checked_mul(usize::try_from(*d).ok().filter(|d| *d > 0)?))
}

/// Bytes of a tensor of this datatype and shape; what is wrong with the shape, if that cannot be. Of `BYTES` it is the least
/// that there can be, as each element may be empty.
pub(crate) fn byte_size(datatype: Datatype, shape: &[i64]) -> Result<usize, String> {
    let width = datatype.width().unwrap_or(strings::PREFIX);
    elements(shape)
        .and_then(|n| n.checked_mul(width))
        .filter(|bytes| isize::try_from(*bytes).is_ok())
        .ok_or_else(|| format!("shape {shape:?} is not possible; expected dimensions of at least 1 whose product fits"))
}

/// Holds data against what the tensor says of itself.
pub(crate) fn check_data(datatype: Datatype, shape: &[i64], data: &[u8]) -> Result<(), String> {
    let size = byte_size(datatype, shape)?;
    match datatype.width() {
        None => strings::check(data, size / strings::PREFIX).map_err(|e| format!("{e} (BYTES of shape {shape:?})")),
        Some(_) if data.len() == size => Ok(()),
        Some(_) => Err(format!("data has {} bytes; {datatype} of shape {shape:?} has {size}", data.len())),
    }
}

/// Whether a tensor of shape `found` may stand where the model declares `declared` (-1: any).
pub(crate) fn shape_fits(declared: &[i64], found: &[i64]) -> bool {
    declared.len() == found.len() && declared.iter().zip(found).all(|(d, f)| *d == -1 || d == f)
}

/// Holds what a tensor says of itself against what the model declares. Where the model leaves the first dimension open,
/// `max_rows` closes it: each row takes memory in every layer of the model, however small its data is.
pub(crate) fn check_kind(
    expected: &TensorSignature,
    max_rows: usize,
    datatype: Datatype,
    shape: &[i64],
) -> Result<(), String> {
    if datatype != expected.datatype {
        return Err(format!("datatype is {datatype}; expected {}", expected.datatype));
    }
    if !shape_fits(&expected.shape, shape) {
        return Err(format!("shape is {shape:?}; expected {:?} (-1: any)", expected.shape));
    }
    match (expected.shape.first(), shape.first()) {
        // A shape that cannot be at all is told so, by whoever asks for its size.
        (Some(-1), Some(rows))
            if usize::try_from(*rows).is_ok_and(|rows| rows > max_rows) && byte_size(datatype, shape).is_ok() =>
        {
            Err(format!("has {rows} rows; expected at most {max_rows}: send less at once, or raise --max-rows"))
        }
        _ => Ok(()),
    }
}

impl Tensor {
    /// A tensor of zeros, or of empty strings; every dimension that the model leaves open is 1.
    pub(crate) fn zeros(signature: &TensorSignature) -> Result<Self, String> {
        let shape: Vec<i64> = signature.shape.iter().map(|d| if *d < 0 { 1 } else { *d }).collect();
        let size = byte_size(signature.datatype, &shape)?;
        Ok(Self { name: signature.name.clone(), datatype: signature.datatype, shape, data: Bytes::from(vec![0; size]) })
    }

    /// The first dimension: what batching adds up.
    pub(crate) fn rows(&self) -> usize {
        self.shape.first().and_then(|d| usize::try_from(*d).ok()).unwrap_or(1)
    }

    /// What the engine takes for a copy that it cannot do without. Numbers it takes as they are.
    pub(crate) fn engine_memory(&self) -> usize {
        if self.datatype == Datatype::Bytes { strings::memory(&self.data) } else { 0 }
    }

    /// The values as `f64`; `None` for `BYTES`.
    pub(crate) fn values(&self) -> Option<Vec<f64>> {
        for_element!(self.datatype, T => Some(each::<T>(&self.data).map(Element::to_f64).collect()), Bytes => None)
    }

    /// What the tensor decides for each row: the class, if it holds a classifier's scores. Two models that decide alike agree.
    pub(crate) fn decisions(&self) -> Option<Vec<Decision>> {
        let rows = if self.shape.len() > 1 { self.rows() } else { 1 };
        let Some(values) = self.values() else {
            let texts = strings::elements(&self.data).collect::<Result<Vec<_>, _>>().ok()?;
            let width = texts.len().checked_div(rows).filter(|w| *w > 0)?;
            return Some(texts.chunks(width).map(of_texts).collect());
        };
        let width = values.len().checked_div(rows).filter(|w| *w > 0)?;
        let largest = |row: &[f64]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
        values.chunks(width).map(|row| largest(row).map(Decision::Class)).collect()
    }
}

/// What a model says of one row, without the scores that two models never share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Class(usize),
    Objects(Objects),
    Texts(Vec<Vec<u8>>),
}

/// The first class of an answer of the classification extension; of other strings all of them.
fn of_texts(row: &[&[u8]]) -> Decision {
    match row.first().and_then(|first| classification::index(first)) {
        Some(class) => Decision::Class(class),
        None => Decision::Texts(row.iter().map(|text| text.to_vec()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_shapes_have_no_size() {
        for shape in [&[-1, 4][..], &[0], &[i64::MAX, 2], &[1 << 32, 1 << 32], &[i64::MAX], &[i64::MIN]] {
            assert!(byte_size(Datatype::Fp32, shape).is_err(), "{shape:?}");
        }
        assert_eq!(byte_size(Datatype::Fp32, &[2, 3]), Ok(24));
        assert_eq!(byte_size(Datatype::Uint8, &[]), Ok(1));
        assert_eq!(byte_size(Datatype::Bytes, &[2]), Ok(8));
    }

    #[test]
    fn only_open_dimensions_are_free() {
        for (declared, found, fits) in [
            (&[-1, 1, 28][..], &[7, 1, 28][..], true),
            (&[-1, 1, 28], &[7, 2, 28], false),
            (&[-1, 1, 28], &[7, 1], false),
            (&[], &[], true),
        ] {
            assert_eq!(shape_fits(declared, found), fits, "{declared:?} {found:?}");
        }
    }

    #[test]
    fn only_rows_that_the_model_leaves_open_are_limited() {
        for (declared, found, fits) in [
            (&[-1, 2][..], &[8, 2][..], true),
            (&[-1, 2], &[9, 2], false),
            (&[-1, 2], &[1 << 40, 2], false),
            (&[9, 2], &[9, 2], true),
            (&[1, -1], &[1, 9], true),
            (&[], &[], true),
        ] {
            let expected = TensorSignature { name: "x".into(), datatype: Datatype::Uint8, shape: declared.to_vec() };
            assert_eq!(check_kind(&expected, 8, Datatype::Uint8, found).is_ok(), fits, "{declared:?} {found:?}");
        }
    }

    #[test]
    fn each_row_has_its_class() {
        let classes = |t: &Tensor| t.decisions().unwrap();
        let data: Vec<u8> = [0.1_f32, 0.9, 0.0, 3.0, -1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut t = Tensor { name: "y".into(), datatype: Datatype::Fp32, shape: vec![2, 3], data: data.into() };
        assert_eq!(classes(&t), [Decision::Class(1), Decision::Class(0)]);
        let top = classification::classify(&t, 2, &[]).unwrap();
        assert_eq!(classes(&top), classes(&t), "scores and classes of one answer agree");
        t.shape = vec![6];
        assert_eq!(classes(&t), [Decision::Class(3)]);
    }

    #[test]
    fn strings_decide_as_they_are() {
        let mut data = Vec::new();
        for text in ["a", "b"] {
            strings::push(&mut data, text.as_bytes()).unwrap();
        }
        let t = Tensor { name: "y".into(), datatype: Datatype::Bytes, shape: vec![2, 1], data: data.into() };
        let texts = |text: &str| Decision::Texts(vec![text.into()]);
        assert_eq!(t.decisions(), Some(vec![texts("a"), texts("b")]));
    }
}
