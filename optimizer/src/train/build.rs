use super::ops::{
    Activation, Arithmetic, AveragePool, BatchNorm, Binary, Concat, Conv, Dequantize, Gemm, MatMul, MaxPool, Mean,
    Operator, Quantize, Range, Reshape, Rounding, Shaping, Softmax, Transpose, Unary, Window,
};
use crate::onnx::{Graph, Index, attribute_float, attribute_int, attribute_ints, floats, integers};
use crate::proto::tensor_proto::DataType;
use crate::proto::{NodeProto, TensorProto};

/// What a node becomes.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) operator: Box<dyn Operator>,
    /// How many of the node's first inputs the operator reads as values; the others were constants, and are in it now.
    pub(super) inputs: usize,
    /// Which of them may be weights.
    pub(super) weights: Weights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    None,
    /// Constants of every input but the first.
    Own,
    /// A constant of more than one value beside a trained value: a bias or a gain, and no `x / 6`.
    Beside,
}

impl Built {
    fn new(operator: impl Operator + 'static, inputs: usize, weights: Weights) -> Self {
        Self { operator: Box::new(operator), inputs, weights }
    }
}

/// Constants of a graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants<'g> {
    pub(super) graph: &'g Graph,
    pub(super) index: &'g Index,
}

impl<'g> Constants<'g> {
    pub(super) fn tensor(&self, name: &str) -> Option<&'g TensorProto> {
        self.index.initializer(self.graph, name)
    }

    fn input(&self, node: &NodeProto, at: usize) -> Result<&'g TensorProto, String> {
        let name = node.input_at(at).ok_or_else(|| format!("no input {at}"))?;
        self.tensor(name).ok_or_else(|| format!("input {name:?} is no constant"))
    }

    fn floats(&self, node: &NodeProto, at: usize) -> Result<Vec<f32>, String> {
        floats(self.input(node, at)?).map_err(|e| e.to_string())
    }

    fn integers(&self, node: &NodeProto, at: usize) -> Result<Vec<i64>, String> {
        integers(self.input(node, at)?).map_err(|e| e.to_string())
    }

    /// A scalar that may be left out.
    fn bound(&self, node: &NodeProto, at: usize, default: f32) -> Result<f32, String> {
        if node.input_at(at).is_none() {
            return Ok(default);
        }
        self.floats(node, at)?.first().copied().ok_or_else(|| format!("input {at} is empty"))
    }

    /// Axes: an attribute, or from opset 13 (18 for reductions) on an input.
    fn axes(&self, node: &NodeProto, at: usize) -> Result<Option<Vec<i64>>, String> {
        match attribute_ints(node, "axes") {
            Some(axes) => Ok(Some(axes.to_vec())),
            None if node.input_at(at).is_none() => Ok(None),
            None => self.integers(node, at).map(Some),
        }
    }
}

/// The operator of a node.
///
/// # Errors
/// Why there is none.
pub(super) fn build(node: &NodeProto, constants: Constants<'_>, training: bool) -> Result<Built, String> {
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Err(format!("an operator of domain {:?}", node.domain));
    }
    let unary = |unary| Ok(Built::new(Activation(unary), 1, Weights::None));
    let binary = |binary| Ok(Built::new(Arithmetic(binary), 2, Weights::Beside));
    let reshape = |shaping| Ok(Built::new(Reshape(shaping), 1, Weights::None));
    match node.op_type.as_str() {
        "Conv" => {
            let weight = node.input_at(1).and_then(|w| constants.tensor(w));
            let kernel = weight.and_then(|w| match w.dims.as_slice() {
                [_, _, h, w] => Some([*h as usize, *w as usize]),
                _ => None,
            });
            let groups = attribute_int(node, "group", 1).max(0) as usize;
            Ok(Built::new(Conv { window: Window::new(node, kernel)?, groups }, present(node, 3), Weights::Own))
        }
        "BatchNormalization" => batch_norm(node, constants, training),
        "Gemm" => {
            let gemm = Gemm {
                alpha: attribute_float(node, "alpha", 1.0),
                beta: attribute_float(node, "beta", 1.0),
                transposed: ["transA", "transB"].map(|name| attribute_int(node, name, 0) != 0),
            };
            Ok(Built::new(gemm, present(node, 3), Weights::Own))
        }
        "MatMul" => Ok(Built::new(MatMul, 2, Weights::Own)),
        "Add" => binary(Binary::Add),
        "Sub" => binary(Binary::Sub),
        "Mul" => binary(Binary::Mul),
        "Div" => binary(Binary::Div),
        // Outside training a Dropout does nothing.
        "Identity" | "Dropout" => unary(Unary::Identity),
        "Relu" => unary(Unary::Relu),
        "Clip" => {
            let min = constants.bound(node, 1, f32::NEG_INFINITY)?;
            unary(Unary::Clip { min, max: constants.bound(node, 2, f32::INFINITY)? })
        }
        "LeakyRelu" => unary(Unary::LeakyRelu { alpha: attribute_float(node, "alpha", 0.01) }),
        "HardSigmoid" => unary(Unary::HardSigmoid {
            alpha: attribute_float(node, "alpha", 0.2),
            beta: attribute_float(node, "beta", 0.5),
        }),
        "HardSwish" => unary(Unary::HardSwish),
        "Sigmoid" => unary(Unary::Sigmoid),
        "Tanh" => unary(Unary::Tanh),
        "Exp" => unary(Unary::Exp),
        "Sqrt" => unary(Unary::Sqrt),
        "Neg" => unary(Unary::Neg),
        "Softmax" => Ok(Built::new(Softmax { axis: attribute_int(node, "axis", -1) }, 1, Weights::None)),
        "MaxPool" => Ok(Built::new(MaxPool::new(Window::new(node, None)?), 1, Weights::None)),
        "AveragePool" => {
            let include_padding = attribute_int(node, "count_include_pad", 0) != 0;
            Ok(Built::new(AveragePool { window: Window::new(node, None)?, include_padding }, 1, Weights::None))
        }
        "GlobalAveragePool" => Ok(Built::new(Mean { keep_dims: true }, 1, Weights::None)),
        "ReduceMean" => match constants.axes(node, 1)?.as_deref() {
            Some([2, 3] | [-2, -1] | [-1, -2] | [3, 2]) => {
                let keep_dims = attribute_int(node, "keepdims", 1) != 0;
                Ok(Built::new(Mean { keep_dims }, 1, Weights::None))
            }
            other => Err(format!("axes {other:?}; expected the last two of four")),
        },
        "Flatten" => reshape(Shaping::Flatten(attribute_int(node, "axis", 1))),
        "Reshape" => reshape(Shaping::To {
            dims: constants.integers(node, 1)?,
            allow_zero: attribute_int(node, "allowzero", 0) != 0,
        }),
        "Squeeze" => reshape(Shaping::Squeeze(constants.axes(node, 1)?)),
        "Unsqueeze" => reshape(Shaping::Unsqueeze(constants.axes(node, 1)?.ok_or("no axes")?)),
        "Transpose" => {
            let order = attribute_ints(node, "perm").map(|p| p.iter().map(|i| *i as usize).collect());
            Ok(Built::new(Transpose(order), 1, Weights::None))
        }
        "Concat" => Ok(Built::new(Concat(attribute_int(node, "axis", 0)), node.input.len(), Weights::None)),
        "QuantizeLinear" => {
            let zero = node.input_at(2).and_then(|z| constants.tensor(z));
            let (range, _) = integer_range(zero.map_or(DataType::Uint8 as i32, |z| z.data_type))?;
            let rounding = rounding(node, constants)?;
            Ok(Built::new(Quantize { rounding, range }, 1, Weights::None))
        }
        "DequantizeLinear" => Ok(Built::new(Dequantize { rounding: rounding(node, constants)? }, 1, Weights::None)),
        _ => Err("this operator is not known to training".into()),
    }
}

/// The optional inputs at the end that are there.
fn present(node: &NodeProto, most: usize) -> usize {
    (0..most).take_while(|i| node.input_at(*i).is_some()).count()
}

fn batch_norm(node: &NodeProto, constants: Constants<'_>, training: bool) -> Result<Built, String> {
    let (mean, variance) = (constants.floats(node, 3)?, constants.floats(node, 4)?);
    let (epsilon, momentum) = (attribute_float(node, "epsilon", 1e-5), attribute_float(node, "momentum", 0.9));
    Ok(Built::new(BatchNorm::new(training, epsilon, momentum, mean, variance), 3, Weights::Own))
}

/// The values of an integer type, and how wide it is in bytes.
pub(super) fn integer_range(data_type: i32) -> Result<(Range, usize), String> {
    match DataType::try_from(data_type) {
        Ok(DataType::Uint8) => Ok((Range { min: 0.0, max: 255.0 }, 1)),
        Ok(DataType::Int8) => Ok((Range { min: -128.0, max: 127.0 }, 1)),
        // The largest float32 below 2³¹.
        Ok(DataType::Int32) => Ok((Range { min: -2_147_483_648.0, max: 2_147_483_520.0 }, 4)),
        _ => Err(format!("integers of type {data_type}; expected uint8, int8 or int32")),
    }
}

/// Scales and zero points of `QuantizeLinear` and `DequantizeLinear`.
pub(super) fn rounding(node: &NodeProto, constants: Constants<'_>) -> Result<Rounding, String> {
    if attribute_int(node, "block_size", 0) != 0 {
        return Err("quantized in blocks".into());
    }
    let scales = constants.floats(node, 1)?;
    let zero_points = match node.input_at(2) {
        None => vec![0.0; scales.len()],
        Some(_) => quantized_values(constants.input(node, 2)?)?,
    };
    let positive = scales.iter().all(|s| s.is_finite() && *s > 0.0) && !scales.is_empty();
    let axis = attribute_int(node, "axis", 1);
    if !positive || axis < 0 || zero_points.len() != scales.len() {
        return Err("scales or an axis that are not usable".into());
    }
    Ok(Rounding { scales, zero_points, axis: axis as usize })
}

/// Integers as floats.
pub(super) fn quantized_values(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    let expected = crate::onnx::element_count(tensor).map_err(|e| e.to_string())?;
    let (_, width) = integer_range(tensor.data_type)?;
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.int32_data.iter().map(|v| *v as f32).collect()
    } else if width == 4 {
        tensor.raw_data.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b) as f32).collect()
    } else if tensor.data_type == DataType::Int8 as i32 {
        tensor.raw_data.iter().map(|b| f32::from(*b as i8)).collect()
    } else {
        tensor.raw_data.iter().map(|b| f32::from(*b)).collect()
    };
    if values.len() == expected {
        return Ok(values);
    }
    Err(format!("tensor {:?} has {} values; expected {expected}", tensor.name, values.len()))
}
