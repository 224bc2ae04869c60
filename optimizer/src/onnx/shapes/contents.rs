//! Calculations with shapes: the values of short integer lists and scalars, as far as they are known.

use super::call::{Call, Outcome, axis, one};
use super::dim::{overflow, product, text};
use super::layout::{bounds, sliced};
use super::{Dim, ValueType};
use crate::onnx::{ModelError, element_count, integers, tensor_type};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// No shape has more dimensions than this, nor a list of axes or bounds.
const MOST: usize = 256;

/// A constant's type, and its values where they can be part of such a calculation.
pub(super) fn of_tensor(tensor: &TensorProto) -> Result<ValueType, ModelError> {
    let count = element_count(tensor)?;
    let element = tensor_type(tensor);
    let shape = tensor.dims.iter().copied().map(Dim::Size).collect();
    let mut value = ValueType::new(element, Some(shape));
    if tensor.dims.len() <= 1 && count <= MOST && matches!(element, Some(DataType::Int64 | DataType::Int32)) {
        value.contents = Some(integers(tensor)?.into_iter().map(Dim::Size).collect());
    }
    Ok(value)
}

/// The operators that make values rather than change them.
pub(super) fn infer(call: &Call<'_>) -> Option<Outcome> {
    let scalar = |element, contents: Option<Dim>| {
        Ok(vec![ValueType { element: Some(element), shape: Some(Vec::new()), contents: contents.map(|d| vec![d]) }])
    };
    Some(match call.node.op_type.as_str() {
        "Shape" => shape(call),
        "Size" => match call.shape(0).map(product).transpose() {
            Ok(n) => scalar(DataType::Int64, n.flatten().map(Dim::Size)),
            Err(e) => Err(e),
        },
        "Constant" => constant(call),
        "ConstantOfShape" => constant_of_shape(call),
        "Range" => range(call),
        _ => return None,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "what a rule returns")]
fn list(element: DataType, contents: Vec<Dim>) -> Outcome {
    let shape = Some(vec![Dim::Size(contents.len() as i64)]);
    Ok(vec![ValueType { element: Some(element), shape, contents: Some(contents) }])
}

fn shape(call: &Call<'_>) -> Outcome {
    let Some(x) = call.shape(0) else {
        return one(Some(DataType::Int64), Some(vec![Dim::Unknown]));
    };
    let rank = x.len() as i64;
    let (start, end) = bounds(rank, call.int("start", 0), call.int("end", i64::MAX), 1);
    let part = x.get(start as usize..end as usize).unwrap_or(&[]);
    list(DataType::Int64, part.to_vec())
}

/// Those whose attribute is no tensor; a tensor's values are known before.
fn constant(call: &Call<'_>) -> Outcome {
    if let Some(values) = call.ints("value_ints") {
        return list(DataType::Int64, values.iter().copied().map(Dim::Size).collect());
    }
    let of = |name: &str| call.node.attribute.iter().find(|a| a.name == name);
    if let Some(a) = of("value_int") {
        let contents = Some(vec![Dim::Size(a.i)]);
        return Ok(vec![ValueType { element: Some(DataType::Int64), shape: Some(Vec::new()), contents }]);
    }
    let count = |n: usize| Some(vec![Dim::Size(n as i64)]);
    if let Some(a) = of("value_floats") {
        return one(Some(DataType::Float), count(a.floats.len()));
    }
    if let Some(a) = of("value_strings") {
        return one(Some(DataType::String), count(a.strings.len()));
    }
    let element = of("value_float").map(|_| DataType::Float).or(of("value_string").map(|_| DataType::String));
    one(element, element.map(|_| Vec::new()))
}

fn constant_of_shape(call: &Call<'_>) -> Outcome {
    let value = call.node.attribute.iter().find(|a| a.name == "value").and_then(|a| a.t.as_ref());
    let element = value.map_or(Some(DataType::Float), tensor_type);
    let shape = match call.contents(0) {
        Some(shape) => Some(shape.to_vec()),
        None => call
            .shape(0)
            .and_then(|s| s.first()?.size())
            .filter(|r| (0..=64).contains(r))
            .map(|r| vec![Dim::Unknown; r as usize]),
    };
    if let Some(bad) = shape.iter().flatten().find(|d| d.size().is_some_and(|n| n < 0)) {
        return Err(format!("a dimension of {bad}; expected at least 0"));
    }
    let fill = value.filter(|_| matches!(element, Some(DataType::Int64 | DataType::Int32))).map(integers);
    let contents = match (fill.transpose().map_err(|e| e.to_string())?.as_deref(), shape.as_deref()) {
        (Some([fill]), Some([Dim::Size(n)])) if *n as usize <= MOST => Some(vec![Dim::Size(*fill); *n as usize]),
        _ => None,
    };
    Ok(vec![ValueType { element, shape, contents }])
}

fn range(call: &Call<'_>) -> Outcome {
    let number = |i: usize| call.contents(i).and_then(|c| c.first()?.size());
    if let (Some(start), Some(limit), Some(step)) = (number(0), number(1), number(2)) {
        if step == 0 {
            return Err("a step of 0; expected another".into());
        }
        let distance = limit.checked_sub(start).ok_or_else(overflow)?;
        let count =
            if (distance > 0) == (step > 0) { distance.unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 };
        if count <= MOST as u64 {
            let values = (0..count as i64).map(|i| Dim::Size(start.saturating_add(i.saturating_mul(step))));
            return list(call.element(0).unwrap_or(DataType::Int64), values.collect());
        }
        let count = i64::try_from(count).map_err(|_| overflow())?;
        return one(call.element(0), Some(vec![Dim::Size(count)]));
    }
    one(call.element(0), Some(vec![Dim::Unknown]))
}

/// Adds the values of the first output to what the other rules found.
pub(super) fn follow(call: &Call<'_>, outputs: &mut [ValueType]) -> Result<(), String> {
    let Some(output) = outputs.first_mut() else { return Ok(()) };
    if output.contents.is_some() || output.shape.as_ref().is_none_or(|s| s.len() > 1) {
        return Ok(());
    }
    let integer = matches!(output.element, Some(DataType::Int64 | DataType::Int32 | DataType::Bool));
    if !integer {
        return Ok(());
    }
    let found = match call.node.op_type.as_str() {
        "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => call.contents(0).map(<[Dim]>::to_vec),
        // A bool made of a number, or a number of a bool, is another number.
        "Cast" if output.element != Some(DataType::Bool) && call.element(0) != Some(DataType::Bool) => {
            call.contents(0).map(<[Dim]>::to_vec)
        }
        "Concat" => concat(call),
        "Slice" => slice(call)?,
        "Gather" => gather(call)?,
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Equal" => pairs(call, output.shape.as_deref())?,
        "Where" => choose(call, output.shape.as_deref()),
        "ReduceProd" if call.rank(0) == Some(1) => {
            call.contents(0).map(product).transpose()?.flatten().map(|n| vec![Dim::Size(n)])
        }
        "Expand" => match (call.contents(0), output.sizes().as_deref()) {
            (Some([one]), Some([n])) if (0..=MOST as i64).contains(n) => Some(vec![one.clone(); *n as usize]),
            _ => None,
        },
        _ => None,
    };
    // Of a list the length is part of the type: the two must agree, or nothing is known.
    output.contents = found.filter(|c| c.len() <= MOST && output.sizes() == Some(lengths(output, c)));
    Ok(())
}

fn lengths(output: &ValueType, contents: &[Dim]) -> Vec<i64> {
    if output.rank() == Some(0) && contents.len() == 1 { Vec::new() } else { vec![contents.len() as i64] }
}

fn concat(call: &Call<'_>) -> Option<Vec<Dim>> {
    let mut all = Vec::new();
    for i in 0..call.inputs() {
        match (call.contents(i), call.shape(i)) {
            (Some(part), _) => all.extend_from_slice(part),
            // The others keep their places.
            (None, Some([Dim::Size(n)])) if (0..=MOST as i64).contains(n) => {
                all.extend(vec![Dim::Unknown; *n as usize]);
            }
            _ => return None,
        }
    }
    Some(all)
}

fn slice(call: &Call<'_>) -> Result<Option<Vec<Dim>>, String> {
    let Some(x) = call.contents(0) else { return Ok(None) };
    let number = |i: usize| call.contents(i).and_then(|c| c.first()?.size());
    let step = if call.has(4) { number(4) } else { Some(1) };
    let (Some(start), Some(end), Some(step)) = (number(1), number(2), step) else { return Ok(None) };
    let size = x.len() as i64;
    let count = sliced(size, start, end, step);
    let (first, _) = bounds(size, start, end, step);
    let at = |i: i64| i.checked_mul(step)?.checked_add(first).and_then(|i| x.get(usize::try_from(i).ok()?)).cloned();
    (0..count).map(at).collect::<Option<Vec<_>>>().map(Some).ok_or_else(overflow)
}

fn gather(call: &Call<'_>) -> Result<Option<Vec<Dim>>, String> {
    let (Some(x), Some(indices)) = (call.contents(0), call.numbers(1)) else { return Ok(None) };
    if call.rank(0) != Some(1) {
        return Ok(None);
    }
    let at = |i: &i64| axis(*i, x.len()).map(|i| x[i].clone()).map_err(|_| format!("index {i} into {}", text(x)));
    indices.iter().map(at).collect::<Result<_, _>>().map(Some)
}

/// One number for each place of the result, from operands that may have one for all.
fn spread<'c>(call: &Call<'c>, i: usize, result: Option<&[Dim]>) -> Option<Vec<&'c Dim>> {
    let contents = call.contents(i)?;
    let count = match result? {
        [] => 1,
        [Dim::Size(n)] => usize::try_from(*n).ok().filter(|n| *n <= MOST)?,
        _ => return None,
    };
    match contents {
        [one] => Some(vec![one; count]),
        many => Some(many.iter().collect()),
    }
    .filter(|c: &Vec<_>| c.len() == count)
}

fn pairs(call: &Call<'_>, result: Option<&[Dim]>) -> Result<Option<Vec<Dim>>, String> {
    let (Some(a), Some(b)) = (spread(call, 0, result), spread(call, 1, result)) else { return Ok(None) };
    if call.inputs() != 2 {
        return Ok(None);
    }
    let op = call.node.op_type.as_str();
    a.into_iter().zip(b).map(|(a, b)| calculate(op, a, b)).collect::<Result<_, _>>().map(Some)
}

fn calculate(op: &str, a: &Dim, b: &Dim) -> Result<Dim, String> {
    let one = Dim::Size(1);
    let zero = Dim::Size(0);
    let (Dim::Size(x), Dim::Size(y)) = (a, b) else {
        return Ok(match op {
            "Mul" if *a == one => b.clone(),
            "Mul" | "Div" if *b == one => a.clone(),
            "Add" if *a == zero => b.clone(),
            "Add" | "Sub" if *b == zero => a.clone(),
            // A symbol is a dimension, so it is no -1.
            "Equal" if [a, b].iter().any(|d| d.size().is_some_and(|n| n < 0)) && ![a, b].contains(&&Dim::Unknown) => {
                zero
            }
            _ => Dim::Unknown,
        });
    };
    let number = match op {
        "Add" => x.checked_add(*y),
        "Sub" => x.checked_sub(*y),
        "Mul" => x.checked_mul(*y),
        // What C does, and ONNX Runtime with it; of 0 it is undefined.
        "Div" if *y == 0 => return Ok(Dim::Unknown),
        "Div" => x.checked_div(*y),
        "Min" => Some(*x.min(y)),
        "Max" => Some(*x.max(y)),
        "Equal" => Some(i64::from(x == y)),
        _ => return Ok(Dim::Unknown),
    };
    number.map(Dim::Size).ok_or_else(overflow)
}

fn choose(call: &Call<'_>, result: Option<&[Dim]>) -> Option<Vec<Dim>> {
    let (condition, yes, no) = (spread(call, 0, result)?, spread(call, 1, result)?, spread(call, 2, result)?);
    let each = condition.into_iter().zip(yes.into_iter().zip(no)).map(|(c, (yes, no))| match c {
        Dim::Size(0) => no.clone(),
        Dim::Size(_) => yes.clone(),
        _ if yes == no && *yes != Dim::Unknown => yes.clone(),
        _ => Dim::Unknown,
    });
    Some(each.collect())
}
