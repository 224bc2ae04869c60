use bytes::Bytes;

use super::ModelError;
use crate::proto::tensor_proto::DataType;
use crate::proto::{TensorProto, TypeProto, ValueInfoProto, type_proto};

fn problem(tensor: &TensorProto, problem: String) -> ModelError {
    ModelError::Tensor { tensor: tensor.name.clone(), problem }
}

/// The product of the dimensions.
pub fn element_count(tensor: &TensorProto) -> Result<usize, ModelError> {
    tensor
        .dims
        .iter()
        .try_fold(1_usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
        .filter(|n| *n <= isize::MAX as usize / 8)
        .ok_or_else(|| problem(tensor, format!("shape {:?}; expected non-negative dimensions that fit", tensor.dims)))
}

pub fn is_float(tensor: &TensorProto) -> bool {
    tensor.data_type == DataType::Float as i32
}

/// The values of a float32 tensor in row-major order.
///
/// # Errors
/// Another element type, or a data length that does not fit the shape.
pub fn floats(tensor: &TensorProto) -> Result<Vec<f32>, ModelError> {
    if !is_float(tensor) {
        return Err(problem(tensor, format!("element type {}; expected float32", tensor.data_type)));
    }
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        let (words, rest) = tensor.raw_data.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(problem(tensor, format!("{} bytes of float32 data", tensor.raw_data.len())));
        }
        words.iter().map(|w| f32::from_le_bytes(*w)).collect()
    };
    check_length(tensor, values.len())?;
    Ok(values)
}

/// The element type, where it is one that this version knows.
pub fn tensor_type(tensor: &TensorProto) -> Option<DataType> {
    DataType::try_from(tensor.data_type).ok().filter(|t| *t != DataType::Undefined)
}

/// The values of an int64 or int32 tensor.
///
/// # Errors
/// Another element type, or a data length that does not fit the shape.
pub fn integers(tensor: &TensorProto) -> Result<Vec<i64>, ModelError> {
    let raw = &tensor.raw_data;
    let (values, rest): (Vec<i64>, usize) = match tensor_type(tensor) {
        Some(DataType::Int64) if raw.is_empty() => (tensor.int64_data.clone(), 0),
        Some(DataType::Int32) if raw.is_empty() => (tensor.int32_data.iter().map(|v| i64::from(*v)).collect(), 0),
        Some(DataType::Int64) => {
            let (words, rest) = raw.as_chunks::<8>();
            (words.iter().map(|w| i64::from_le_bytes(*w)).collect(), rest.len())
        }
        Some(DataType::Int32) => {
            let (words, rest) = raw.as_chunks::<4>();
            (words.iter().map(|w| i32::from_le_bytes(*w).into()).collect(), rest.len())
        }
        _ => return Err(problem(tensor, format!("element type {}; expected int64 or int32", tensor.data_type))),
    };
    if rest > 0 {
        return Err(problem(tensor, format!("{} bytes of integer data", raw.len())));
    }
    check_length(tensor, values.len())?;
    Ok(values)
}

/// The data as little-endian bytes, whichever field it is in.
///
/// # Errors
/// An element type of odd width or without one, or a data length that does not fit the shape.
pub fn raw_bytes(tensor: &TensorProto) -> Result<Bytes, ModelError> {
    use DataType as T;
    let width = match tensor_type(tensor) {
        Some(T::Bool | T::Int8 | T::Uint8) => 1,
        Some(T::Int16 | T::Uint16 | T::Float16 | T::Bfloat16) => 2,
        Some(T::Float | T::Int32 | T::Uint32) => 4,
        Some(T::Double | T::Int64 | T::Uint64) => 8,
        _ => return Err(problem(tensor, format!("element type {}; expected whole bytes", tensor.data_type))),
    };
    let typed = || -> Vec<u8> {
        match tensor_type(tensor) {
            Some(T::Float) => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Some(T::Double) => tensor.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Some(T::Int64) => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Some(T::Uint64) => tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Some(T::Uint32) => tensor.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
            // The rest share one field, each in the lowest bytes of its numbers.
            _ => tensor.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)).collect(),
        }
    };
    let raw = if tensor.raw_data.is_empty() { typed().into() } else { tensor.raw_data.clone() };
    if raw.len() % width != 0 {
        return Err(problem(tensor, format!("{} bytes of data; expected a multiple of {width}", raw.len())));
    }
    check_length(tensor, raw.len() / width)?;
    Ok(raw)
}

fn check_length(tensor: &TensorProto, found: usize) -> Result<(), ModelError> {
    let expected = element_count(tensor)?;
    if found == expected {
        return Ok(());
    }
    Err(problem(tensor, format!("{found} values; expected {expected} for shape {:?}", tensor.dims)))
}

/// A tensor of little-endian bytes.
pub fn tensor(name: &str, data_type: DataType, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: data_type as i32,
        dims: dims.to_vec(),
        raw_data: raw_data.into(),
        ..TensorProto::default()
    }
}

/// Declares a float32 value whose shape is found by whoever runs the graph.
pub fn float_value(name: &str) -> ValueInfoProto {
    typed_value(name, DataType::Float)
}

/// A tensor of any shape.
pub fn typed_value(name: &str, element: DataType) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: element as i32, shape: None };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

pub fn float_tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    tensor(name, DataType::Float, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

pub fn integer_tensor(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    tensor(name, DataType::Int64, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_encodings_and_refuses_lengths_that_lie() {
        let raw = float_tensor("w", &[2, 1], &[1.5, -2.0]);
        assert_eq!(floats(&raw).unwrap(), [1.5, -2.0]);
        let typed = TensorProto { raw_data: bytes::Bytes::new(), float_data: vec![1.5, -2.0], ..raw.clone() };
        assert_eq!(floats(&typed).unwrap(), [1.5, -2.0]);

        for dims in [vec![3], vec![-1], vec![i64::MAX, i64::MAX], vec![1 << 62], vec![0]] {
            let lying = TensorProto { dims: dims.clone(), ..raw.clone() };
            assert!(floats(&lying).is_err(), "{dims:?}");
        }
        assert!(floats(&tensor("w", DataType::Float, &[1], vec![0; 5])).is_err());
        assert!(floats(&tensor("w", DataType::Int8, &[1], vec![0])).is_err());
    }
}
