//! Operators that pick or reduce.

use super::call::{Call, Outcome, axis, one};
use super::dim::text;
use super::{Dim, ValueType};
use crate::proto::tensor_proto::DataType;

pub(super) fn infer(call: &Call<'_>) -> Option<Outcome> {
    let op = call.node.op_type.as_str();
    Some(match op {
        "Gather" => gather(call),
        "GatherElements" => one(call.element(0), call.shape(1).map(<[Dim]>::to_vec)),
        "GatherND" => gather_nd(call),
        "ArgMax" | "ArgMin" => arg(call),
        "TopK" => top_k(call),
        "OneHot" => one_hot(call),
        "NonZero" => {
            // A scalar counts as one axis for some, so its rank is left open.
            let rank = call.rank(0).filter(|r| *r > 0).map(|r| r as i64);
            one(Some(DataType::Int64), Some(vec![rank.into(), Dim::Unknown]))
        }
        _ if op.starts_with("Reduce") => reduce(call),
        _ => return None,
    })
}

fn gather(call: &Call<'_>) -> Outcome {
    let (Some(x), Some(indices)) = (call.shape(0), call.shape(1)) else { return one(call.element(0), None) };
    let axis = call.axis(0, x.len())?;
    let shape = x[..axis].iter().chain(indices).chain(&x[axis + 1..]).cloned().collect();
    one(call.element(0), Some(shape))
}

fn gather_nd(call: &Call<'_>) -> Outcome {
    let (Some(x), Some(indices)) = (call.shape(0), call.shape(1)) else { return one(call.element(0), None) };
    let fail = || format!("indices of shape {} into {}", text(indices), text(x));
    let batch = usize::try_from(call.int("batch_dims", 0)).map_err(|_| fail())?;
    let Some((last, outer)) = indices.split_last() else { return Err(fail()) };
    let Some(depth) = last.size() else { return one(call.element(0), None) };
    let rest = usize::try_from(depth).ok().and_then(|d| x.get(batch.checked_add(d)?..)).ok_or_else(fail)?;
    one(call.element(0), Some(outer.iter().chain(rest).cloned().collect()))
}

fn reduce(call: &Call<'_>) -> Outcome {
    let element = call.element(0);
    let Some(x) = call.shape(0) else { return one(element, None) };
    let keep = call.int("keepdims", 1) != 0;
    let given = call.has(1) || call.ints("axes").is_some();
    let axes = if given { call.axes(1) } else { Some(Vec::new()) };
    let Some(axes) = axes else {
        return one(element, keep.then(|| vec![Dim::Unknown; x.len()]));
    };
    let axes = axes.iter().map(|a| axis(*a, x.len())).collect::<Result<Vec<_>, _>>()?;
    if axes.is_empty() && call.int("noop_with_empty_axes", 0) != 0 {
        return one(element, Some(x.to_vec()));
    }
    let reduced = |i: usize| axes.is_empty() || axes.contains(&i);
    one(element, Some(without(x, reduced, keep)))
}

fn without(x: &[Dim], reduced: impl Fn(usize) -> bool, keep: bool) -> Vec<Dim> {
    let each = x.iter().enumerate().filter_map(|(i, d)| match (reduced(i), keep) {
        (false, _) => Some(d.clone()),
        (true, true) => Some(Dim::Size(1)),
        (true, false) => None,
    });
    each.collect()
}

fn arg(call: &Call<'_>) -> Outcome {
    let Some(x) = call.shape(0) else { return one(Some(DataType::Int64), None) };
    let axis = call.axis(0, x.len())?;
    one(Some(DataType::Int64), Some(without(x, |i| i == axis, call.int("keepdims", 1) != 0)))
}

fn top_k(call: &Call<'_>) -> Outcome {
    let shape = match call.shape(0) {
        Some(x) => {
            let axis = call.axis(-1, x.len())?;
            let mut shape = x.to_vec();
            shape[axis] = call.contents(1).and_then(|k| k.first().cloned()).unwrap_or(Dim::Unknown);
            Some(shape)
        }
        None => None,
    };
    Ok(vec![ValueType::new(call.element(0), shape.clone()), ValueType::new(Some(DataType::Int64), shape)])
}

fn one_hot(call: &Call<'_>) -> Outcome {
    let Some(indices) = call.shape(0) else { return one(call.element(2), None) };
    let at = axis(call.int("axis", -1), indices.len() + 1)?;
    let mut shape = indices.to_vec();
    shape.insert(at, call.contents(1).and_then(|d| d.first().cloned()).unwrap_or(Dim::Unknown));
    one(call.element(2), Some(shape))
}
