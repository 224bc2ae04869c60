use std::collections::HashMap;

use super::{Dim, ValueType, contents, layout, pointwise, product, select, window};
use crate::onnx::{attribute_int, attribute_ints, node};
use crate::proto::tensor_proto::DataType;
use crate::proto::{NodeProto, TensorProto};

/// What the outputs are, as far as known; or what is wrong with the inputs.
pub(super) type Outcome = Result<Vec<ValueType>, String>;

/// One node and what is known of its inputs.
pub(super) struct Call<'g> {
    pub(super) node: &'g NodeProto,
    values: &'g HashMap<String, ValueType>,
    tensors: &'g HashMap<&'g str, &'g TensorProto>,
}

impl<'g> Call<'g> {
    pub(super) fn new(
        node: &'g NodeProto,
        values: &'g HashMap<String, ValueType>,
        tensors: &'g HashMap<&'g str, &'g TensorProto>,
    ) -> Self {
        Self { node, values, tensors }
    }

    pub(super) fn infer(&self) -> Outcome {
        if product::is_bits_product(self.node) {
            return product::by_bits(self);
        }
        // Another domain's operator of the same name is another operator.
        if !self.node.is(&self.node.op_type) {
            return Ok(Vec::new());
        }
        let families = [pointwise::infer, window::infer, product::infer, layout::infer, select::infer, contents::infer];
        for family in families {
            if let Some(outcome) = family(self) {
                let mut outputs = outcome?;
                contents::follow(self, &mut outputs)?;
                return Ok(outputs);
            }
        }
        Ok(Vec::new())
    }

    pub(super) fn value(&self, i: usize) -> Option<&'g ValueType> {
        self.values.get(self.node.input_at(i)?)
    }

    pub(super) fn has(&self, i: usize) -> bool {
        self.node.input_at(i).is_some()
    }

    pub(super) fn inputs(&self) -> usize {
        self.node.input.len()
    }

    pub(super) fn shape(&self, i: usize) -> Option<&'g [Dim]> {
        self.value(i)?.shape.as_deref()
    }

    pub(super) fn rank(&self, i: usize) -> Option<usize> {
        self.shape(i).map(<[Dim]>::len)
    }

    pub(super) fn element(&self, i: usize) -> Option<DataType> {
        self.value(i)?.element
    }

    pub(super) fn contents(&self, i: usize) -> Option<&'g [Dim]> {
        self.value(i)?.contents.as_deref()
    }

    /// The input's numbers, if all of them are known.
    pub(super) fn numbers(&self, i: usize) -> Option<Vec<i64>> {
        self.contents(i)?.iter().map(Dim::size).collect()
    }

    pub(super) fn tensor(&self, i: usize) -> Option<&'g TensorProto> {
        self.tensors.get(self.node.input_at(i)?).copied()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        attribute_int(self.node, name, default)
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'g [i64]> {
        attribute_ints(self.node, name)
    }

    pub(super) fn text(&self, name: &str) -> &'g str {
        node::attribute_text(self.node, name)
    }

    pub(super) fn data_type(&self, name: &str) -> Option<DataType> {
        i32::try_from(self.int(name, 0))
            .ok()
            .and_then(|t| DataType::try_from(t).ok())
            .filter(|t| *t != DataType::Undefined)
    }

    /// The attribute `axis`, counted from the front.
    pub(super) fn axis(&self, default: i64, rank: usize) -> Result<usize, String> {
        axis(self.int("axis", default), rank)
    }

    /// Axes from input `i`, or from the attribute that older opsets have: `Ok(None)` if they are not known.
    pub(super) fn axes(&self, i: usize) -> Option<Vec<i64>> {
        if self.has(i) { self.numbers(i) } else { self.ints("axes").map(<[i64]>::to_vec) }
    }
}

/// For the many that have one output.
#[expect(clippy::unnecessary_wraps, reason = "what a rule returns")]
pub(super) fn one(element: Option<DataType>, shape: Option<Vec<Dim>>) -> Outcome {
    Ok(vec![ValueType::new(element, shape)])
}

pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_front)
        .ok()
        .filter(|a| *a < rank)
        .ok_or_else(|| format!("axis {axis} of a tensor of {rank} dimensions"))
}
