//! Convolutions and pools.

use super::call::{Call, Outcome, one};
use super::dim::{overflow, same, text};
use super::{Dim, ValueType};
use crate::proto::tensor_proto::DataType;

pub(super) fn infer(call: &Call<'_>) -> Option<Outcome> {
    Some(match call.node.op_type.as_str() {
        "Conv" => conv(call, 1, call.element(0)),
        "ConvInteger" => conv(call, 1, Some(DataType::Int32)),
        "QLinearConv" => conv(call, 3, call.element(7)),
        "ConvTranspose" => conv_transpose(call),
        "MaxPool" | "AveragePool" | "LpPool" => pool(call),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => global(call),
        _ => return None,
    })
}

/// The attributes that all of them share, one entry for each spatial axis.
struct Windows {
    kernel: Vec<Dim>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    begin: Vec<i64>,
    end: Vec<i64>,
}

impl Windows {
    fn new(call: &Call<'_>, kernel: Vec<Dim>) -> Result<Self, String> {
        let axes = kernel.len();
        let list = |name: &str, axes: usize, default: i64, least: i64| -> Result<Vec<i64>, String> {
            let found = call.ints(name).map_or_else(|| vec![default; axes], <[i64]>::to_vec);
            if found.len() == axes && found.iter().all(|n| *n >= least) {
                return Ok(found);
            }
            Err(format!("{name} is {found:?}; expected {axes} numbers of at least {least}"))
        };
        // Negative padding cuts off: the standard does not rule it out.
        let pads = list("pads", 2 * axes, 0, i64::MIN)?;
        let (begin, end) = pads.split_at(axes);
        Ok(Self {
            strides: list("strides", axes, 1, 1)?,
            dilations: list("dilations", axes, 1, 1)?,
            begin: begin.to_vec(),
            end: end.to_vec(),
            kernel,
        })
    }

    /// The size that a kernel covers, with its gaps.
    fn reach(&self, axis: usize) -> Result<Option<i64>, String> {
        let Some(kernel) = self.kernel[axis].size() else { return Ok(None) };
        let gaps = kernel.checked_sub(1).and_then(|n| n.checked_mul(self.dilations[axis]));
        gaps.and_then(|n| n.checked_add(1)).map(Some).ok_or_else(overflow)
    }

    /// The size that windows over `size` give.
    fn slide(&self, axis: usize, size: &Dim, auto_pad: &str, ceil: bool) -> Result<Dim, String> {
        let stride = self.strides[axis];
        if stride == 1 && matches!(auto_pad, "SAME_UPPER" | "SAME_LOWER") {
            return Ok(size.clone());
        }
        let Some(size) = size.size() else { return Ok(Dim::Unknown) };
        let up = |n: i64| n.checked_add(stride - 1).map(|n| n.div_euclid(stride)).ok_or_else(overflow);
        if matches!(auto_pad, "SAME_UPPER" | "SAME_LOWER") {
            return Ok(Dim::Size(up(size)?));
        }
        let Some(reach) = self.reach(axis)? else { return Ok(Dim::Unknown) };
        let (begin, end) = if auto_pad == "VALID" { (0, 0) } else { (self.begin[axis], self.end[axis]) };
        let padded = size.checked_add(begin).and_then(|n| n.checked_add(end)).ok_or_else(overflow)?;
        let free = padded.checked_sub(reach).ok_or_else(overflow)?;
        if free < 0 {
            return Err(format!("a window of {reach} on axis {} of {padded}, padding included", axis + 2));
        }
        let steps = if ceil { up(free)? } else { free / stride };
        let mut windows = steps.checked_add(1).ok_or_else(overflow)?;
        // A window that starts in the padding at the end is none.
        if ceil && (windows - 1).checked_mul(stride).ok_or_else(overflow)? >= size + begin {
            windows -= 1;
        }
        Ok(Dim::Size(windows))
    }
}

fn spatial<'c>(call: &Call<'c>, i: usize) -> Result<Option<&'c [Dim]>, String> {
    match call.shape(i) {
        Some(shape) if shape.len() < 3 => {
            Err(format!("input {i} has shape {}; expected (N, channels, at least one axis)", text(shape)))
        }
        shape => Ok(shape),
    }
}

fn channels(call: &Call<'_>, input: &Dim, weight: &Dim, group: i64) -> Result<(), String> {
    if group < 1 {
        return Err(format!("group is {group}; expected at least 1"));
    }
    let (Some(input), Some(weight)) = (input.size(), weight.size()) else { return Ok(()) };
    if weight.checked_mul(group).ok_or_else(overflow)? == input {
        return Ok(());
    }
    let label = &call.node.op_type;
    Err(format!("{input} input channels; expected {weight} for each of {group} groups by the weight of the {label}"))
}

fn conv(call: &Call<'_>, weight_at: usize, element: Option<DataType>) -> Outcome {
    let (Some(x), Some(w)) = (spatial(call, 0)?, spatial(call, weight_at)?) else { return one(element, None) };
    if x.len() != w.len() {
        return Err(format!("an input of shape {} and a weight of shape {}; expected equal ranks", text(x), text(w)));
    }
    channels(call, &x[1], &w[1], call.int("group", 1))?;
    let windows = Windows::new(call, kernel(call, &w[2..])?)?;
    let mut shape = vec![x[0].clone(), w[0].clone()];
    for axis in 0..x.len() - 2 {
        shape.push(windows.slide(axis, &x[axis + 2], call.text("auto_pad"), false)?);
    }
    one(element, Some(shape))
}

/// The weight's, which the attribute may only repeat.
fn kernel(call: &Call<'_>, weight: &[Dim]) -> Result<Vec<Dim>, String> {
    let Some(declared) = call.ints("kernel_shape") else { return Ok(weight.to_vec()) };
    let merged: Option<Vec<Dim>> = (declared.len() == weight.len())
        .then(|| declared.iter().zip(weight).map(|(d, w)| same(&Dim::Size(*d), w)).collect())
        .flatten();
    merged.ok_or_else(|| format!("kernel_shape is {declared:?}; expected {}, as the weight has", text(weight)))
}

fn conv_transpose(call: &Call<'_>) -> Outcome {
    let element = call.element(0);
    let (Some(x), Some(w)) = (spatial(call, 0)?, spatial(call, 1)?) else { return one(element, None) };
    if x.len() != w.len() {
        return Err(format!("an input of shape {} and a weight of shape {}; expected equal ranks", text(x), text(w)));
    }
    let group = call.int("group", 1);
    channels(call, &x[1], &w[0], 1)?;
    if group < 1 {
        return Err(format!("group is {group}; expected at least 1"));
    }
    let windows = Windows::new(call, kernel(call, &w[2..])?)?;
    let axes = x.len() - 2;
    let out_channels = w[1].size().map(|n| n.checked_mul(group).ok_or_else(overflow)).transpose()?;
    let mut shape = vec![x[0].clone(), out_channels.into()];
    let extra = call.ints("output_padding").unwrap_or(&[]);
    let wanted = call.ints("output_shape").filter(|s| !s.is_empty());
    for axis in 0..axes {
        if let Some(wanted) = wanted {
            // Some exporters give the whole shape, batch and channels included.
            let skip = wanted.len().saturating_sub(axes);
            shape.push(wanted.get(skip + axis).copied().into());
            continue;
        }
        let (Some(size), Some(reach)) = (x[axis + 2].size(), windows.reach(axis)?) else {
            shape.push(Dim::Unknown);
            continue;
        };
        let stride = windows.strides[axis];
        let same_size = matches!(call.text("auto_pad"), "SAME_UPPER" | "SAME_LOWER");
        let grown = if same_size {
            size.checked_mul(stride)
        } else {
            (size - 1)
                .checked_mul(stride)
                .and_then(|n| n.checked_add(reach))
                .and_then(|n| n.checked_add(extra.get(axis).copied().unwrap_or(0)))
                .and_then(|n| n.checked_sub(windows.begin[axis]))
                .and_then(|n| n.checked_sub(windows.end[axis]))
        };
        let grown = grown.ok_or_else(overflow)?;
        if grown < 0 {
            return Err(format!("a result of {grown} on axis {}; expected at least 0", axis + 2));
        }
        shape.push(Dim::Size(grown));
    }
    one(element, Some(shape))
}

fn pool(call: &Call<'_>) -> Outcome {
    let element = call.element(0);
    let Some(x) = spatial(call, 0)? else { return Ok(vec![ValueType::new(element, None); 2]) };
    let kernel = call.ints("kernel_shape").unwrap_or(&[]);
    if kernel.len() != x.len() - 2 || kernel.iter().any(|k| *k < 1) {
        return Err(format!("kernel_shape is {kernel:?}; expected {} numbers of at least 1", x.len() - 2));
    }
    let windows = Windows::new(call, kernel.iter().copied().map(Dim::Size).collect())?;
    let mut shape = x[..2].to_vec();
    for axis in 0..kernel.len() {
        shape.push(windows.slide(axis, &x[axis + 2], call.text("auto_pad"), call.int("ceil_mode", 0) != 0)?);
    }
    Ok(vec![ValueType::new(element, Some(shape.clone())), ValueType::new(Some(DataType::Int64), Some(shape))])
}

fn global(call: &Call<'_>) -> Outcome {
    let shape = call
        .shape(0)
        .map(|x| x.iter().enumerate().map(|(i, d)| if i < 2 { d.clone() } else { Dim::Size(1) }).collect());
    one(call.element(0), shape)
}
