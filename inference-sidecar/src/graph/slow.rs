//! Forms of int8 that ONNX Runtime's CPU provider is slow at.

use std::collections::HashMap;
use std::fmt;

use super::{Graph, Node};

/// `TensorProto.DataType` of int8; uint8 is 2.
const INT8: i32 = 3;
const UINT8: i32 = 2;

/// Times were measured with ResNet-50, MobileNetV2, DeiT-tiny and YOLOv8n on an AMD processor of the Zen 4 kind, one thread, ONNX Runtime
/// 1.31.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slow {
    /// QDQ with int8 activations.
    QdqS8S8,
    /// `QLinearConv` and its like with int8 activations.
    QOperatorS8S8,
    /// `ConvInteger`: what is multiplied is quantized anew at each inference.
    DynamicConvolution,
}

impl Slow {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QdqS8S8 => "qdq_s8s8",
            Self::QOperatorS8S8 => "qoperator_s8s8",
            Self::DynamicConvolution => "dynamic_convolution",
        }
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QdqS8S8 => "int8 activations (QDQ, S8S8): 1.3 to 3.5 times the time of uint8 activations",
            Self::QOperatorS8S8 => {
                "int8 activations in operators such as QLinearConv (S8S8): 4.8 to 13.8 times the time of QDQ with uint8 activations"
            }
            Self::DynamicConvolution => "convolutions that are quantized at each inference: 0.9 to 7.8 times the time of float32",
        })
    }
}

impl Graph {
    /// The slowest form that is in it.
    pub(crate) fn slow(&self) -> Option<Slow> {
        let has = |found: &dyn Fn(&Node) -> bool| self.nodes.iter().any(found);
        let zero_point = |node: &Node| node.input.get(2).and_then(|name| self.constants.get(name)).copied();
        if has(&|n| {
            matches!(n.op_type.as_str(), "QLinearConv" | "QLinearMatMul" | "QGemm") && zero_point(n) == Some(INT8)
        }) {
            return Some(Slow::QOperatorS8S8);
        }
        if has(&|n| n.op_type == "ConvInteger") {
            return Some(Slow::DynamicConvolution);
        }
        let of_type = |operator: &'static str| self.nodes.iter().filter(move |n| n.op_type == operator);
        // Opset 21: a type may be named in the place of a zero point.
        let named =
            |n: &Node| n.attribute.iter().find(|a| a.name == "output_dtype").and_then(|a| i32::try_from(a.i).ok());
        let quantized: HashMap<&str, i32> = of_type("QuantizeLinear")
            .filter_map(|n| Some((n.output.first()?.as_str(), zero_point(n).or_else(|| named(n)).unwrap_or(UINT8))))
            .collect();
        let is_int8 = |n: &&Node| n.input.first().is_some_and(|x| quantized.get(x.as_str()) == Some(&INT8));
        let floats: Vec<&str> =
            of_type("DequantizeLinear").filter(is_int8).filter_map(|n| n.output.first().map(String::as_str)).collect();
        let multiplies = |n: &Node| matches!(n.op_type.as_str(), "Conv" | "ConvTranspose" | "MatMul" | "Gemm");
        let qdq = has(&|n| multiplies(n) && n.input.first().is_some_and(|x| floats.contains(&x.as_str())));
        qdq.then_some(Slow::QdqS8S8)
    }
}
