//! Who computes: an execution provider of ONNX Runtime, by what is asked for, what the package is made for and what the library has.

use clap::ValueEnum;
use drydock_contract::Target;

use super::BackendError;

/// What a user may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExecutionProvider {
    /// What the package is made for; the CPU where that is not said.
    Auto,
    Cpu,
    Openvino,
    Cuda,
    Tensorrt,
}

/// What this server can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Cpu,
    OpenVino,
    Cuda,
    TensorRt,
}

impl Provider {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::OpenVino, Self::Cuda, Self::TensorRt];

    /// As ONNX Runtime names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::OpenVino => "OpenVINOExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
        }
    }

    /// Whether the threads of an inference are the processor's, so that there is a choice of how many.
    pub(crate) fn is_on_cpu(self) -> bool {
        matches!(self, Self::Cpu | Self::OpenVino)
    }

    fn library(self) -> &'static str {
        match self {
            Self::Cpu => "any libonnxruntime.so",
            Self::OpenVino => "that of the package onnxruntime-openvino (e2e/onnxruntime-openvino.sh fetches it)",
            Self::Cuda | Self::TensorRt => "that of the package onnxruntime-gpu, and NVIDIA's libraries that it names",
        }
    }
}

/// The provider that is asked for, or that the target asks for: never another one in its place.
pub(super) fn select(
    asked: ExecutionProvider,
    target: Option<Target>,
    library: &[Provider],
) -> Result<Provider, BackendError> {
    let (wanted, whose): (Vec<Provider>, String) = match (asked, target) {
        (ExecutionProvider::Cpu, _) | (ExecutionProvider::Auto, None) => (vec![Provider::Cpu], String::new()),
        (ExecutionProvider::Openvino, _) => (vec![Provider::OpenVino], String::new()),
        (ExecutionProvider::Cuda, _) => (vec![Provider::Cuda], String::new()),
        (ExecutionProvider::Tensorrt, _) => (vec![Provider::TensorRt], String::new()),
        (ExecutionProvider::Auto, Some(target)) => {
            let names = target.rules().providers.iter();
            let known = |name: &&str| Provider::ALL.into_iter().find(|p| p.name() == *name);
            (names.filter_map(known).collect(), format!(", which the package's target {target} needs"))
        }
    };
    if let Some(found) = wanted.iter().copied().find(|p| library.contains(p)) {
        return Ok(found);
    }
    let names = |list: &[Provider]| list.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
    let hint = wanted.first().map_or("", |p| p.library());
    Err(BackendError::Provider { wanted: names(&wanted).replace(", ", " or "), whose, found: names(library), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_taken_or_missing() {
        use ExecutionProvider as Asked;
        use Provider::{Cpu, Cuda, OpenVino, TensorRt};
        for (asked, target, library, expected) in [
            (Asked::Auto, None, &[Cpu, OpenVino][..], Some(Cpu)),
            (Asked::Auto, Some(Target::CpuVnni), &[Cpu, OpenVino], Some(Cpu)),
            (Asked::Auto, Some(Target::Arm64), &[Cpu], Some(Cpu)),
            (Asked::Auto, Some(Target::Intel), &[Cpu, OpenVino], Some(OpenVino)),
            (Asked::Auto, Some(Target::Intel), &[Cpu], None),
            (Asked::Auto, Some(Target::Nvidia), &[Cpu, Cuda, TensorRt], Some(TensorRt)),
            (Asked::Auto, Some(Target::Nvidia), &[Cpu, Cuda], Some(Cuda)),
            (Asked::Auto, Some(Target::Nvidia), &[Cpu], None),
            (Asked::Cpu, Some(Target::Nvidia), &[Cpu, Cuda], Some(Cpu)),
            (Asked::Cuda, None, &[Cpu, Cuda], Some(Cuda)),
            (Asked::Tensorrt, None, &[Cpu, Cuda], None),
            (Asked::Openvino, Some(Target::CpuVnni), &[Cpu, OpenVino], Some(OpenVino)),
        ] {
            assert_eq!(select(asked, target, library).ok(), expected, "{asked:?} {target:?} {library:?}");
        }
    }

    #[test]
    fn who_misses_one_is_told_what_there_is() {
        let error = select(ExecutionProvider::Auto, Some(Target::Nvidia), &[Provider::Cpu]).unwrap_err().to_string();
        for part in [
            "TensorrtExecutionProvider or CUDAExecutionProvider",
            "nvidia",
            "has CPUExecutionProvider;",
            "onnxruntime-gpu",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
