//! A tensor as every layer passes it on: raw little-endian bytes and what they mean.
//!
//! Raw, because then batching, splitting, the binary extension and gRPC's raw contents need no case per datatype.

use bytes::Bytes;
use drydock_contract::{Datatype, TensorSignature};

#[cfg(target_endian = "big")]
compile_error!("tensors are kept little-endian and given to the engine as they are");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
    /// Row-major, little-endian, no padding.
    pub data: Bytes,
}

/// Elements of a shape; `None` if a dimension is below 1 or the product does not fit.
pub(crate) fn elements(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, d| n.checked_mul(usize::try_from(*d).ok().filter(|d| *d > 0)?))
}

/// Bytes of a tensor of this datatype and shape; what is wrong with the shape, if that cannot be.
pub(crate) fn byte_size(datatype: Datatype, shape: &[i64]) -> Result<usize, String> {
    let width = datatype.width().ok_or_else(|| format!("{datatype} tensors are not supported"))?;
    elements(shape)
        .and_then(|n| n.checked_mul(width))
        .filter(|bytes| isize::try_from(*bytes).is_ok())
        .ok_or_else(|| format!("shape {shape:?} is not possible; expected dimensions of at least 1 whose product fits"))
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
    /// A tensor of zeros; every dimension that the model leaves open is 1.
    pub(crate) fn zeros(signature: &TensorSignature) -> Result<Self, String> {
        let shape: Vec<i64> = signature.shape.iter().map(|d| if *d < 0 { 1 } else { *d }).collect();
        let size = byte_size(signature.datatype, &shape)?;
        Ok(Self { name: signature.name.clone(), datatype: signature.datatype, shape, data: Bytes::from(vec![0; size]) })
    }

    /// The first dimension: what batching adds up.
    pub(crate) fn rows(&self) -> usize {
        self.shape.first().and_then(|d| usize::try_from(*d).ok()).unwrap_or(1)
    }

    /// The values as `f64`; `None` for `BYTES`.
    pub(crate) fn values(&self) -> Option<Vec<f64>> {
        fn each<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            data.as_chunks::<N>().0.iter().map(|c| read(*c)).collect()
        }
        let d = &self.data;
        Some(match self.datatype {
            Datatype::Bool | Datatype::Uint8 => d.iter().map(|v| f64::from(*v)).collect(),
            Datatype::Int8 => d.iter().map(|v| f64::from(v.cast_signed())).collect(),
            Datatype::Uint16 => each(d, |c| f64::from(u16::from_le_bytes(c))),
            Datatype::Int16 => each(d, |c| f64::from(i16::from_le_bytes(c))),
            Datatype::Fp16 => each(d, |c| half::f16::from_le_bytes(c).to_f64()),
            Datatype::Bf16 => each(d, |c| half::bf16::from_le_bytes(c).to_f64()),
            Datatype::Uint32 => each(d, |c| f64::from(u32::from_le_bytes(c))),
            Datatype::Int32 => each(d, |c| f64::from(i32::from_le_bytes(c))),
            Datatype::Fp32 => each(d, |c| f64::from(f32::from_le_bytes(c))),
            Datatype::Uint64 => each(d, |c| u64::from_le_bytes(c) as f64),
            Datatype::Int64 => each(d, |c| i64::from_le_bytes(c) as f64),
            Datatype::Fp64 => each(d, f64::from_le_bytes),
            Datatype::Bytes => return None,
        })
    }

    /// The index of the largest value of each row: the class, if the tensor holds a classifier's scores.
    pub(crate) fn classes(&self) -> Option<Vec<usize>> {
        let values = self.values()?;
        let rows = if self.shape.len() > 1 { self.rows() } else { 1 };
        let width = values.len().checked_div(rows).filter(|w| *w > 0)?;
        let largest = |row: &[f64]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
        values.chunks(width).map(largest).collect()
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
        assert!(byte_size(Datatype::Bytes, &[1]).is_err());
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
        let data: Vec<u8> = [0.1_f32, 0.9, 0.0, 3.0, -1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut t = Tensor { name: "y".into(), datatype: Datatype::Fp32, shape: vec![2, 3], data: data.into() };
        assert_eq!(t.classes(), Some(vec![1, 0]));
        t.shape = vec![6];
        assert_eq!(t.classes(), Some(vec![3]));
    }
}
