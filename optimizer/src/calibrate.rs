//! Runs the float model on calibration data and finds the range of each activation.

mod histogram;

use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::{Calibration, Quantize};

use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::error::Error;
use crate::onnx::Graph;
use crate::passes::{ChannelAxis, Ranges, Selection};
use crate::progress::Progress;
use crate::proto::tensor_proto::DataType;
use crate::proto::{TypeProto, ValueInfoProto, type_proto};
pub use histogram::Histogram;

/// All activations of a batch are in memory at once.
const BATCH: usize = 8;

/// Finds what [`crate::passes::quantize`] needs to know of `graph`. Memory does not grow with the number of images.
///
/// One thread: how a sum is split over threads changes its last bits, and the same inputs must give the same model.
pub fn calibrate(
    engine: &Engine,
    graph: &Graph,
    selection: &Selection,
    data: &Dataset,
    options: &Quantize,
    progress: &mut Progress,
) -> Result<Ranges, Error> {
    let wanted = selection.calibrated();
    let input = graph.index();
    let from_input = |name: &str| input.producer(name).is_none();
    let made: Vec<&str> =
        wanted.iter().copied().filter(|n| !from_input(n) && input.initializer(graph, n).is_none()).collect();
    let fed: Vec<&str> =
        wanted.iter().copied().filter(|n| from_input(n) && input.initializer(graph, n).is_none()).collect();

    let mut session = engine.open(&with_outputs(graph, &made).encode(), 1)?;
    let mut collectors: BTreeMap<&str, Collector> = wanted.iter().map(|name| (*name, Collector::default())).collect();
    let mut means: BTreeMap<(&str, ChannelAxis), Means> = BTreeMap::new();
    if options.bias_correction {
        means.extend(selection.multiplied(graph).into_iter().map(|key| (key, Means::default())));
    }
    let images = if options.images == 0 { data.len() } else { data.len().min(options.images as usize) };
    data.batches(images, BATCH, |batch| {
        let mut read = |name: &str, shape: &[i64], values: &[f32]| {
            if let Some(collector) = collectors.get_mut(name) {
                collector.add(values, options.calibration);
            }
            for ((_, axis), mean) in means.iter_mut().filter(|((of, _), _)| *of == name) {
                mean.add(shape, values, *axis);
            }
        };
        for name in &fed {
            read(name, batch.shape, batch.data);
        }
        session.run(batch.shape, batch.data, made.iter().copied(), read)?;
        progress.step("calibrate", batch.start + batch.count, images, "images");
        Ok::<(), Error>(())
    })?;

    let ranges = collectors.into_iter().filter_map(|(name, c)| Some((name.to_owned(), c.range(options)?))).collect();
    let means = means.into_iter().map(|((name, axis), m)| ((name.to_owned(), axis), m.means())).collect();
    Ok(Ranges { ranges, means })
}

/// The graph with these values as outputs too.
fn with_outputs(graph: &Graph, values: &[&str]) -> Graph {
    let mut graph = graph.clone();
    let known: BTreeSet<String> = graph.body.output.iter().map(|o| o.name.clone()).collect();
    for value in values.iter().filter(|v| !known.contains(**v)) {
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
        graph.body.output.push(ValueInfoProto {
            name: (*value).to_owned(),
            r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
            ..ValueInfoProto::default()
        });
    }
    graph
}

#[derive(Debug, Default)]
struct Collector {
    seen: Option<(f32, f32)>,
    histogram: Histogram,
    not_finite: bool,
}

impl Collector {
    fn add(&mut self, values: &[f32], calibration: Calibration) {
        let (min, max) = extent(values);
        if !(min.is_finite() && max.is_finite()) {
            self.not_finite |= !values.is_empty();
            return;
        }
        let (low, high) = self.seen.unwrap_or((min, max));
        self.seen = Some((low.min(min), high.max(max)));
        if calibration == Calibration::Percentile {
            self.histogram.add(values, min, max);
        }
    }

    fn range(&self, options: &Quantize) -> Option<(f32, f32)> {
        if self.not_finite {
            return Some((f32::NAN, f32::NAN));
        }
        match options.calibration {
            Calibration::MinMax => self.seen,
            Calibration::Percentile => self.histogram.range(options.percentile),
        }
    }
}

/// Smallest and largest value; NaN if there is one among them.
fn extent(values: &[f32]) -> (f32, f32) {
    // Eight lanes that the compiler turns into vector instructions. A NaN is lost by min and max, but not by the sum.
    let (chunks, rest) = values.as_chunks::<8>();
    let mut low = [f32::INFINITY; 8];
    let mut high = [f32::NEG_INFINITY; 8];
    let mut zero = [0.0_f32; 8];
    for chunk in chunks {
        for lane in 0..8 {
            low[lane] = if chunk[lane] < low[lane] { chunk[lane] } else { low[lane] };
            high[lane] = if chunk[lane] > high[lane] { chunk[lane] } else { high[lane] };
            zero[lane] += chunk[lane] * 0.0;
        }
    }
    let all = low.iter().chain(rest).fold(f32::INFINITY, |a, b| a.min(*b));
    let most = high.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let poison: f32 = zero.iter().sum::<f32>() + rest.iter().map(|v| v * 0.0).sum::<f32>();
    if poison.is_nan() { (f32::NAN, f32::NAN) } else { (all, most) }
}

/// The mean of each channel, as data comes.
#[derive(Debug, Default)]
struct Means {
    sums: Vec<f64>,
    count: u64,
}

impl Means {
    fn add(&mut self, shape: &[i64], values: &[f32], axis: ChannelAxis) {
        let at = match axis {
            ChannelAxis::Second => 1,
            ChannelAxis::Last => shape.len().saturating_sub(1),
        };
        let (Some(&channels), true) = (shape.get(at), !values.is_empty()) else { return };
        let channels = channels as usize;
        let inner = shape[at + 1..].iter().product::<i64>() as usize;
        self.sums.resize(channels.max(self.sums.len()), 0.0);
        for (i, run) in values.chunks(inner.max(1)).enumerate() {
            self.sums[i % channels] += run.iter().map(|v| f64::from(*v)).sum::<f64>();
        }
        self.count += (values.len() / channels) as u64;
    }

    fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|s| s / self.count.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents() {
        let many: Vec<f32> = (-5..20_i16).map(f32::from).collect();
        assert_eq!(extent(&many), (-5.0, 19.0));
        assert_eq!(extent(&[2.0]), (2.0, 2.0));
        for at in [0, 7, 24] {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut values = many.clone();
                values[at] = bad;
                assert!(extent(&values).0.is_nan(), "{bad} at {at}");
            }
        }
    }

    #[test]
    fn means_along_both_axes() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        for (axis, shape, expected) in [
            (ChannelAxis::Second, &[2, 2, 2][..], vec![3.5, 5.5]),
            (ChannelAxis::Last, &[4, 2], vec![4.0, 5.0]),
            (ChannelAxis::Second, &[1, 8], values.iter().map(|v| f64::from(*v)).collect()),
        ] {
            let mut means = Means::default();
            means.add(shape, &values, axis);
            assert_eq!(means.means(), expected, "{axis:?} of {shape:?}");
        }
    }
}
