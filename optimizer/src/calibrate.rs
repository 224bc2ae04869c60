//! Runs models on calibration data and finds what the passes need to know of it.
//!
//! Everything is collected as data flows: memory does not grow with the number of images. One thread: how a sum is split
//! over threads changes its last bits, and the same inputs must give the same model.

mod extent;
mod gram;
mod histogram;
mod means;
mod noise;
mod spread;
mod threshold;
mod walk;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::{Calibration, Quantize};

use crate::dataset::Dataset;
use crate::engine::{Engine, Session};
use crate::error::Error;
use crate::onnx::{Graph, float_value};
use crate::passes::{Extents, Gram, Mean, Selection, Spread};
use crate::progress::Progress;
use extent::ExtentCollector;
use gram::{GramCollector, Multiply};
pub use histogram::Histogram;
use means::MeanCollector;
pub use noise::Noise;
use spread::SpreadCollector;
pub use threshold::{least_divergence, least_error};
pub use walk::Walk;
use window::Window;

/// All activations of a batch are in memory at once.
const BATCH: usize = 8;
/// Bytes of second moments that are collected in one pass over the data.
const GRAM_BYTES: usize = 64 << 20;

/// The data that a model is calibrated on.
#[derive(Debug)]
pub struct Source<'a> {
    pub engine: &'a Engine,
    pub data: &'a Dataset,
    /// At most so many; 0: all.
    pub images: u32,
}

impl Source<'_> {
    fn images(&self) -> usize {
        self.data.at_most(self.images)
    }

    /// By way of files, which the engine maps.
    fn open(&self, graph: &Graph) -> Result<Session, Error> {
        let failed = |source: std::io::Error| Error::Write { what: "a model in TMPDIR".into(), source };
        let directory = tempfile::tempdir().map_err(failed)?;
        let model = graph.write(directory.path()).map_err(failed)?;
        Ok(self.engine.open_file(&model, 1)?)
    }

    /// Hands each of the values, for each batch, to `read`: name, shape, values.
    fn read<'v>(
        &self,
        graph: &Graph,
        values: &BTreeSet<&'v str>,
        progress: &mut Progress,
        mut read: impl FnMut(&'v str, &[i64], &[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let index = graph.index();
        let variable = values.iter().copied().filter(|n| index.initializer(graph, n).is_none());
        let (made, fed): (Vec<&str>, Vec<&str>) = variable.partition(|n| index.producer(n).is_some());
        let mut session = self.open(&with_outputs(graph, &made))?;
        let images = self.images();
        self.data.batches(images, BATCH, |batch| {
            for name in &fed {
                read(name, batch.shape, batch.data)?;
            }
            let mut outcome = Ok(());
            session.run(batch.shape, batch.data, made.iter().copied(), |name, shape, values| {
                if outcome.is_ok() {
                    outcome = read(name, shape, values);
                }
            })?;
            progress.step("calibrate", batch.start + batch.count, images, "images");
            outcome
        })
    }

    /// The extent of each activation that is to be quantized.
    pub fn extents(&self, graph: &Graph, selection: &Selection, progress: &mut Progress) -> Result<Extents, Error> {
        let wanted = selection.calibrated();
        let mut collectors: BTreeMap<&str, ExtentCollector> =
            wanted.iter().map(|name| (*name, ExtentCollector::default())).collect();
        self.read(graph, &wanted, progress, |name, shape, values| {
            if let Some(collector) = collectors.get_mut(name) {
                collector.add(shape, values);
            }
            Ok(())
        })?;
        Ok(collectors.into_iter().filter_map(|(name, c)| Some((name.to_owned(), c.finish()?))).collect())
    }

    /// The range to represent of each activation. `extents` must be of this very graph.
    pub fn ranges(
        &self,
        graph: &Graph,
        extents: &Extents,
        options: &Quantize,
        progress: &mut Progress,
    ) -> Result<BTreeMap<String, (f32, f32)>, Error> {
        let seen: BTreeMap<String, (f32, f32)> =
            extents.iter().map(|(name, extent)| (name.clone(), extent.range())).collect();
        let range: fn(&Histogram, f64) -> Option<(f32, f32)> = match options.calibration {
            Calibration::MinMax => return Ok(seen),
            Calibration::Percentile => Histogram::range,
            Calibration::Entropy => |h, _| least_divergence(h),
            Calibration::Mse => |h, _| least_error(h),
        };
        // What is not finite stays so, for the rewrite to refuse.
        let wanted: BTreeSet<&str> =
            seen.iter().filter(|(_, r)| r.0.is_finite()).map(|(name, _)| name.as_str()).collect();
        let mut histograms: BTreeMap<&str, Histogram> =
            wanted.iter().map(|name| (*name, Histogram::default())).collect();
        self.read(graph, &wanted, progress, |name, _, values| {
            if let Some(histogram) = histograms.get_mut(name) {
                let (min, max) = extent::of(values);
                histogram.add(values, min, max);
            }
            Ok(())
        })?;
        let mut ranges = seen.clone();
        for (name, histogram) in histograms {
            if let Some(range) = range(&histogram, options.percentile) {
                ranges.insert(name.to_owned(), range);
            }
        }
        Ok(ranges)
    }

    /// The mean of each channel of each value. `values`: by name, the limits of what moves, and whether the channels are
    /// last.
    pub fn means(
        &self,
        graph: &Graph,
        values: &BTreeMap<&str, ((f32, f32), bool)>,
    ) -> Result<BTreeMap<String, Vec<Mean>>, Error> {
        let mut collectors: BTreeMap<&str, MeanCollector> =
            values.iter().map(|(name, (limits, last))| (*name, MeanCollector::new(*limits, *last))).collect();
        self.read(graph, &values.keys().copied().collect(), &mut Progress::silent(), |name, shape, values| {
            if let Some(collector) = collectors.get_mut(name) {
                collector.add(shape, values);
            }
            Ok(())
        })?;
        Ok(collectors.into_iter().map(|(name, c)| (name.to_owned(), c.means())).collect())
    }

    /// Mean and variance of each channel of each value.
    pub fn spreads(&self, graph: &Graph, values: &[String]) -> Result<BTreeMap<String, Spread>, Error> {
        let wanted: BTreeSet<&str> = values.iter().map(String::as_str).collect();
        let mut collectors: BTreeMap<&str, SpreadCollector> = BTreeMap::new();
        self.read(graph, &wanted, &mut Progress::silent(), |name, shape, values| {
            collectors.entry(name).or_default().add(shape, values);
            Ok(())
        })?;
        Ok(collectors.into_iter().map(|(name, c)| (name.to_owned(), c.finish())).collect())
    }

    /// Calls `use_grams` with the second moments of each layer's inputs, as many layers at once as memory allows.
    pub fn grams(
        &self,
        graph: &Graph,
        selection: &Selection,
        progress: &mut Progress,
        mut use_grams: impl FnMut(usize, Vec<Gram>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let index = graph.index();
        let mut multiply = Multiply::new(self.engine)?;
        let mut waiting: Vec<usize> = selection.weighted().collect();
        while !waiting.is_empty() {
            let mut bytes = 0;
            let fits = waiting.iter().take_while(|i| {
                let first = bytes == 0;
                bytes += gram_bytes(graph, **i);
                first || bytes <= GRAM_BYTES
            });
            let count = fits.count();
            let mut collectors: Vec<(usize, &str, GramCollector)> = waiting
                .drain(..count)
                .map(|i| {
                    let node = &graph.nodes()[i];
                    let collector = GramCollector::new(Window::of(graph, &index, node));
                    (i, node.input_at(0).unwrap_or_default(), collector)
                })
                .collect();
            let wanted = collectors.iter().map(|(_, name, _)| *name).collect();
            self.read(graph, &wanted, progress, |name, shape, values| {
                for (_, _, collector) in collectors.iter_mut().filter(|(_, of, _)| *of == name) {
                    collector.add(&mut multiply, shape, values)?;
                }
                Ok(())
            })?;
            for (i, _, collector) in collectors {
                use_grams(i, collector.finish(&mut multiply)?)?;
            }
        }
        Ok(())
    }
}

/// Of the second moments of a layer's inputs, by its weight's shape.
fn gram_bytes(graph: &Graph, node: usize) -> usize {
    let index = graph.index();
    let weight = graph.nodes()[node].input_at(1).and_then(|w| index.initializer(graph, w));
    let elements =
        weight.map_or(0, |w| w.dims.iter().skip(1).map(|d| *d as usize).product::<usize>().max(w.dims[0] as usize));
    elements * elements * size_of::<f32>()
}

/// The graph with these values as outputs too.
fn with_outputs(graph: &Graph, values: &[&str]) -> Graph {
    let mut graph = graph.clone();
    let known: BTreeSet<String> = graph.body.output.iter().map(|o| o.name.clone()).collect();
    for value in values.iter().filter(|v| !known.contains(**v)) {
        graph.body.output.push(float_value(value));
    }
    graph
}
