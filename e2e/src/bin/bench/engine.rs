//! The bare engine: what no server of the same model can do without.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde_json::{Value, json};

use crate::given::SHAPE;
use crate::process::Cost;

#[derive(Debug, Args)]
pub(crate) struct Engine {
    model: PathBuf,
    /// Little-endian float32.
    pub(crate) input: PathBuf,
    #[arg(long, env = "ORT_DYLIB_PATH")]
    library: PathBuf,
    #[arg(long, default_value_t = 200)]
    pub(crate) runs: u32,
}

impl Engine {
    pub(crate) fn session(&self) -> Result<Session, Box<dyn Error>> {
        let environment = ort::init_from(&self.library)?.with_telemetry(false).build()?;
        // The options of the sidecar's own sessions (src/backend/onnxruntime.rs).
        let session = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_prepacking(true)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_execution_providers([ort::ep::CPU::default().with_arena_allocator(false).build()])?
            .commit_from_file(&self.model)?;
        Ok(session)
    }

    pub(crate) fn run(&self) -> Result<Value, Box<dyn Error>> {
        let data = floats(&fs::read(&self.input)?);
        let mut session = self.session()?;
        let output = infer(&mut session, &data)?;
        for _ in 0..self.runs / 10 {
            infer(&mut session, &data)?;
        }
        let (before, start) = (Cost::of(std::process::id())?, Instant::now());
        for _ in 0..self.runs {
            infer(&mut session, &data)?;
        }
        let (after, took) = (Cost::of(std::process::id())?, start.elapsed());
        let runs = f64::from(self.runs);
        Ok(json!({
            "cpu_ms": after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0 / runs,
            "wall_ms": took.as_secs_f64() * 1000.0 / runs,
            "pss_mb": after.pss_mb,
            "output": output,
        }))
    }
}

pub(crate) fn floats(raw: &[u8]) -> Vec<f32> {
    raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

pub(crate) fn infer(session: &mut Session, data: &[f32]) -> Result<Vec<f32>, ort::Error> {
    let input = TensorRef::from_array_view((SHAPE, data))?;
    let outputs = session.run(ort::inputs![input])?;
    Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
}
