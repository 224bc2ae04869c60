//! The port to an engine. Everything above it knows tensors only.

mod onnxruntime;
mod provider;

pub(crate) use onnxruntime::{OnnxRuntime, Options};
pub use provider::ExecutionProvider;
pub(crate) use provider::Provider;

use std::fmt;

use drydock_contract::TensorSignature;

use crate::tensor::Tensor;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    #[error(
        "cannot load ONNX Runtime from {path}: {message}; set ORT_DYLIB_PATH to a libonnxruntime.so of 1.24 or newer"
    )]
    Library { path: String, message: String },
    #[error(
        "this ONNX Runtime has no {wanted}{whose}; it has {found}; set ORT_DYLIB_PATH to a library with it: {hint}; or ask for another \
         with --execution-provider"
    )]
    Provider { wanted: String, whose: String, found: String, hint: &'static str },
    #[error("{0}")]
    File(String),
    #[error("the engine cannot load the model: {0}")]
    Load(String),
    #[error(
        "{side} {name:?} is {found}, which this server cannot carry; expected a tensor of numbers, booleans or strings"
    )]
    Unsupported { side: &'static str, name: String, found: String },
    #[error("{0}")]
    Run(String),
    #[error("the engine panicked")]
    Panicked,
}

/// Inputs and outputs as the model file itself declares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Vec<TensorSignature>,
    pub outputs: Vec<TensorSignature>,
}

/// Opens sessions of one model.
pub trait Engine: fmt::Debug + Send + Sync {
    /// `threads`: how many one inference may use.
    fn open(&self, threads: usize) -> Result<Box<dyn Backend>, BackendError>;
}

/// One session. One thread has it at a time.
pub trait Backend: Send {
    fn signature(&self) -> &Signature;

    /// Inputs come checked, in the order of the signature; outputs go out in the order of the signature.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError>;
}
