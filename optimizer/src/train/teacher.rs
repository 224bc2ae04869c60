use super::error::TrainError;
use crate::engine::{Engine, Session};
use crate::onnx::{Graph, signature};
use crate::proto::tensor_proto::DataType;
use crate::proto::{TypeProto, ValueInfoProto, type_proto};

/// A model that ONNX Runtime runs on the batches of a training: the teacher, or the part of the student before its tape.
#[derive(Debug)]
pub(super) struct Oracle {
    session: Session,
    values: Vec<String>,
}

impl Oracle {
    /// One thread: how a sum is split over threads changes its last bits.
    pub(super) fn new(engine: &Engine, graph: &Graph, values: Vec<String>) -> Result<Self, TrainError> {
        let session = engine.open(&ending_in(graph, &values).encode(), 1)?;
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

/// The graph with these values as its only outputs.
fn ending_in(graph: &Graph, values: &[String]) -> Graph {
    let mut graph = graph.clone();
    let known = std::mem::take(&mut graph.body.output);
    graph.body.output = values
        .iter()
        .map(|value| {
            let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: None };
            known.iter().find(|o| o.name == *value).cloned().unwrap_or_else(|| ValueInfoProto {
                name: value.clone(),
                r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
                ..ValueInfoProto::default()
            })
        })
        .collect();
    graph
}

/// The first output of a model.
pub(super) fn first_output(graph: &Graph) -> Result<String, TrainError> {
    let (_, outputs) = signature(graph)?;
    let name = outputs.first().map(|o| o.name.clone());
    name.ok_or_else(|| TrainError::Options("the model has no output".into()))
}
