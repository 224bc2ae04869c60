use super::Source;
use crate::error::Error;
use crate::onnx::Graph;

/// Images that noise is measured on: their float results are kept.
const IMAGES: usize = 64;

/// The float results of some images, and how far others are from them.
#[derive(Debug)]
pub struct Noise<'a> {
    source: &'a Source<'a>,
    outputs: Vec<String>,
    float: Vec<Vec<f32>>,
}

impl<'a> Noise<'a> {
    /// Of the graph's outputs.
    pub fn new(source: &'a Source<'a>, graph: &Graph) -> Result<Self, Error> {
        let outputs = graph.body.output.iter().map(|o| o.name.clone()).collect();
        let mut noise = Self { source, outputs, float: Vec::new() };
        let mut float = Vec::new();
        noise.run(graph, |_, values| float.push(values.to_vec()))?;
        noise.float = float;
        Ok(noise)
    }

    /// Signal-to-quantization-noise ratio of another graph's results: 10·log₁₀(Σf² / Σ(f-q)²) dB; infinite where they
    /// are equal.
    pub fn sqnr(&self, graph: &Graph) -> Result<f64, Error> {
        let (mut signal, mut noise) = (0.0, 0.0);
        self.run(graph, |i, values| {
            for (f, q) in self.float.get(i).into_iter().flatten().zip(values) {
                let (f, q) = (f64::from(*f), f64::from(*q));
                signal += f * f;
                noise += (f - q) * (f - q);
            }
        })?;
        Ok(10.0 * (signal / noise).log10())
    }

    fn run(&self, graph: &Graph, mut read: impl FnMut(usize, &[f32])) -> Result<(), Error> {
        let mut session = self.source.open(graph)?;
        let mut i = 0;
        self.source.data.batches(self.source.images().min(IMAGES), super::BATCH, |batch| {
            let names = self.outputs.iter().map(String::as_str);
            session.run(batch.shape, batch.data, names, |_, _, values| {
                read(i, values);
                i += 1;
            })?;
            Ok::<(), Error>(())
        })
    }
}
