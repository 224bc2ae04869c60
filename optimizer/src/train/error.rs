use crate::dataset::DatasetError;
use crate::engine::EngineError;
use crate::interrupt::Interrupted;
use crate::onnx::ModelError;

/// Why a graph cannot be trained, or a training went wrong.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("node {node} has no gradient here: {problem}")]
    NoGradient { node: String, problem: String },
    #[error("node {node}: {problem}")]
    Node { node: String, problem: String },
    #[error("nothing to train: no float32 weight lies between the last node without a gradient and the output{}", last_frozen(.0.as_ref()))]
    NothingToTrain(Option<String>),
    #[error("the loss of step {step} is {loss}; expected a number: lower the learning rate (now {learning_rate})")]
    NotFinite { step: usize, loss: f32, learning_rate: f32 },
    #[error("{0}")]
    Options(String),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Data(#[from] DatasetError),
}

fn last_frozen(node: Option<&String>) -> String {
    node.map_or_else(String::new, |n| format!(" (node {n})"))
}
