#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// File name of the recorded samples in a package directory: tensors in the safetensors format, named by [`sample_input`] and
/// [`sample_output`], numbered from 0 on.
pub const SAMPLES_FILE: &str = "samples.safetensors";
/// Samples of a package at most.
pub const MAX_SAMPLES: u32 = 4;
/// Bytes of the file at most: a server reads it before it is ready.
pub const MAX_SAMPLES_BYTES: u64 = 2 << 20;

/// Inputs of the calibration data, pre-processed, and what the package's model made of them where it was made. Another machine may round
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RecordedSamples {
    pub count: u32,
    /// Of the file.
    pub sha256: Digest,
    /// Bytes of the file.
    pub size: u64,
}

/// Name of the tensor that the model's input of this name was given.
pub fn sample_input(sample: u32, name: &str) -> String {
    format!("{sample}.input.{name}")
}

/// Name of the tensor that the model's output of this name came to. Absent where outputs cannot be compared number by number: integers, and lists of
/// boxes.
pub fn sample_output(sample: u32, name: &str) -> String {
    format!("{sample}.output.{name}")
}
