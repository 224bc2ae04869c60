//! A few inputs and what the package's model makes of them: a server warms up with them, and sees whether it answers the same.

use drydock_contract::{
    Datatype, MAX_SAMPLES, MAX_SAMPLES_BYTES, RecordedSamples, TensorSignature, sample_input, sample_output,
};
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::Error;
use crate::dataset::Dataset;
use crate::engine::Engine;

/// Left for the names and shapes at the head of the file.
const HEAD_BYTES: usize = 64 << 10;

/// The file, and what the manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub samples: RecordedSamples,
    pub file: Vec<u8>,
}

/// A float32 tensor that has a name.
struct Named {
    name: String,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Named {
    fn new(name: String, shape: &[i64], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name, shape: shape.iter().map(|d| *d as usize).collect(), data }
    }
}

/// The first inputs of the data, as many as there is room for; `None` where not one fits. `outputs`: those of float32 that can be compared
/// number by number.
///
/// # Errors
/// The model does not run, or the data cannot be read.
pub fn record(
    engine: &Engine,
    model: &[u8],
    data: &Dataset,
    input: &str,
    outputs: &[TensorSignature],
) -> Result<Option<Recorded>, Error> {
    let mut session = engine.open(model, 1)?;
    let floats = outputs.iter().filter(|o| o.datatype == Datatype::Fp32);
    let names: Vec<&str> = floats.map(|o| o.name.as_str()).collect();
    let (mut tensors, mut count, mut bytes) = (Vec::new(), 0, HEAD_BYTES);
    data.batches(MAX_SAMPLES as usize, 1, |batch| {
        let mut sample = vec![Named::new(sample_input(count, input), batch.shape, batch.data)];
        session.run(batch.shape, batch.data, names.iter().copied(), |name, shape, values| {
            sample.push(Named::new(sample_output(count, name), shape, values));
        })?;
        bytes += sample.iter().map(|t| t.data.len()).sum::<usize>();
        if bytes as u64 <= MAX_SAMPLES_BYTES {
            tensors.append(&mut sample);
            count += 1;
        }
        Ok::<(), Error>(())
    })?;
    if count == 0 {
        return Ok(None);
    }
    let failed = |e: safetensors::SafeTensorError| Error::Internal(format!("cannot write the recorded samples: {e}"));
    let views = tensors
        .iter()
        .map(|t| Ok((t.name.as_str(), TensorView::new(Dtype::F32, t.shape.clone(), &t.data)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let file = serialize(views, None).map_err(failed)?;
    let samples = RecordedSamples { count, sha256: drydock_contract::Digest::of(&file), size: file.len() as u64 };
    Ok(Some(Recorded { samples, file }))
}
