use std::collections::HashSet;

use drydock_contract::{Datatype, TensorSignature};

use super::{Graph, ModelError};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension::Value;
use crate::proto::{GraphProto, ValueInfoProto, type_proto};

/// Inputs that a request must bring (initializers are none) and outputs, in the model's order.
pub fn signature(graph: &Graph) -> Result<(Vec<TensorSignature>, Vec<TensorSignature>), ModelError> {
    of(&graph.body)
}

pub(super) fn of(graph: &GraphProto) -> Result<(Vec<TensorSignature>, Vec<TensorSignature>), ModelError> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|i| !constants.contains(i.name.as_str()));
    Ok((
        inputs.map(|i| tensor_signature("input", i)).collect::<Result<_, _>>()?,
        graph.output.iter().map(|o| tensor_signature("output", o)).collect::<Result<_, _>>()?,
    ))
}

fn tensor_signature(role: &'static str, info: &ValueInfoProto) -> Result<TensorSignature, ModelError> {
    let fail = |found: &str| ModelError::Signature { role, name: info.name.clone(), found: found.into() };
    let tensor = match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        Some(_) => return Err(fail("a type that is not a tensor")),
        None => return Err(fail("no type")),
    };
    let datatype = DataType::try_from(tensor.elem_type)
        .ok()
        .and_then(datatype)
        .ok_or_else(|| fail(&format!("element type {}", tensor.elem_type)))?;
    let shape = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| match d.value {
        Some(Value::DimValue(n)) if n >= 0 => n,
        _ => -1,
    });
    Ok(TensorSignature { name: info.name.clone(), datatype, shape: shape.collect() })
}

fn datatype(t: DataType) -> Option<Datatype> {
    Some(match t {
        DataType::Bool => Datatype::Bool,
        DataType::Uint8 => Datatype::Uint8,
        DataType::Uint16 => Datatype::Uint16,
        DataType::Uint32 => Datatype::Uint32,
        DataType::Uint64 => Datatype::Uint64,
        DataType::Int8 => Datatype::Int8,
        DataType::Int16 => Datatype::Int16,
        DataType::Int32 => Datatype::Int32,
        DataType::Int64 => Datatype::Int64,
        DataType::Float16 => Datatype::Fp16,
        DataType::Bfloat16 => Datatype::Bf16,
        DataType::Float => Datatype::Fp32,
        DataType::Double => Datatype::Fp64,
        DataType::String => Datatype::Bytes,
        _ => return None,
    })
}
