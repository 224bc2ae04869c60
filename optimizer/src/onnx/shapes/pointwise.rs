//! Operators whose result has the shape of their operands.

use super::call::{Call, Outcome, one};
use super::dim::{broadcast, same, text};
use super::{Dim, ValueType};
use crate::proto::tensor_proto::DataType;

/// The result has the type of the first operand.
const SAME: &[&str] = &[
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Selu",
    "Celu",
    "ThresholdedRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Mish",
    "Gelu",
    "Softplus",
    "Softsign",
    "Tanh",
    "Clip",
    "Abs",
    "Neg",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Sign",
    "Erf",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
    "Sinh",
    "Cosh",
    "Asinh",
    "Acosh",
    "Atanh",
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "LpNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "LRN",
    "MeanVarianceNormalization",
    "BitwiseNot",
    "Not",
    "CumSum",
    "Shrink",
    "Trilu",
    "ScatterND",
    "ScatterElements",
    "Scatter",
    "Identity",
];

pub(super) fn infer(call: &Call<'_>) -> Option<Outcome> {
    let first = || ValueType::new(call.element(0), call.shape(0).map(<[Dim]>::to_vec));
    Some(match call.node.op_type.as_str() {
        op if SAME.contains(&op) => Ok(vec![first()]),
        "InstanceNormalization" | "BatchNormalization" => per_channel(call),
        "IsNaN" | "IsInf" => one(Some(DataType::Bool), first().shape),
        "Dropout" => Ok(vec![first(), ValueType::new(Some(DataType::Bool), first().shape)]),
        "LayerNormalization" => layer_norm(call),
        "Cast" => one(call.data_type("to"), first().shape),
        "CastLike" => one(call.element(1), first().shape),
        "QuantizeLinear" => {
            let declared = call.data_type("output_dtype");
            let default = (!call.has(2)).then_some(declared.unwrap_or(DataType::Uint8));
            one(call.element(2).or(default), first().shape)
        }
        "DequantizeLinear" => one(call.data_type("output_dtype").or(call.element(1)), first().shape),
        "DynamicQuantizeLinear" => {
            let scalar = |element| ValueType::new(Some(element), Some(Vec::new()));
            let codes = ValueType::new(Some(DataType::Uint8), first().shape);
            Ok(vec![codes, scalar(DataType::Float), scalar(DataType::Uint8)])
        }
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" | "Sum" | "Mean" | "BitShift" | "BitwiseAnd"
        | "BitwiseOr" | "BitwiseXor" | "Pow" => together(call, 0, call.element(0)),
        "And" | "Or" | "Xor" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
            together(call, 0, Some(DataType::Bool))
        }
        "Where" => together(call, 0, call.element(1).or(call.element(2))),
        _ => return None,
    })
}

fn together(call: &Call<'_>, from: usize, element: Option<DataType>) -> Outcome {
    let mut shape = Vec::new();
    for i in from..call.inputs() {
        match call.shape(i) {
            Some(other) => shape = broadcast(&shape, other)?,
            None => return one(element, None),
        }
    }
    one(element, Some(shape))
}

/// Scale, shift, mean and variance each have one value per channel.
fn per_channel(call: &Call<'_>) -> Outcome {
    let Some(shape) = call.shape(0) else { return one(call.element(0), None) };
    let mut shape = shape.to_vec();
    if shape.len() < 2 {
        return Err(format!("an input of shape {}; expected (N, channels, …)", text(&shape)));
    }
    for i in 1..call.inputs() {
        if let Some(parameter) = call.shape(i) {
            let fits = if let [channels] = parameter { same(&shape[1], channels) } else { None };
            shape[1] = fits.ok_or_else(|| {
                format!(
                    "input {i} has shape {}; expected one value for each channel of {}",
                    text(parameter),
                    text(&shape)
                )
            })?;
        }
    }
    one(call.element(0), Some(shape))
}

fn layer_norm(call: &Call<'_>) -> Outcome {
    let Some(shape) = call.shape(0) else { return one(call.element(0), None) };
    let axis = call.axis(-1, shape.len())?;
    let statistics = shape.iter().enumerate().map(|(i, d)| if i < axis { d.clone() } else { Dim::Size(1) });
    let statistics = ValueType::new(call.data_type("stash_type").or(Some(DataType::Float)), Some(statistics.collect()));
    Ok(vec![ValueType::new(call.element(0), Some(shape.to_vec())), statistics.clone(), statistics])
}
