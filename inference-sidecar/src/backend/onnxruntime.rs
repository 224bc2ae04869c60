use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytemuck::{NoUninit, Pod};
use bytes::Bytes;
use drydock_contract::{Datatype, TensorSignature};
use half::{bf16, f16};
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, Tensor as OrtTensor, TensorElementType, TensorRef, ValueType,
};

use super::{Backend, BackendError, Engine, Signature};
use crate::tensor::Tensor;

/// ONNX Runtime, loaded at run time, with the options that were fastest per CPU second for small models.
#[derive(Debug)]
pub struct OnnxRuntime {
    environment: &'static Environment,
    model: PathBuf,
    threads: usize,
}

impl OnnxRuntime {
    /// `threads`: how many threads one inference may use.
    pub fn new(library: &Path, model: PathBuf, threads: usize) -> Result<Self, BackendError> {
        Ok(Self { environment: environment(library)?, model, threads })
    }

    fn session(&self) -> Result<Session, ort::Error> {
        Session::builder(self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(self.threads)?
            .with_prepacking(true)?
            // Spinning threads are worth 1.05 to 1.4 times in time and cost up to 2.6 times in CPU beside other load.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // The arena never gives memory back: the largest batch ever seen would stay resident.
            .with_execution_providers([ort::ep::CPU::default().with_arena_allocator(false).build()])?
            .commit_from_file(&self.model)
    }
}

/// The library allows one environment in a process, and a missing library must be an error, not a panic at first use.
fn environment(library: &Path) -> Result<&'static Environment, BackendError> {
    static ENVIRONMENT: OnceLock<Result<Environment, BackendError>> = OnceLock::new();
    let failed = |message: String| BackendError::Library { path: library.display().to_string(), message };
    ENVIRONMENT
        .get_or_init(|| {
            let builder = ort::init_from(library).map_err(|e| failed(e.to_string()))?;
            let environment = builder.with_name("drydock").build().map_err(|e| failed(e.to_string()))?;
            // The library's own log goes to standard error past our subscriber: keep it to what matters.
            environment.set_log_level(ort::logging::LogLevel::Error);
            Ok(environment)
        })
        .as_ref()
        .map_err(Clone::clone)
}

impl Engine for OnnxRuntime {
    fn open(&self) -> Result<Box<dyn Backend>, BackendError> {
        let session = self.session().map_err(|e| BackendError::Load(e.to_string()))?;
        let side = |side, outlets: &[Outlet]| outlets.iter().map(|o| signature(side, o)).collect::<Result<_, _>>();
        let signature =
            Signature { inputs: side("input", session.inputs())?, outputs: side("output", session.outputs())? };
        Ok(Box::new(OnnxRuntimeSession { session, signature }))
    }
}

fn signature(side: &'static str, outlet: &Outlet) -> Result<TensorSignature, BackendError> {
    let unsupported =
        || BackendError::Unsupported { side, name: outlet.name().to_owned(), found: outlet.dtype().to_string() };
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { return Err(unsupported()) };
    let datatype = datatype(*ty).ok_or_else(unsupported)?;
    Ok(TensorSignature { name: outlet.name().to_owned(), datatype, shape: shape.to_vec() })
}

fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        _ => return None,
    })
}

struct OnnxRuntimeSession {
    session: Session,
    signature: Signature,
}

impl Backend for OnnxRuntimeSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError> {
        let run = |e: ort::Error| BackendError::Run(e.to_string());
        let values = inputs.iter().map(value).collect::<Result<Vec<_>, _>>().map_err(run)?;
        let outputs = self.session.run(values.as_slice()).map_err(run)?;
        self.signature.outputs.iter().zip(outputs.values()).map(|(s, v)| tensor(s, &v).map_err(run)).collect()
    }
}

fn value(t: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
    match t.datatype {
        // Any byte but 0 and 1 would be undefined as a `bool`.
        Datatype::Bool => {
            let data: Vec<bool> = t.data.iter().map(|b| *b != 0).collect();
            Ok(OrtTensor::from_array((t.shape.clone(), data))?.into())
        }
        Datatype::Uint8 => typed::<u8>(t),
        Datatype::Uint16 => typed::<u16>(t),
        Datatype::Uint32 => typed::<u32>(t),
        Datatype::Uint64 => typed::<u64>(t),
        Datatype::Int8 => typed::<i8>(t),
        Datatype::Int16 => typed::<i16>(t),
        Datatype::Int32 => typed::<i32>(t),
        Datatype::Int64 => typed::<i64>(t),
        Datatype::Fp16 => typed::<f16>(t),
        Datatype::Bf16 => typed::<bf16>(t),
        Datatype::Fp32 => typed::<f32>(t),
        Datatype::Fp64 => typed::<f64>(t),
        Datatype::Bytes => Err(ort::Error::new("BYTES tensors are not supported")),
    }
}

/// Borrows the request's own bytes where they are aligned, else copies them.
fn typed<T: Pod + PrimitiveTensorElementType + fmt::Debug>(t: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
    if let Ok(data) = bytemuck::try_cast_slice::<u8, T>(&t.data) {
        return Ok(TensorRef::from_array_view((t.shape.clone(), data))?.into());
    }
    let data: Vec<T> = bytemuck::pod_collect_to_vec(&t.data);
    Ok(OrtTensor::from_array((t.shape.clone(), data))?.into())
}

fn tensor(signature: &TensorSignature, value: &DynValue) -> Result<Tensor, ort::Error> {
    let (shape, data) = match signature.datatype {
        Datatype::Bool => raw::<bool>(value),
        Datatype::Uint8 => raw::<u8>(value),
        Datatype::Uint16 => raw::<u16>(value),
        Datatype::Uint32 => raw::<u32>(value),
        Datatype::Uint64 => raw::<u64>(value),
        Datatype::Int8 => raw::<i8>(value),
        Datatype::Int16 => raw::<i16>(value),
        Datatype::Int32 => raw::<i32>(value),
        Datatype::Int64 => raw::<i64>(value),
        Datatype::Fp16 => raw::<f16>(value),
        Datatype::Bf16 => raw::<bf16>(value),
        Datatype::Fp32 => raw::<f32>(value),
        Datatype::Fp64 => raw::<f64>(value),
        Datatype::Bytes => Err(ort::Error::new("BYTES tensors are not supported")),
    }?;
    Ok(Tensor { name: signature.name.clone(), datatype: signature.datatype, shape, data })
}

fn raw<T: NoUninit + PrimitiveTensorElementType>(value: &DynValue) -> Result<(Vec<i64>, Bytes), ort::Error> {
    let (shape, data) = value.try_extract_tensor::<T>()?;
    Ok((shape.to_vec(), Bytes::copy_from_slice(bytemuck::cast_slice(data))))
}
