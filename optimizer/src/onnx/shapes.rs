//! Shapes and element types of every value, from the inputs, the constants and the attributes.
//!
//! What is not known stays not known: an operator without a rule, or a shape that only a run can tell, gives what the
//! file itself declares for the value, or nothing. The rules are those of
//! <https://onnx.ai/onnx/operators/>; where the text leaves a choice, that of ONNX Runtime.

mod call;
mod contents;
mod dim;
mod layout;
mod pointwise;
mod product;
mod select;
mod window;

use std::collections::{BTreeMap, HashMap};

use super::{Graph, ModelError};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{TensorProto, ValueInfoProto, type_proto};
use call::Call;
pub use dim::Dim;
pub(super) use product::is_bits_product;

/// What is known of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueType {
    pub element: Option<DataType>,
    /// Outermost dimension first.
    pub shape: Option<Vec<Dim>>,
    /// The values themselves, of the short integer lists and scalars that shapes are calculated with.
    contents: Option<Vec<Dim>>,
}

impl ValueType {
    fn new(element: Option<DataType>, shape: Option<Vec<Dim>>) -> Self {
        Self { element, shape, contents: None }
    }

    /// Every dimension, if all are numbers.
    pub fn sizes(&self) -> Option<Vec<i64>> {
        self.shape.as_ref()?.iter().map(Dim::size).collect()
    }

    /// The values themselves, of a short list of integers that is the same in every run.
    pub fn integers(&self) -> Option<Vec<i64>> {
        self.contents.as_ref()?.iter().map(Dim::size).collect()
    }

    /// The same where some of it differs from run to run.
    pub(crate) fn contents(&self) -> Option<&[Dim]> {
        self.contents.as_deref()
    }

    /// Whether both surely have the same shape in any run.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.shape.as_ref().is_some_and(|s| !s.contains(&Dim::Unknown)) && self.shape == other.shape
    }

    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }
}

/// The types of a graph's values, by name. Values inside subgraphs are not among them.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    values: HashMap<String, ValueType>,
}

impl Shapes {
    /// Symbolic dimensions stay symbols.
    ///
    /// # Errors
    /// [`ModelError::Shape`]: operands that cannot go together, or a dimension that is no 64-bit number.
    pub fn infer(graph: &Graph) -> Result<Self, ModelError> {
        infer(graph, |_, _| None)
    }

    /// The same with this many items in a batch, where the model leaves the first dimension of its inputs open.
    pub fn infer_batch(graph: &Graph, batch: i64) -> Result<Self, ModelError> {
        infer(graph, |_, axis| (axis == 0).then_some(batch))
    }

    /// The same for one item of these dimensions, where the model leaves any of its inputs' open.
    pub fn infer_item(graph: &Graph, item: &[i64]) -> Result<Self, ModelError> {
        infer(graph, |_, axis| if axis == 0 { Some(1) } else { item.get(axis - 1).copied() })
    }

    /// The same for inputs of these dimensions, by name, where the model leaves them open.
    ///
    /// # Errors
    /// Also dimensions that are not as many, or not those, that the model has.
    pub fn infer_inputs(graph: &Graph, inputs: &BTreeMap<String, Vec<i64>>) -> Result<Self, ModelError> {
        for info in &graph.body.input {
            let (Some(given), Some(shape)) = (inputs.get(&info.name), declared(info).shape) else { continue };
            let fits = |(dim, given): (&Dim, &i64)| dim.size().is_none_or(|d| d == *given);
            if given.len() != shape.len() || !shape.iter().zip(given).all(fits) {
                let (name, expected) = (info.name.clone(), dim::text(&shape));
                return Err(ModelError::InputShape { name, found: given.clone(), expected });
            }
        }
        infer(graph, |name, axis| inputs.get(name)?.get(axis).copied())
    }

    pub fn get(&self, value: &str) -> Option<&ValueType> {
        self.values.get(value)
    }

    /// The dimensions of the value, if all are known as numbers.
    pub fn sizes(&self, value: &str) -> Option<Vec<i64>> {
        self.get(value)?.sizes()
    }

    pub fn element(&self, value: &str) -> Option<DataType> {
        self.get(value)?.element
    }
}

/// `open` says what an open dimension of an input is, by the input's name and the axis.
fn infer(graph: &Graph, open: impl Fn(&str, usize) -> Option<i64>) -> Result<Shapes, ModelError> {
    let mut tensors: HashMap<&str, &TensorProto> = graph.initializers().iter().map(|t| (t.name.as_str(), t)).collect();
    // A Constant node's tensor has a name of its own, if any: the value is the node's output.
    for node in graph.nodes() {
        if let (Some(tensor), Some(output)) = (constant(node), node.output.first()) {
            tensors.insert(output, tensor);
        }
    }

    let mut values: HashMap<String, ValueType> = HashMap::new();
    let mut bound: HashMap<String, i64> = HashMap::new();
    for input in graph.body.input.iter().filter(|i| !tensors.contains_key(i.name.as_str())) {
        let mut declared = declared(input);
        let dims = declared.shape.iter_mut().flatten().enumerate();
        for (axis, dim) in dims.filter(|(_, d)| d.size().is_none()) {
            match (&*dim, open(&input.name, axis)) {
                (Dim::Symbol(name), Some(size)) => {
                    bound.entry(name.clone()).or_insert(size);
                }
                (_, Some(size)) => *dim = Dim::Size(size),
                (_, None) => {}
            }
        }
        values.insert(input.name.clone(), declared);
    }
    // A symbol is the same everywhere, in what the file says of other values too.
    let bind = |value: &mut ValueType| {
        for dim in value.shape.iter_mut().flatten() {
            let size = if let Dim::Symbol(name) = &*dim { bound.get(name) } else { None };
            if let Some(size) = size {
                *dim = Dim::Size(*size);
            }
        }
    };
    values.values_mut().for_each(bind);

    let hints: HashMap<&str, ValueType> = graph
        .body
        .value_info
        .iter()
        .chain(&graph.body.output)
        .map(|info| {
            let mut value = declared(info);
            bind(&mut value);
            (info.name.as_str(), value)
        })
        .collect();
    for (name, tensor) in &tensors {
        values.insert((*name).to_owned(), contents::of_tensor(tensor)?);
    }
    for node in graph.nodes() {
        let call = Call::new(node, &values, &tensors);
        let failed = |problem| ModelError::Shape { node: node.label(), problem };
        let found = call.infer().map_err(failed)?;
        if let Some(n) = found.iter().flat_map(|v| v.shape.iter().flatten()).filter_map(Dim::size).find(|n| *n < 0) {
            return Err(failed(format!("a result with a dimension of {n}; expected at least 0")));
        }
        let mut found = found.into_iter();
        for output in &node.output {
            let mut value = found.next().unwrap_or_default();
            if output.is_empty() || tensors.contains_key(output.as_str()) {
                continue;
            }
            if let Some(hint) = hints.get(output.as_str()) {
                complete(&mut value, hint);
            }
            values.insert(output.clone(), value);
        }
    }
    Ok(Shapes { values })
}

fn constant(node: &crate::proto::NodeProto) -> Option<&TensorProto> {
    let attribute = node.attribute.iter().find(|a| a.name == "value").filter(|_| node.is("Constant"))?;
    attribute.t.as_ref()
}

/// Fills what the rules left open with what the file says.
fn complete(value: &mut ValueType, hint: &ValueType) {
    value.element = value.element.or(hint.element);
    match (&mut value.shape, &hint.shape) {
        (None, declared) => value.shape.clone_from(declared),
        (Some(found), Some(declared)) if found.len() == declared.len() => {
            for (dim, declared) in found.iter_mut().zip(declared).filter(|(dim, _)| **dim == Dim::Unknown) {
                dim.clone_from(declared);
            }
        }
        _ => {}
    }
}

fn declared(info: &ValueInfoProto) -> ValueType {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return ValueType::default();
    };
    let dim = |d: &crate::proto::tensor_shape_proto::Dimension| match &d.value {
        Some(dimension::Value::DimValue(n)) if *n >= 0 => Dim::Size(*n),
        // PaddlePaddle's exporter writes "?" for each dimension that it does not know, and they are not all equal.
        Some(dimension::Value::DimParam(name))
            if name.contains(|c: char| c.is_ascii_alphabetic()) && name != "None" =>
        {
            Dim::Symbol(name.clone())
        }
        _ => Dim::Unknown,
    };
    let shape = tensor.shape.as_ref().map(|s| s.dim.iter().map(dim).collect());
    let element = DataType::try_from(tensor.elem_type).ok().filter(|t| *t != DataType::Undefined);
    ValueType::new(element, shape)
}

#[cfg(test)]
mod tests;
