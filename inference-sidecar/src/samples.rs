//! What the optimizer recorded of the model: inputs to warm up with, and what it answered.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use drydock_contract::{
    Datatype, Digest, MAX_SAMPLES, MAX_SAMPLES_BYTES, RecordedSamples, SAMPLES_FILE, TensorSignature, sample_input,
    sample_output,
};
use safetensors::{Dtype, SafeTensors};

use crate::backend::Signature;
use crate::element::each;
use crate::tensor::{Tensor, shape_fits};

/// Of an output's numbers: the root of the mean square of what is different, over that of what was recorded. Kernels of other processors
/// round otherwise, which moves int8 codes by one at times: less than a hundredth. Weights of eight bits where sums of two products
/// saturate (docs/targets.md) are several hundredths off.
pub(crate) const TOLERANCE: f64 = 0.03;

/// One input of each kind, and the float outputs that were recorded with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
}

/// Those of a package; none of most packages of earlier versions.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Once they have been compared, the first alone: what a session is probed with.
    list: Mutex<Vec<Sample>>,
    told: AtomicBool,
}

impl Samples {
    /// Says why, where there are none: a model can be served without.
    pub(crate) fn of(directory: &Path, recorded: Option<&RecordedSamples>, signature: &Signature) -> Self {
        let Some(recorded) = recorded else { return Self::default() };
        let path = directory.join(SAMPLES_FILE);
        let list = read(&path, recorded, signature).unwrap_or_else(|problem| {
            tracing::warn!(path = %path.display(), "the recorded samples are not used: {problem}; the server warms up on zeros");
            Vec::new()
        });
        Self { list: Mutex::new(list), told: AtomicBool::default() }
    }

    pub(crate) fn list(&self) -> Vec<Sample> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells once how far the answers to `list` are from those that were recorded.
    pub(crate) fn compare(&self, list: &[Sample], answers: &[Vec<Tensor>]) {
        let compared = list.iter().zip(answers).flat_map(|(sample, answer)| deviation(&sample.outputs, answer));
        let most = compared.max_by(|a, b| a.1.total_cmp(&b.1));
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        self.list.lock().unwrap_or_else(PoisonError::into_inner).truncate(1);
        let Some((output, most)) = most else { return };
        let (samples, percent, tolerance) = (list.len(), 100.0 * most, 100.0 * TOLERANCE);
        if most <= TOLERANCE {
            tracing::info!(
                samples,
                output,
                percent,
                tolerance,
                "the recorded inputs are answered as they were when the package was made"
            );
        } else {
            tracing::warn!(
                samples,
                output,
                percent,
                tolerance,
                "the recorded inputs are not answered as they were when the package was made: another processor or ONNX Runtime computes this \
                 model otherwise; measure it here, or make the package for this target (docs/targets.md)"
            );
        }
    }
}

/// The inputs alone, for whoever asks the model again; none, with the reason in the log, where they cannot be had.
pub(crate) fn inputs(directory: &Path, recorded: Option<&RecordedSamples>, signature: &Signature) -> Vec<Vec<Tensor>> {
    let Some(recorded) = recorded else { return Vec::new() };
    let path = directory.join(SAMPLES_FILE);
    let list = read(&path, recorded, signature).unwrap_or_else(|problem| {
        tracing::warn!(path = %path.display(), "the recorded samples cannot be sent: {problem}");
        Vec::new()
    });
    list.into_iter().map(|sample| sample.inputs).collect()
}

/// Of each output that was recorded: its name, and how far the answer is from it as [`TOLERANCE`] has it; infinite where there is
/// no such answer, or none in numbers.
fn deviation<'s>(recorded: &'s [Tensor], answer: &[Tensor]) -> Vec<(&'s str, f64)> {
    let of = |recorded: &'s Tensor| {
        let found = answer.iter().find(|t| t.name == recorded.name && t.shape == recorded.shape);
        let found = found.filter(|t| t.datatype == Datatype::Fp32);
        let (mut signal, mut noise) = (0.0, if found.is_some() { 0.0 } else { f64::INFINITY });
        let values = found.into_iter().flat_map(|t| each::<f32>(&t.data));
        for (recorded, found) in each::<f32>(&recorded.data).zip(values) {
            let (recorded, found) = (f64::from(recorded), f64::from(found));
            signal += recorded * recorded;
            noise += if recorded.to_bits() == found.to_bits() { 0.0 } else { (recorded - found).powi(2) };
        }
        let ratio = if noise == 0.0 { 0.0 } else { (noise / signal).sqrt() };
        (recorded.name.as_str(), if ratio.is_nan() { f64::INFINITY } else { ratio })
    };
    recorded.iter().map(of).collect()
}

fn read(path: &Path, recorded: &RecordedSamples, signature: &Signature) -> Result<Vec<Sample>, String> {
    if recorded.size > MAX_SAMPLES_BYTES || recorded.count > MAX_SAMPLES {
        return Err(format!(
            "the manifest has {} of {} bytes; expected at most {MAX_SAMPLES} of {MAX_SAMPLES_BYTES}",
            recorded.count, recorded.size
        ));
    }
    let size = fs::metadata(path).map_err(unread)?.len();
    if size != recorded.size {
        return Err(format!("the file has {size} bytes; expected {}, as the manifest says", recorded.size));
    }
    let file = fs::read(path).map_err(unread)?;
    let found = Digest::of(&file);
    if found != recorded.sha256 {
        return Err(format!("the file has SHA-256 {found}; expected {}, as the manifest says", recorded.sha256));
    }
    let tensors = SafeTensors::deserialize(&file).map_err(|e| e.to_string())?;
    let tensor = |name: &str, signature: &TensorSignature| -> Option<Tensor> {
        let view = tensors.tensor(name).ok().filter(|v| v.dtype() == Dtype::F32)?;
        let shape: Vec<i64> = view.shape().iter().map(|d| i64::try_from(*d)).collect::<Result<_, _>>().ok()?;
        let fits = signature.datatype == Datatype::Fp32 && shape_fits(&signature.shape, &shape);
        // Of its own: the rest of the file is not kept.
        let data = Bytes::copy_from_slice(view.data());
        fits.then(|| Tensor { name: signature.name.clone(), datatype: Datatype::Fp32, shape, data })
    };
    let sample = |number: u32| -> Result<Sample, String> {
        let input = |s: &TensorSignature| {
            let name = sample_input(number, &s.name);
            tensor(&name, s).ok_or_else(|| format!("there is no {name:?} of {} {:?}", s.datatype, s.shape))
        };
        let inputs = signature.inputs.iter().map(input).collect::<Result<_, _>>()?;
        let outputs = signature.outputs.iter().filter_map(|s| tensor(&sample_output(number, &s.name), s)).collect();
        Ok(Sample { inputs, outputs })
    };
    (0..recorded.count).map(sample).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unread(e: io::Error) -> String {
    e.to_string()
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    fn floats(name: &str, values: &[f32]) -> Tensor {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into();
        Tensor { name: name.into(), datatype: Datatype::Fp32, shape: vec![1, values.len() as i64], data }
    }

    fn signature() -> Signature {
        let tensor = |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Fp32, shape: vec![-1, 2] };
        Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] }
    }

    fn written<'t>(path: &Path, tensors: &[(&'static str, &'t Tensor)]) -> RecordedSamples {
        let sizes = |t: &Tensor| t.shape.iter().map(|d| *d as usize).collect();
        let view =
            |(name, t): &(&'static str, &'t Tensor)| (*name, TensorView::new(Dtype::F32, sizes(t), &t.data).unwrap());
        let views: Vec<_> = tensors.iter().map(view).collect();
        let file = serialize(views, None).unwrap();
        fs::write(path, &file).unwrap();
        RecordedSamples { count: 1, sha256: Digest::of(&file), size: file.len() as u64 }
    }

    #[test]
    fn what_was_recorded_is_read_and_what_is_not_that_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SAMPLES_FILE);
        let (x, y) = (floats("x", &[1.0, 2.0]), floats("y", &[3.0, 4.0]));
        let recorded = written(&path, &[("0.input.x", &x), ("0.output.y", &y)]);
        let whole = Sample { inputs: vec![x.clone()], outputs: vec![y.clone()] };
        assert_eq!(read(&path, &recorded, &signature()).unwrap(), [whole]);

        for (change, part) in [
            (RecordedSamples { size: MAX_SAMPLES_BYTES + 1, ..recorded.clone() }, "expected at most 4"),
            (RecordedSamples { count: 5, ..recorded.clone() }, "the manifest has 5"),
            (RecordedSamples { size: recorded.size + 1, ..recorded.clone() }, "as the manifest says"),
            (RecordedSamples { sha256: Digest::of(b""), ..recorded.clone() }, "has SHA-256"),
            (RecordedSamples { count: 2, ..recorded.clone() }, "there is no \"1.input.x\""),
        ] {
            let error = read(&path, &change, &signature()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let three = floats("x", &[1.0, 2.0, 3.0]);
        let recorded = written(&path, &[("0.input.x", &three)]);
        assert!(read(&path, &recorded, &signature()).unwrap_err().contains("there is no \"0.input.x\""));
        fs::write(&path, b"not tensors").unwrap();
        let recorded = RecordedSamples { count: 1, sha256: Digest::of(b"not tensors"), size: 11 };
        read(&path, &recorded, &signature()).unwrap_err();
        assert!(Samples::of(directory.path(), Some(&recorded), &signature()).list().is_empty());
    }

    #[test]
    fn how_far_answers_are_from_those_recorded() {
        let recorded = [floats("y", &[3.0, 4.0])];
        for (answer, expected) in [
            (floats("y", &[3.0, 4.0]), 0.0),
            (floats("y", &[3.0, 4.5]), 0.1),
            (floats("y", &[3.0, f32::NAN]), f64::INFINITY),
            (floats("y", &[3.0]), f64::INFINITY),
            (floats("z", &[3.0, 4.0]), f64::INFINITY),
        ] {
            let found = deviation(&recorded, std::slice::from_ref(&answer));
            assert!(
                (found[0].1 - expected).abs() < 1e-9 || found[0].1.is_infinite() && expected.is_infinite(),
                "{answer:?}: {found:?}"
            );
        }
        // Nothing was different from nothing.
        let zeros = [floats("y", &[0.0, 0.0])];
        assert_eq!(deviation(&zeros, &zeros), [("y", 0.0)]);
    }
}
