use super::Source;
use crate::error::Error;
use crate::onnx::Graph;
use crate::passes::cut;

/// Images that noise is measured on: their float results are kept.
const IMAGES: usize = 64;

/// The float results of some images, and how far others are from them.
#[derive(Debug)]
pub struct Noise<'a> {
    source: &'a Source<'a>,
    values: Vec<String>,
    /// Each of the values for itself, the noisiest counting; false: all of them together.
    apart: bool,
    float: Vec<Vec<f32>>,
}

impl<'a> Noise<'a> {
    /// Of the graph's outputs.
    pub fn new(source: &'a Source<'a>, graph: &Graph) -> Result<Self, Error> {
        Self::of(source, graph, graph.body.output.iter().map(|o| o.name.clone()).collect(), false)
    }

    /// Of these values, each for itself: that of the noisiest is what counts.
    pub fn of_each(source: &'a Source<'a>, graph: &Graph, values: Vec<String>) -> Result<Self, Error> {
        Self::of(source, graph, values, true)
    }

    fn of(source: &'a Source<'a>, graph: &Graph, values: Vec<String>, apart: bool) -> Result<Self, Error> {
        let mut noise = Self { source, values, apart, float: Vec::new() };
        let mut float = Vec::new();
        noise.run(graph, |_, values| float.push(values.to_vec()))?;
        noise.float = float;
        Ok(noise)
    }

    /// Signal-to-quantization-noise ratio of another graph's results: 10·log₁₀(Σf² / Σ(f-q)²) dB; infinite where they
    /// are equal.
    pub fn sqnr(&self, graph: &Graph) -> Result<f64, Error> {
        let groups = if self.apart { self.values.len() } else { 1 };
        let mut sums = vec![(0.0, 0.0); groups];
        self.run(graph, |i, values| {
            let (signal, noise) = &mut sums[i % groups];
            for (f, q) in self.float.get(i).into_iter().flatten().zip(values) {
                let (f, q) = (f64::from(*f), f64::from(*q));
                *signal += f * f;
                *noise += (f - q) * (f - q);
            }
        })?;
        let decibels = |(signal, noise): &(f64, f64)| match 10.0 * (signal / noise).log10() {
            _ if *noise == 0.0 => f64::INFINITY,
            found if found.is_nan() => f64::NEG_INFINITY,
            found => found,
        };
        Ok(sums.iter().map(decibels).fold(f64::INFINITY, f64::min))
    }

    /// Calls `read` with each of the values in turn, batch after batch.
    fn run(&self, graph: &Graph, mut read: impl FnMut(usize, &[f32])) -> Result<(), Error> {
        let names: Vec<&str> = self.values.iter().map(String::as_str).collect();
        let mut session = if self.apart { self.source.open(&cut(graph, &names))? } else { self.source.open(graph)? };
        let mut i = 0;
        self.source.data.batches(self.source.images().min(IMAGES), super::BATCH, |batch| {
            session.run(batch.shape, batch.data, names.iter().copied(), |_, _, values| {
                read(i, values);
                i += 1;
            })?;
            Ok::<(), Error>(())
        })
    }
}
