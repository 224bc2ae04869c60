use std::collections::BTreeMap;

use super::names::Names;
use crate::onnx::{Graph, ModelError, element_count, floats, integer_attribute, is_float, new_node, tensor};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// Smaller tensors gain nothing that their `Cast` does not cost.
const LEAST_ELEMENTS: usize = 64;

/// Of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// IEEE 754 binary16: 11 bits of precision, at most 65504.
    Float16,
    /// bfloat16: 8 bits of precision and float32's range.
    BFloat16,
}

/// What [`halve`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HalfReport {
    pub halved: usize,
    /// Tensors with values that the format does not hold.
    pub left: usize,
}

/// Stores float32 initializers in 16 bits, with a `Cast` to float32 before their readers, which ONNX Runtime folds when it
/// loads the model: the file halves, and the time of an inference is what it was. Its CPU kernels compute in float32, and a
/// graph in float16 would only add conversions.
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn halve(mut graph: Graph, half: Half) -> Result<(Graph, HalfReport), ModelError> {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut report = HalfReport::default();
    let mut casts = Vec::new();
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for position in 0..graph.body.initializer.len() {
        let found = &graph.body.initializer[position];
        let seen = index.is_captured(&found.name) || index.is_output(&found.name);
        // Before IR 4 an initializer is an input too, with a type of its own.
        let is_input = graph.body.input.iter().any(|i| i.name == found.name);
        if !is_float(found) || seen || is_input || element_count(found)? < LEAST_ELEMENTS {
            continue;
        }
        let Some(codes) = floats(found)?.into_iter().map(|v| half.encode(v)).collect::<Option<Vec<u16>>>() else {
            report.left += 1;
            continue;
        };
        let data = codes.iter().flat_map(|c| c.to_le_bytes()).collect();
        let (name, dims) = (found.name.clone(), found.dims.clone());
        let stored: TensorProto = tensor(&names.make(&name, ".half"), half.data_type(), &dims, data);
        let float = names.make(&name, ".float");
        let mut cast = new_node("Cast", vec![stored.name.clone()], float.clone());
        cast.attribute.push(integer_attribute("to", i64::from(DataType::Float as i32)));
        casts.push(cast);
        graph.body.initializer[position] = stored;
        renamed.insert(name, float);
        report.halved += 1;
    }
    for input in graph.body.node.iter_mut().flat_map(|n| &mut n.input) {
        if let Some(float) = renamed.get(input) {
            input.clone_from(float);
        }
    }
    graph.body.node.splice(0..0, casts);
    graph.prune();
    Ok((graph, report))
}

impl Half {
    fn data_type(self) -> DataType {
        match self {
            Self::Float16 => DataType::Float16,
            Self::BFloat16 => DataType::Bfloat16,
        }
    }

    /// The nearest code, ties to even; `None` where a finite value would become infinite.
    fn encode(self, value: f32) -> Option<u16> {
        let (code, largest) = match self {
            Self::Float16 => (half::f16::from_f32(value).to_bits(), half::f16::MAX.to_f32()),
            Self::BFloat16 => (half::bf16::from_f32(value).to_bits(), half::bf16::MAX.to_f32()),
        };
        (!value.is_finite() || value.abs() <= largest).then_some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for (half, value, expected) in [
            (Half::Float16, 1.0, Some(0x3C00)),
            (Half::Float16, -2.0, Some(0xC000)),
            (Half::Float16, 65504.0, Some(0x7BFF)),
            (Half::Float16, 65520.0, None),
            (Half::Float16, 1e-9, Some(0)),
            (Half::Float16, f32::INFINITY, Some(0x7C00)),
            (Half::BFloat16, 1.0, Some(0x3F80)),
            (Half::BFloat16, 65520.0, Some(0x4780)),
            (Half::BFloat16, f32::MAX, None),
        ] {
            assert_eq!(half.encode(value), expected, "{half:?} of {value}");
        }
    }
}
