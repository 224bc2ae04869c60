use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytemuck::{CheckedBitPattern, NoUninit};
use bytes::Bytes;
use drydock_contract::{Datatype, Target, TensorSignature};
use ort::environment::Environment;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProvider as _, ExecutionProviderDispatch};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, Tensor as OrtTensor, TensorElementType, TensorRef, ValueType,
};

use super::provider::{self, Provider};
use super::{Backend, BackendError, Engine, ExecutionProvider, Signature};
use crate::element::{Element, each, for_element};
use crate::package::OpenModel;
use crate::strings;
use crate::tensor::Tensor;

/// ONNX Runtime, loaded at run time, with the options that were fastest per CPU second for small models.
#[derive(Debug)]
pub(crate) struct OnnxRuntime {
    environment: &'static Environment,
    provider: Provider,
    openvino_device: String,
    model: OpenModel,
}

/// What is asked of the library.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) library: PathBuf,
    pub(crate) provider: ExecutionProvider,
    /// What the package is made for.
    pub(crate) target: Option<Target>,
    /// As OpenVINO names it: `CPU`, `GPU`, `NPU`, `AUTO`.
    pub(crate) openvino_device: String,
}

impl OnnxRuntime {
    pub(crate) fn new(options: &Options, model: OpenModel) -> Result<Self, BackendError> {
        let environment = environment(&options.library)?;
        let provider = provider::select(options.provider, options.target, &providers()?)?;
        Ok(Self { environment, provider, openvino_device: options.openvino_device.clone(), model })
    }

    pub(crate) fn provider(&self) -> Provider {
        self.provider
    }

    /// In the order in which they are asked whether they take a node; what none takes is the CPU's. One that cannot be had is an error.
    fn providers(&self, threads: usize) -> Vec<ExecutionProviderDispatch> {
        // The arena never gives memory back: the largest batch ever seen would stay resident.
        let cpu = ep::CPU::default().with_arena_allocator(false).build();
        match self.provider {
            Provider::Cpu => vec![cpu],
            Provider::OpenVino => {
                // Where the processor has bfloat16 OpenVINO's own default is to compute float32 in that, and to say nothing of it.
                let precision = serde_json::json!({&self.openvino_device: {"INFERENCE_PRECISION_HINT": "f32"}});
                let openvino =
                    ep::OpenVINO::default().with_device_type(&self.openvino_device).with_num_threads(threads);
                let openvino = if self.openvino_device == "CPU" {
                    openvino.with_arbitrary_config("load_config", precision)
                } else {
                    openvino
                };
                vec![openvino.build().error_on_failure(), cpu]
            }
            Provider::Cuda => vec![ep::CUDA::default().build().error_on_failure(), cpu],
            Provider::TensorRt => vec![ep::TensorRT::default().build().error_on_failure(), cpu],
        }
    }

    fn session(&self, model: &Path, threads: usize) -> Result<Session, ort::Error> {
        Session::builder(self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_prepacking(true)?
            // Spinning threads are worth 1.05 to 1.4 times in time and cost up to 2.6 times in CPU beside other load.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_execution_providers(self.providers(threads))?
            .commit_from_file(model)
    }
}

/// The library allows one environment in a process, and a missing library must be an error, not a panic at first use.
fn environment(library: &Path) -> Result<&'static Environment, BackendError> {
    static ENVIRONMENT: OnceLock<Result<Environment, BackendError>> = OnceLock::new();
    let failed = |message: String| BackendError::Library { path: library.display().to_string(), message };
    ENVIRONMENT
        .get_or_init(|| {
            let builder = ort::init_from(library).map_err(|e| failed(e.to_string()))?;
            let environment = builder.with_name("drydock").with_telemetry(false).build();
            let environment = environment.map_err(|e| failed(e.to_string()))?;
            // The library's own log goes to standard error past our subscriber: keep it to what matters.
            environment.set_log_level(ort::logging::LogLevel::Error);
            Ok(environment)
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// What the library was built with, of what this server can use.
fn providers() -> Result<Vec<Provider>, BackendError> {
    let has = |provider: &Provider| match provider {
        Provider::Cpu => ep::CPU::is_available(),
        Provider::OpenVino => ep::OpenVINO::is_available(),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::TensorRt => ep::TensorRT::is_available(),
    };
    let known = Provider::ALL.into_iter().map(|p| has(&p).map(|has| has.then_some(p)));
    known.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(|e| BackendError::Load(e.to_string()))
}

impl Engine for OnnxRuntime {
    fn open(&self, threads: usize) -> Result<Box<dyn Backend>, BackendError> {
        let session =
            self.model.read(|path| self.session(path, threads)).map_err(|e| BackendError::File(e.to_string()))?;
        let session = session.map_err(|e| BackendError::Load(e.to_string()))?;
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
        TensorElementType::String => Datatype::Bytes,
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
    for_element!(t.datatype, T => typed::<T>(t), Bytes => {
        // Its own copies of what it copies: it wants what lives for ever.
        let texts = strings::texts(&t.data).map_err(ort::Error::new)?;
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        Ok(OrtTensor::from_string_array((t.shape.clone(), texts.as_slice()))?.into())
    })
}

/// Borrows the request's own bytes where they are aligned and no `bool` is anything but 0 or 1, else copies them.
fn typed<T>(t: &Tensor) -> Result<SessionInputValue<'_>, ort::Error>
where
    T: Element + CheckedBitPattern + NoUninit + PrimitiveTensorElementType + fmt::Debug,
{
    if let Ok(data) = bytemuck::checked::try_cast_slice::<u8, T>(&t.data) {
        return Ok(TensorRef::from_array_view((t.shape.clone(), data))?.into());
    }
    let data: Vec<T> = each(&t.data).collect();
    Ok(OrtTensor::from_array((t.shape.clone(), data))?.into())
}

fn tensor(signature: &TensorSignature, value: &DynValue) -> Result<Tensor, ort::Error> {
    let (shape, data) = for_element!(signature.datatype, T => raw::<T>(value), Bytes => text(value))?;
    Ok(Tensor { name: signature.name.clone(), datatype: signature.datatype, shape, data })
}

fn text(value: &DynValue) -> Result<(Vec<i64>, Bytes), ort::Error> {
    let (shape, texts) = value.try_extract_strings()?;
    let mut data = Vec::with_capacity(texts.iter().map(|t| t.len() + strings::PREFIX).sum());
    texts.iter().try_for_each(|t| strings::push(&mut data, t.as_bytes())).map_err(ort::Error::new)?;
    Ok((shape.to_vec(), data.into()))
}

fn raw<T: NoUninit + PrimitiveTensorElementType>(value: &DynValue) -> Result<(Vec<i64>, Bytes), ort::Error> {
    let (shape, data) = value.try_extract_tensor::<T>()?;
    Ok((shape.to_vec(), Bytes::copy_from_slice(bytemuck::cast_slice(data))))
}
