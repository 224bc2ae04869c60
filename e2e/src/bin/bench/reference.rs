//! What a library takes alone for a part of a server's work.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::Cost;

#[derive(Deserialize)]
struct Request {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    data: Vec<f32>,
}

/// serde_json, reading a request into the floats that are in it.
pub(crate) fn parse(body: &Path, runs: u32) -> Result<Value, Box<dyn Error>> {
    let body = fs::read(body)?;
    let mut elements = 0;
    let before = Cost::of(std::process::id())?;
    for _ in 0..runs {
        let request: Request = serde_json::from_slice(&body)?;
        elements = request.inputs.iter().map(|i| i.data.len()).sum();
    }
    let cpu = Cost::of(std::process::id())?.cpu.saturating_sub(before.cpu);
    Ok(json!({"cpu_ms": cpu.as_secs_f64() * 1000.0 / f64::from(runs), "elements": elements}))
}
