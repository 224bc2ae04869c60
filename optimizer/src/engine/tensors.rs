//! Runs on tensors of any element type that ONNX Runtime hands out.

use std::collections::HashMap;

use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorRef};

use super::{EngineError, Session};
use crate::onnx::{raw_bytes, tensor, tensor_type};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// What a run takes and gives, in ONNX Runtime's own memory.
#[derive(Debug)]
pub struct Value(DynValue);

impl Value {
    /// # Errors
    /// The data does not fit the shape.
    pub fn of(shape: &[i64], data: &[f32]) -> Result<Self, EngineError> {
        let tensor =
            Tensor::from_array((shape.to_vec(), data.to_vec())).map_err(|e| EngineError::Run(e.to_string()))?;
        Ok(Self(tensor.into_dyn()))
    }

    /// Shape and values of a float32 tensor; `name` is for the message.
    ///
    /// # Errors
    /// It is something else.
    pub fn floats(&self, name: &str) -> Result<(&[i64], &[f32]), EngineError> {
        let not_floats = |_| EngineError::Output { output: name.into(), found: self.0.dtype().to_string() };
        self.0.try_extract_tensor::<f32>().map(|(shape, values)| (&**shape, values)).map_err(not_floats)
    }
}

impl Session {
    /// Runs once: all outputs, by name.
    ///
    /// # Errors
    /// The run fails.
    pub fn run_values<'v>(
        &mut self,
        inputs: impl Iterator<Item = (&'v str, &'v Value)>,
    ) -> Result<HashMap<String, Value>, EngineError> {
        let inputs: Vec<(&str, SessionInputValue<'_>)> =
            inputs.map(|(name, value)| (name, SessionInputValue::from(&value.0))).collect();
        let results = self.session.run(inputs).map_err(|e| EngineError::Run(e.to_string()))?;
        Ok(results.into_iter().map(|(name, value)| (name.to_owned(), Value(value))).collect())
    }

    /// Runs once; the outputs in the model's order, `None` where one is no tensor of numbers.
    ///
    /// # Errors
    /// An input of an element type that is not supported here, or whose data does not fit its shape; a run that fails.
    pub fn run_tensors(&mut self, inputs: &[TensorProto]) -> Result<Vec<Option<TensorProto>>, EngineError> {
        let values = inputs
            .iter()
            .map(|t| Ok((t.name.clone(), SessionInputValue::from(to_value(t)?))))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let results = self.session.run(values).map_err(|e| EngineError::Run(e.to_string()))?;
        Ok(results.iter().map(|(name, value)| from_value(name, &value)).collect())
    }
}

/// An output as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    pub shape: Vec<i64>,
    /// Whole numbers too: those of classes and boxes are exact.
    pub values: Vec<f32>,
}

impl Session {
    /// Runs once on one float32 input; the named outputs, in that order.
    ///
    /// # Errors
    /// The run fails, or a named output is no tensor of float32, float64, int32 or int64.
    pub fn run_numbers(&mut self, shape: &[i64], data: &[f32], outputs: &[&str]) -> Result<Vec<Numbers>, EngineError> {
        let run_error = |e: ort::Error| EngineError::Run(e.to_string());
        let tensor = TensorRef::from_array_view((shape, data)).map_err(run_error)?;
        let results = self.session.run(ort::inputs![self.input.as_str() => tensor]).map_err(run_error)?;
        let read = |name: &&str| {
            let wrong = |found: String| EngineError::Output { output: (*name).to_owned(), found };
            let value = results.get(*name).ok_or_else(|| wrong("absent".into()))?;
            numbers(value, |v: f32| v)
                .or_else(|| numbers(value, |v: i64| v as f32))
                .or_else(|| numbers(value, |v: i32| v as f32))
                .or_else(|| numbers(value, |v: f64| v as f32))
                .ok_or_else(|| wrong(value.dtype().to_string()))
        };
        outputs.iter().map(read).collect()
    }
}

fn numbers<T: PrimitiveTensorElementType + Copy>(value: &DynValue, read: impl Fn(T) -> f32) -> Option<Numbers> {
    let (shape, values) = value.try_extract_tensor::<T>().ok()?;
    Some(Numbers { shape: shape.to_vec(), values: values.iter().map(|v| read(*v)).collect() })
}

fn to_value(tensor: &TensorProto) -> Result<DynValue, EngineError> {
    let raw = raw_bytes(tensor).map_err(|e| EngineError::Run(e.to_string()))?;
    let dims = tensor.dims.clone();
    let value = match tensor_type(tensor) {
        Some(DataType::Float) => create(dims, &raw, f32::from_le_bytes),
        Some(DataType::Double) => create(dims, &raw, f64::from_le_bytes),
        Some(DataType::Int8) => create(dims, &raw, i8::from_le_bytes),
        Some(DataType::Int16) => create(dims, &raw, i16::from_le_bytes),
        Some(DataType::Int32) => create(dims, &raw, i32::from_le_bytes),
        Some(DataType::Int64) => create(dims, &raw, i64::from_le_bytes),
        Some(DataType::Uint8) => create(dims, &raw, u8::from_le_bytes),
        Some(DataType::Uint16) => create(dims, &raw, u16::from_le_bytes),
        Some(DataType::Uint32) => create(dims, &raw, u32::from_le_bytes),
        Some(DataType::Uint64) => create(dims, &raw, u64::from_le_bytes),
        Some(DataType::Bool) => create(dims, &raw, |[b]: [u8; 1]| b != 0),
        _ => {
            let found = tensor.data_type;
            return Err(EngineError::Run(format!(
                "input {:?} has element type {found}; expected numbers",
                tensor.name
            )));
        }
    };
    value.map_err(|e| EngineError::Run(format!("input {:?}: {e}", tensor.name)))
}

fn create<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static, const N: usize>(
    dims: Vec<i64>,
    raw: &[u8],
    read: fn([u8; N]) -> T,
) -> ort::Result<DynValue> {
    let values: Vec<T> = raw.as_chunks::<N>().0.iter().map(|word| read(*word)).collect();
    Ok(Tensor::from_array((dims, values))?.into_dyn())
}

fn from_value(name: &str, value: &DynValue) -> Option<TensorProto> {
    extract(name, value, DataType::Float, f32::to_le_bytes)
        .or_else(|| extract(name, value, DataType::Int64, i64::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Int32, i32::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Bool, |b: bool| [u8::from(b)]))
        .or_else(|| extract(name, value, DataType::Uint8, u8::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Int8, i8::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Double, f64::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Int16, i16::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Uint16, u16::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Uint32, u32::to_le_bytes))
        .or_else(|| extract(name, value, DataType::Uint64, u64::to_le_bytes))
}

fn extract<T: PrimitiveTensorElementType + Copy, const N: usize>(
    name: &str,
    value: &DynValue,
    data_type: DataType,
    write: fn(T) -> [u8; N],
) -> Option<TensorProto> {
    let (shape, values) = value.try_extract_tensor::<T>().ok()?;
    let data = values.iter().flat_map(|v| write(*v)).collect();
    Some(tensor(name, data_type, shape, data))
}
