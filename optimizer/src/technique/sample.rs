use faer::MatRef;

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::{Engine, Session};
use crate::onnx::Graph;
use crate::passes::{Form, Layer, Moments, cut};

/// All activations of a batch are in memory at once.
const BATCH: usize = 16;
/// Of one layer: 128 MiB of what it reads.
const MAX_VALUES: usize = 1 << 25;
const MAX_SAMPLES: usize = 1 << 15;

/// What one layer reads and what it should give, at positions spread over all inputs.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub count: usize,
    /// (count, groups × columns), row-major.
    pub inputs: Vec<f32>,
    /// (count, rows)
    pub targets: Vec<f32>,
    /// (count, rows), or empty.
    pub added: Vec<f32>,
}

/// Where to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'p> {
    pub layer: &'p Layer,
    /// Value of the original graph.
    pub target: &'p str,
    /// Value of the graph at hand that the layer's output is added to.
    pub added: Option<&'p str>,
    /// Channels of the target that the layer still has; all where it is none.
    pub kept: Option<&'p [usize]>,
}

/// Runs both graphs on the calibration data.
pub(super) fn sample(
    engine: &Engine,
    original: &Graph,
    graph: &Graph,
    places: Places<'_>,
    data: &Dataset,
    images: usize,
) -> Result<Samples, Error> {
    let Places { layer, target, added, kept } = places;
    let is_made = |name: &str| graph.index().producer(name).is_some();
    let mut wanted: Vec<&str> = [Some(layer.input.as_str()), added].into_iter().flatten().collect();
    wanted.retain(|name| is_made(name));
    let mut reference = open(engine, original, &[target])?;
    // The first layer reads the input itself.
    let mut session = if wanted.is_empty() { None } else { Some(open(engine, graph, &wanted)?) };

    let per_item = per_item(layer, images);
    let mut samples = Samples::default();
    let all: Vec<usize> = (0..layer.rows).collect();
    let kept = kept.unwrap_or(&all);
    data.batches(images, BATCH, |batch| {
        let mut spread: Vec<(usize, usize)> = Vec::new();
        let mut wide = 1;
        reference.run(batch.shape, batch.data, [target], |_, shape, values| {
            let positions = layer.positions(shape);
            wide = shape.get(3).copied().unwrap_or(1) as usize;
            spread = (0..batch.count)
                .flat_map(|item| (0..positions.min(per_item)).map(move |i| (item, i)))
                .map(|(item, i)| (item, place(batch.start + item, i, positions, per_item)))
                .collect();
            channels(&layer.form, shape, values, &spread, kept, &mut samples.targets);
        })?;
        samples.count += spread.len();
        let mut gather = |shape: &[i64], values: &[f32]| {
            for &(item, position) in &spread {
                layer.gather(shape, values, wide, item, position, &mut samples.inputs);
            }
        };
        if !is_made(&layer.input) {
            gather(batch.shape, batch.data);
        }
        if let Some(session) = &mut session {
            session.run(batch.shape, batch.data, wanted.iter().copied(), |name, shape, values| {
                if name == layer.input {
                    gather(shape, values);
                }
                if Some(name) == added {
                    channels(&layer.form, shape, values, &spread, &all, &mut samples.added);
                }
            })?;
        }
        Ok::<(), Error>(())
    })?;
    Ok(samples)
}

/// One thread: how a sum is split over threads changes its last bits.
pub(super) fn open(engine: &Engine, graph: &Graph, values: &[&str]) -> Result<Session, Error> {
    Ok(engine.open(&cut(graph, values).encode(), 1)?)
}

/// Positions to read of each input.
fn per_item(layer: &Layer, images: usize) -> usize {
    let width = layer.columns * layer.groups();
    MAX_SAMPLES.min(MAX_VALUES / width.max(1)).max(1).div_ceil(images.max(1))
}

/// The `i`th of `per_item` positions, spread evenly and elsewhere for each item.
fn place(item: usize, i: usize, positions: usize, per_item: usize) -> usize {
    if positions <= per_item {
        return i;
    }
    (i * positions / per_item + item * 7919) % positions
}

/// Appends these channels at each position.
fn channels(
    form: &Form,
    shape: &[i64],
    values: &[f32],
    spread: &[(usize, usize)],
    channels: &[usize],
    to: &mut Vec<f32>,
) {
    let items = shape.first().copied().unwrap_or(1).max(1) as usize;
    let axis = if matches!(form, Form::Conv(_)) { 1 } else { shape.len().saturating_sub(1) };
    let count = shape.get(axis).copied().unwrap_or(1).max(1) as usize;
    let positions = values.len() / (items * count);
    for &(item, position) in spread {
        let at = |channel: usize| match form {
            Form::Conv(_) => (item * count + channel) * positions + position,
            Form::Dense { .. } => (item * positions + position) * count + channel,
        };
        to.extend(channels.iter().map(|c| values[at(*c)]));
    }
}

/// Mean and covariance of what each layer reads. One group only.
pub(super) fn inputs(
    engine: &Engine,
    graph: &Graph,
    layers: &[(&Layer, Vec<i64>)],
    data: &Dataset,
    images: usize,
) -> Result<Vec<Moments>, Error> {
    let mut names: Vec<&str> = layers.iter().map(|(l, _)| l.input.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let index = graph.index();
    let (made, fed): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|n| index.producer(n).is_some());
    let mut session = if made.is_empty() { None } else { Some(open(engine, graph, &made)?) };
    let mut moments: Vec<Moments> = layers.iter().map(|(l, _)| Moments::new(l.columns)).collect();
    let mut rows = Vec::new();
    data.batches(images, BATCH, |batch| {
        let mut read = |name: &str, shape: &[i64], values: &[f32]| {
            for ((layer, output), moments) in layers.iter().zip(&mut moments).filter(|((l, _), _)| l.input == name) {
                let positions = layer.positions(output);
                let wide = output.get(3).copied().unwrap_or(1) as usize;
                let per_item = per_item(layer, images);
                rows.clear();
                for item in 0..batch.count {
                    for i in 0..positions.min(per_item) {
                        let at = place(batch.start + item, i, positions, per_item);
                        layer.gather(shape, values, wide, item, at, &mut rows);
                    }
                }
                moments.add(MatRef::from_row_major_slice(&rows, rows.len() / layer.columns, layer.columns));
            }
        };
        for name in &fed {
            read(name, batch.shape, batch.data);
        }
        if let Some(session) = &mut session {
            session.run(batch.shape, batch.data, made.iter().copied(), read)?;
        }
        Ok::<(), Error>(())
    })?;
    Ok(moments)
}
