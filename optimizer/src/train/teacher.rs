use super::error::TrainError;
use crate::engine::{Engine, Session};
use crate::onnx::{Graph, signature};
use crate::passes::cut;

/// A model that ONNX Runtime runs on the batches of a training: the teacher, or the part of the student before its tape.
#[derive(Debug)]
pub(super) struct Oracle {
    session: Session,
    values: Vec<String>,
}

impl Oracle {
    /// One thread: how a sum is split over threads changes its last bits.
    pub(super) fn new(engine: &Engine, graph: &Graph, values: Vec<String>) -> Result<Self, TrainError> {
        let names: Vec<&str> = values.iter().map(String::as_str).collect();
        let session = engine.open(&cut(graph, &names).encode(), 1)?;
        Ok(Self { session, values })
    }

    /// Shape and values of each, in ONNX's order.
    pub(super) fn run(&mut self, shape: &[i64], x: &[f32]) -> Result<Vec<(Vec<usize>, Vec<f32>)>, TrainError> {
        let mut out = Vec::with_capacity(self.values.len());
        self.session.run(shape, x, self.values.iter().map(String::as_str), |_, shape, values| {
            out.push((shape.iter().map(|d| *d as usize).collect(), values.to_vec()));
        })?;
        Ok(out)
    }
}

/// The first output of a model.
pub(super) fn first_output(graph: &Graph) -> Result<String, TrainError> {
    let (_, outputs) = signature(graph)?;
    let name = outputs.first().map(|o| o.name.clone());
    name.ok_or_else(|| TrainError::Options("the model has no output".into()))
}
