//! Operators that move elements about.

use super::call::{Call, Outcome, axis, one};
use super::dim::{broadcast, overflow, product, same, text};
use super::{Dim, ValueType};
use crate::onnx::{floats, is_float};

pub(super) fn infer(call: &Call<'_>) -> Option<Outcome> {
    Some(match call.node.op_type.as_str() {
        "Concat" => concat(call),
        "Split" => split(call),
        "Slice" => slice(call),
        "Reshape" => of_input(call, reshape),
        "Flatten" => of_input(call, flatten),
        "Transpose" => of_input(call, transpose),
        "Squeeze" => of_input(call, squeeze),
        "Unsqueeze" => of_input(call, unsqueeze),
        "Expand" => expand(call),
        "Tile" => of_input(call, tile),
        "Pad" => of_input(call, pad),
        "Resize" | "Upsample" => of_input(call, resize),
        "DepthToSpace" => of_input(call, |call, x| blocks(call, x, true)),
        "SpaceToDepth" => of_input(call, |call, x| blocks(call, x, false)),
        _ => return None,
    })
}

/// What is not known of the result is nothing, or its dimensions.
type Layout = Result<Option<Vec<Dim>>, String>;

fn of_input(call: &Call<'_>, rule: fn(&Call<'_>, &[Dim]) -> Layout) -> Outcome {
    let shape = call.shape(0).map(|x| rule(call, x)).transpose()?.flatten();
    one(call.element(0), shape)
}

fn concat(call: &Call<'_>) -> Outcome {
    let element = (0..call.inputs()).find_map(|i| call.element(i));
    let Some(shapes) = (0..call.inputs()).map(|i| call.shape(i)).collect::<Option<Vec<_>>>() else {
        return one(element, None);
    };
    let Some((first, rest)) = shapes.split_first() else { return Err("no inputs; expected at least one".into()) };
    let axis = call.axis(0, first.len())?;
    let mut shape = first.to_vec();
    for other in rest {
        let fail = || format!("shapes {} and {}, which cannot be joined along axis {axis}", text(first), text(other));
        if other.len() != shape.len() {
            return Err(fail());
        }
        for (i, (dim, d)) in shape.iter_mut().zip(*other).enumerate() {
            *dim = match (i == axis, dim.size(), d.size()) {
                (false, ..) => same(dim, d).ok_or_else(fail)?,
                (true, Some(a), Some(b)) => Dim::Size(a.checked_add(b).ok_or_else(overflow)?),
                (true, ..) => Dim::Unknown,
            };
        }
    }
    one(element, Some(shape))
}

fn split(call: &Call<'_>) -> Outcome {
    let outputs = call.node.output.len();
    let Some(x) = call.shape(0) else { return Ok(vec![ValueType::new(call.element(0), None); outputs]) };
    let axis = call.axis(0, x.len())?;
    let sizes: Option<Vec<i64>> = if call.has(1) { call.numbers(1) } else { call.ints("split").map(<[i64]>::to_vec) };
    let parts: Vec<Dim> = match (sizes, x[axis].size()) {
        (Some(sizes), total) => {
            let sum = sizes.iter().try_fold(0_i64, |n, s| n.checked_add(*s)).ok_or_else(overflow)?;
            if sizes.len() != outputs || total.is_some_and(|t| t != sum) || sizes.iter().any(|s| *s < 0) {
                return Err(format!("split sizes {sizes:?} of {} for {outputs} outputs", x[axis]));
            }
            sizes.into_iter().map(Dim::Size).collect()
        }
        (None, Some(total)) if !call.has(1) && outputs > 0 => {
            // Equal parts, and a smaller one at the end where they do not divide.
            let part = total.checked_add(outputs as i64 - 1).ok_or_else(overflow)? / outputs as i64;
            (0..outputs as i64).map(|i| Dim::Size((total - i * part).clamp(0, part))).collect()
        }
        _ => vec![Dim::Unknown; outputs],
    };
    let with = |part: Dim| {
        let mut shape = x.to_vec();
        shape[axis] = part;
        ValueType::new(call.element(0), Some(shape))
    };
    Ok(parts.into_iter().map(with).collect())
}

fn slice(call: &Call<'_>) -> Outcome {
    let element = call.element(0);
    let Some(x) = call.shape(0) else { return one(element, None) };
    let axes: Option<Vec<i64>> = if call.has(3) {
        call.numbers(3)
    } else {
        let named = if call.has(1) { call.shape(1).and_then(|s| s.first()?.size()) } else { None };
        named.map(|n| (0..n.min(x.len() as i64)).collect())
    };
    // Without the axes any of them may have changed.
    let Some(axes) = axes else { return one(element, Some(vec![Dim::Unknown; x.len()])) };
    let mut shape = x.to_vec();
    let at = |i: usize, k: usize| call.contents(i).and_then(|c| c.get(k)?.size());
    for (k, a) in axes.iter().enumerate() {
        let a = axis(*a, x.len())?;
        let step = if call.has(4) { at(4, k) } else { Some(1) };
        shape[a] = match (x[a].size(), at(1, k), at(2, k), step) {
            (.., Some(0)) => return Err("a step of 0; expected another".into()),
            (_, Some(0), Some(i64::MAX), Some(1)) => x[a].clone(),
            (Some(size), Some(start), Some(end), Some(step)) => Dim::Size(sliced(size, start, end, step)),
            _ => Dim::Unknown,
        };
    }
    one(element, Some(shape))
}

/// How many elements a slice takes, as Python counts.
pub(super) fn sliced(size: i64, start: i64, end: i64, step: i64) -> i64 {
    let (start, end) = bounds(size, start, end, step);
    let distance = if step > 0 { end - start } else { start - end };
    if distance <= 0 {
        return 0;
    }
    // In unsigned numbers, which hold the size of the most negative step too.
    let step = step.unsigned_abs();
    (distance.unsigned_abs() - 1).checked_div(step).map_or(0, |n| n as i64 + 1)
}

/// Start and end inside the axis; a negative step may end before its first element.
pub(super) fn bounds(size: i64, start: i64, end: i64, step: i64) -> (i64, i64) {
    let from_front = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
    if step > 0 {
        (from_front(start).clamp(0, size), from_front(end).clamp(0, size))
    } else {
        (from_front(start).clamp(-1, size - 1), from_front(end).clamp(-1, size - 1))
    }
}

fn reshape(call: &Call<'_>, x: &[Dim]) -> Layout {
    let Some(target) = call.contents(1) else {
        let rank = call.shape(1).and_then(|s| s.first()?.size()).filter(|r| (0..=64).contains(r));
        return Ok(rank.map(|r| vec![Dim::Unknown; r as usize]));
    };
    let keep_zero = call.int("allowzero", 0) != 0;
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, dim) in target.iter().enumerate() {
        shape.push(match dim {
            Dim::Size(0) if !keep_zero => x.get(i).cloned().ok_or_else(|| {
                format!("the target {} copies dimension {i} of an input of shape {}", text(target), text(x))
            })?,
            Dim::Size(-1) if open.is_none() => {
                open = Some(i);
                Dim::Unknown
            }
            Dim::Size(n) if *n < 0 => return Err(format!("the target {}; expected at most one -1", text(target))),
            other => other.clone(),
        });
    }
    let fail = || format!("an input of shape {}, which does not fit the target {}", text(x), text(target));
    let Some(open) = open else {
        if let (Some(a), Some(b)) = (product(x)?, product(&shape)?)
            && a != b
        {
            return Err(fail());
        }
        return Ok(Some(shape));
    };
    // Symbols on both sides cancel out; then what is left must be numbers, or one symbol alone.
    let mut left: Vec<Dim> = x.to_vec();
    let mut others: Vec<Dim> = shape.iter().enumerate().filter(|(i, _)| *i != open).map(|(_, d)| d.clone()).collect();
    others.retain(|d| match left.iter().position(|l| matches!(d, Dim::Symbol(_)) && l == d) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    });
    let Some(divisor) = product(&others)? else { return Ok(Some(shape)) };
    let (numbers, rest): (Vec<Dim>, Vec<Dim>) = left.into_iter().partition(|d| d.size().is_some());
    let total = product(&numbers)?.unwrap_or(1);
    shape[open] = match rest.as_slice() {
        [] if divisor == 0 => Dim::Unknown,
        [] if total % divisor != 0 => return Err(fail()),
        [] => Dim::Size(total / divisor),
        [one] if total == divisor && divisor != 0 => one.clone(),
        _ => Dim::Unknown,
    };
    Ok(Some(shape))
}

fn flatten(call: &Call<'_>, x: &[Dim]) -> Layout {
    let at = call.int("axis", 1);
    let split = if at == x.len() as i64 { x.len() } else { axis(at, x.len())? };
    let join = |dims: &[Dim]| -> Result<Dim, String> {
        let others: Vec<&Dim> = dims.iter().filter(|d| **d != Dim::Size(1)).collect();
        match others.as_slice() {
            [one] => Ok((*one).clone()),
            _ => Ok(product(dims)?.into()),
        }
    };
    Ok(Some(vec![join(&x[..split])?, join(&x[split..])?]))
}

fn transpose(call: &Call<'_>, x: &[Dim]) -> Layout {
    let reversed: Vec<i64> = (0..x.len() as i64).rev().collect();
    let order = call.ints("perm").unwrap_or(&reversed);
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.len() as i64) {
        return Err(format!("perm is {order:?}; expected an order of the {} axes of {}", x.len(), text(x)));
    }
    Ok(Some(order.iter().map(|i| x[*i as usize].clone()).collect()))
}

fn squeeze(call: &Call<'_>, x: &[Dim]) -> Layout {
    let given = call.has(1) || call.ints("axes").is_some();
    let axes = if given {
        let Some(axes) = call.axes(1) else { return Ok(None) };
        axes.iter().map(|a| axis(*a, x.len())).collect::<Result<Vec<_>, _>>()?
    } else if x.iter().all(|d| d.size().is_some()) {
        (0..x.len()).filter(|i| x[*i] == Dim::Size(1)).collect()
    } else {
        return Ok(None);
    };
    if let Some(a) = axes.iter().find(|a| x[**a].size().is_some_and(|n| n != 1)) {
        return Err(format!("axis {a} of shape {}; expected a dimension of 1", text(x)));
    }
    Ok(Some(x.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone()).collect()))
}

fn unsqueeze(call: &Call<'_>, x: &[Dim]) -> Layout {
    let Some(axes) = call.axes(1) else { return Ok(None) };
    let rank = x.len() + axes.len();
    let mut places = axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    if places.windows(2).any(|w| w[0] == w[1]) {
        return Err(format!("axes {axes:?}; expected each once"));
    }
    let mut shape = x.to_vec();
    for place in places {
        shape.insert(place, Dim::Size(1));
    }
    Ok(Some(shape))
}

fn expand(call: &Call<'_>) -> Outcome {
    let shape = match (call.shape(0), call.contents(1)) {
        (Some(x), Some(target)) => Some(broadcast(x, target)?),
        _ => None,
    };
    one(call.element(0), shape)
}

fn tile(call: &Call<'_>, x: &[Dim]) -> Layout {
    let Some(repeats) = call.contents(1) else { return Ok(Some(vec![Dim::Unknown; x.len()])) };
    if repeats.len() != x.len() {
        return Err(format!("repeats {}; expected {} numbers", text(repeats), x.len()));
    }
    let each = x.iter().zip(repeats).map(|(d, n)| match (d.size(), n.size()) {
        (Some(d), Some(n)) => d.checked_mul(n).map(Dim::Size).ok_or_else(overflow),
        (None, Some(1)) => Ok(d.clone()),
        _ => Ok(Dim::Unknown),
    });
    Ok(Some(each.collect::<Result<_, _>>()?))
}

fn pad(call: &Call<'_>, x: &[Dim]) -> Layout {
    let pads = if call.has(1) { call.numbers(1) } else { call.ints("pads").map(<[i64]>::to_vec) };
    let axes = if call.has(3) { call.numbers(3) } else { Some((0..x.len() as i64).collect()) };
    let (Some(pads), Some(axes)) = (pads, axes) else { return Ok(Some(vec![Dim::Unknown; x.len()])) };
    if pads.len() != 2 * axes.len() {
        return Err(format!("pads {pads:?}; expected {} numbers", 2 * axes.len()));
    }
    let mut shape = x.to_vec();
    for (k, a) in axes.iter().enumerate() {
        let dim = &mut shape[axis(*a, x.len())?];
        let more = pads[k].checked_add(pads[axes.len() + k]).ok_or_else(overflow)?;
        if more != 0 {
            let padded = dim.size().map(|d| d.checked_add(more).ok_or_else(overflow)).transpose()?;
            if padded.is_some_and(|d| d < 0) {
                return Err(format!("pads {pads:?} cut more from {} than there is", text(x)));
            }
            *dim = padded.into();
        }
    }
    Ok(Some(shape))
}

/// By scales or by sizes; scales round down.
fn resize(call: &Call<'_>, x: &[Dim]) -> Layout {
    let unknown = Ok(Some(vec![Dim::Unknown; x.len()]));
    let whole = (0..x.len() as i64).collect::<Vec<_>>();
    let resized = call.ints("axes").unwrap_or(&whole);
    let mut shape = x.to_vec();
    if call.has(3) {
        let Some(target) = call.contents(3) else { return unknown };
        // Other policies round to the aspect ratio in their own ways.
        if target.len() != resized.len() || !matches!(call.text("keep_aspect_ratio_policy"), "" | "stretch") {
            return unknown;
        }
        for (a, size) in resized.iter().zip(target) {
            shape[axis(*a, x.len())?] = size.clone();
        }
        return Ok(Some(shape));
    }
    let at = if call.node.op_type == "Upsample" { 1 } else { 2 };
    let Some(tensor) = call.tensor(at).filter(|t| is_float(t)) else { return unknown };
    let scales = floats(tensor).map_err(|e| e.to_string())?;
    if scales.len() != resized.len() {
        return unknown;
    }
    for (a, scale) in resized.iter().zip(scales) {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("a scale of {scale}; expected a positive number"));
        }
        let dim = &mut shape[axis(*a, x.len())?];
        // 1, bit for bit.
        if scale.to_bits() == 1.0_f32.to_bits() {
            continue;
        }
        // In float32, as ONNX Runtime calculates it.
        let length = dim.size().map(|d| d as f32 * scale);
        if length.is_some_and(|s| s > i64::MAX as f32 / 2.0) {
            return Err(overflow());
        }
        *dim = length.map(|s| s as i64).into();
    }
    Ok(Some(shape))
}

#[expect(clippy::many_single_char_names, reason = "the layout's own names")]
fn blocks(call: &Call<'_>, x: &[Dim], to_space: bool) -> Layout {
    let [n, c, h, w] = x else { return Err(format!("an input of shape {}; expected (N, channels, H, W)", text(x))) };
    let block = call.int("blocksize", 0);
    let square = block.checked_mul(block).filter(|_| block > 0);
    let square = square.ok_or_else(|| format!("blocksize is {block}; expected a small positive number"))?;
    let divided = |d: &Dim, by: i64| match d.size() {
        Some(d) if d % by != 0 => Err(format!("{d} of shape {} is no multiple of {by}", text(x))),
        d => Ok(Dim::from(d.map(|d| d / by))),
    };
    let multiplied = |d: &Dim, by: i64| -> Result<Dim, String> {
        Ok(d.size().map(|d| d.checked_mul(by).ok_or_else(overflow)).transpose()?.into())
    };
    Ok(Some(if to_space {
        vec![n.clone(), divided(c, square)?, multiplied(h, block)?, multiplied(w, block)?]
    } else {
        vec![n.clone(), multiplied(c, square)?, divided(h, block)?, divided(w, block)?]
    }))
}
