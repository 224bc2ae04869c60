//! ONNX Runtime, loaded from the library that `ORT_DYLIB_PATH` names.

mod tensors;

use std::path::{Path, PathBuf};

pub use tensors::Numbers;

use ort::ep;
use ort::session::Session as OrtSession;
use ort::session::builder::{BuilderResult, GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;
pub use tensors::Value;

/// Names the ONNX Runtime library to load.
pub const LIBRARY_ENV: &str = "ORT_DYLIB_PATH";

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("{LIBRARY_ENV} is not set; expected the path of libonnxruntime.so, version 1.24 or later")]
    NoLibrary,
    #[error("cannot load ONNX Runtime from {}: {problem}", path.display())]
    Library { path: PathBuf, problem: String },
    #[error("ONNX Runtime does not accept the model: {0}")]
    Load(String),
    #[error("ONNX Runtime cannot run the model: {0}")]
    Run(String),
    #[error("output {output:?} is {found}; expected float32")]
    Output { output: String, found: String },
}

/// The loaded library. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    environment: ort::environment::Environment,
}

impl Engine {
    /// Loads the library that the environment names.
    pub fn load() -> Result<Self, EngineError> {
        let path = std::env::var_os(LIBRARY_ENV).filter(|p| !p.is_empty()).ok_or(EngineError::NoLibrary)?;
        Self::load_from(Path::new(&path))
    }

    pub fn load_from(path: &Path) -> Result<Self, EngineError> {
        let failed = |problem: String| EngineError::Library { path: path.to_owned(), problem };
        // `ort` takes a relative path as one beside the program.
        let absolute = std::path::absolute(path).map_err(|e| failed(e.to_string()))?;
        if !absolute.is_file() {
            return Err(failed("there is no such file".into()));
        }
        let environment = ort::init_from(&absolute)
            .map_err(|e| failed(e.to_string()))?
            .with_name("drydock")
            .with_telemetry(false)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { environment })
    }

    /// What tells this build of the library apart: the release, or the commit where the build does not name one.
    pub fn version(&self) -> String {
        let info = ort::info();
        let field = |name: &str| info.split_once(name).map(|(_, rest)| rest.split(',').next().unwrap_or(rest).trim());
        let release = field("git-branch=rel-").map(str::to_owned);
        let commit = || field("git-commit-id=").map(|id| format!("commit {id}"));
        release.or_else(commit).unwrap_or_else(|| info.to_owned())
    }

    /// Opens a model the way the inference-sidecar does: all fusions (int8 needs them), no spinning, no arena.
    ///
    /// # Errors
    /// [`EngineError::Load`] with what ONNX Runtime says of the model.
    pub fn open(&self, model: &[u8], threads: usize) -> Result<Session, EngineError> {
        self.builder(threads)?.commit_from_memory(model).map(Session::new).map_err(load_error)
    }

    /// The same for a file, which is then never in this process's own memory.
    pub fn open_file(&self, model: &Path, threads: usize) -> Result<Session, EngineError> {
        self.builder(threads)?.commit_from_file(model).map(Session::new).map_err(load_error)
    }

    fn builder(&self, threads: usize) -> Result<SessionBuilder, EngineError> {
        let builder = OrtSession::builder(&self.environment).map_err(load_error)?;
        configure(builder, threads).map_err(|e| EngineError::Load(e.to_string()))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn load_error(e: ort::Error) -> EngineError {
    EngineError::Load(e.to_string())
}

#[expect(clippy::result_large_err, reason = "the type of ort's builder, taken apart by the caller at once")]
fn configure(builder: SessionBuilder, threads: usize) -> BuilderResult {
    builder
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_memory_pattern(false)?
        .with_log_level(ort::logging::LogLevel::Error)?
        .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])
}

/// One loaded model with one float32 input.
#[derive(Debug)]
pub struct Session {
    session: OrtSession,
    input: String,
}

impl Session {
    fn new(session: OrtSession) -> Self {
        let input = session.inputs().first().map_or_else(String::new, |i| i.name().to_owned());
        Self { session, input }
    }

    /// Runs once and hands each named float32 output to `read`, with its shape.
    ///
    /// # Errors
    /// The run fails, or a named output is no float32 tensor.
    pub fn run<'o>(
        &mut self,
        shape: &[i64],
        data: &[f32],
        outputs: impl IntoIterator<Item = &'o str>,
        mut read: impl FnMut(&'o str, &[i64], &[f32]),
    ) -> Result<(), EngineError> {
        let run_error = |e: ort::Error| EngineError::Run(e.to_string());
        let tensor = TensorRef::from_array_view((shape, data)).map_err(run_error)?;
        let results = self.session.run(ort::inputs![self.input.as_str() => tensor]).map_err(run_error)?;
        for name in outputs {
            let value =
                results.get(name).ok_or_else(|| EngineError::Output { output: name.into(), found: "absent".into() })?;
            let (shape, values) = value
                .try_extract_tensor::<f32>()
                .map_err(|_| EngineError::Output { output: name.into(), found: value.dtype().to_string() })?;
            read(name, shape, values);
        }
        Ok(())
    }
}
