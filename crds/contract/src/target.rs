#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Format, Machine};

/// The hardware that a package is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// x86 with int8 dot products: AVX512-VNNI, AVX-VNNI, AMX.
    CpuVnni,
    /// x86 without them.
    CpuAvx2,
    /// Armv8.2 and later.
    Arm64,
    /// OpenVINO on Intel's processors, graphics and accelerators.
    Intel,
    /// TensorRT or CUDA.
    Nvidia,
}

/// What a target allows and prefers. All of it is in [`TARGETS`]; docs/targets.md has the same rows with their reasons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetRules {
    pub target: Target,
    /// As ONNX Runtime names its execution providers, the best first.
    pub providers: &'static [&'static str],
    /// Of the machine that runs it; empty: any.
    pub architecture: &'static str,
    /// One of these is needed, in the kernel's words; empty: none.
    pub instruction_sets: &'static [&'static str],
    pub int8: Int8Rules,
    pub formats: &'static [Format],
}

/// What `Int8` looks like on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int8Rules {
    pub activations: Activations,
    /// Weights are symmetric, from `-weight_limit` to `weight_limit`.
    pub weight_limit: i8,
    /// Where kernels add two products in 16 bits: the most that the two weights come to if they have one sign.
    pub pair_limit: Option<u8>,
    pub bias: Bias,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// U8 with a zero point.
    Unsigned,
    /// S8 with the zero point 0. A `Relu` stays a node: codes below 0 are there to be taken.
    Symmetric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// Of the scale of the sum that it is added to.
    Int32,
    Float32,
}

const CPU: Int8Rules =
    Int8Rules { activations: Activations::Unsigned, weight_limit: 127, pair_limit: None, bias: Bias::Int32 };
const ALL: &[Format] =
    &[Format::Int8, Format::DynamicInt8, Format::WeightInt8, Format::WeightInt4, Format::Float16, Format::BFloat16];

/// One row for each target.
pub const TARGETS: [TargetRules; 5] = [
    TargetRules {
        target: Target::CpuVnni,
        providers: &["CPUExecutionProvider"],
        architecture: "x86_64",
        instruction_sets: &["avx512_vnni", "avx_vnni", "amx_int8"],
        int8: CPU,
        formats: ALL,
    },
    TargetRules {
        target: Target::CpuAvx2,
        providers: &["CPUExecutionProvider"],
        architecture: "x86_64",
        instruction_sets: &["avx2"],
        // VPMADDUBSW adds two products in 16 bits, which saturate: 255 * 128 is the most that fits.
        int8: Int8Rules { pair_limit: Some(128), ..CPU },
        formats: ALL,
    },
    TargetRules {
        target: Target::Arm64,
        providers: &["CPUExecutionProvider"],
        architecture: "aarch64",
        instruction_sets: &["asimddp", "i8mm"],
        int8: CPU,
        formats: ALL,
    },
    TargetRules {
        target: Target::Intel,
        providers: &["OpenVINOExecutionProvider"],
        architecture: "x86_64",
        instruction_sets: &[],
        int8: CPU,
        formats: &[Format::Int8, Format::Float16, Format::BFloat16],
    },
    TargetRules {
        target: Target::Nvidia,
        providers: &["TensorrtExecutionProvider", "CUDAExecutionProvider"],
        architecture: "",
        instruction_sets: &[],
        // TensorRT: zero points of 0 only, and DequantizeLinear of 32-bit codes is not taken.
        int8: Int8Rules { activations: Activations::Symmetric, bias: Bias::Float32, ..CPU },
        formats: &[Format::Int8, Format::Float16, Format::BFloat16],
    },
];

impl Target {
    /// What int8 must look like on this machine: of x86 without int8 dot products, whatever else it has, sums saturate.
    pub fn of(machine: &Machine) -> Self {
        let found = |t: &Self| t.rules().is(machine);
        match machine.architecture.as_str() {
            "x86_64" => Some(Self::CpuVnni).filter(found).unwrap_or(Self::CpuAvx2),
            "aarch64" => Self::Arm64,
            _ => Self::CpuVnni,
        }
    }

    pub const fn rules(self) -> &'static TargetRules {
        // The table is in the order of the variants, as its test says.
        &TARGETS[self as usize]
    }
}

impl TargetRules {
    /// Whether ONNX Runtime's CPU provider on this machine runs what the target runs: a time measured elsewhere is another
    /// machine's.
    pub fn is(&self, machine: &Machine) -> bool {
        self.providers == ["CPUExecutionProvider"]
            && self.architecture == machine.architecture
            && self.instruction_sets.iter().any(|s| machine.instruction_sets.iter().any(|found| found == s))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        TARGETS.iter().map(|t| t.target).find(|t| t.to_string() == s).ok_or_else(|| {
            let known: Vec<String> = TARGETS.iter().map(|t| t.target.to_string()).collect();
            format!("{s:?} is no target; expected one of {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_finds_its_row_by_name_too() {
        for (row, name) in TARGETS.iter().zip(["cpu-vnni", "cpu-avx2", "arm64", "intel", "nvidia"]) {
            assert_eq!(row.target.rules(), row);
            assert_eq!(row.target.to_string(), name);
            assert_eq!(name.parse(), Ok(row.target));
            assert_eq!(serde_json::to_value(row.target).unwrap(), name);
            assert!(row.formats.contains(&Format::Int8) && row.int8.weight_limit > 0);
        }
        assert!("tpu".parse::<Target>().unwrap_err().contains("cpu-vnni, cpu-avx2"));
    }

    #[test]
    fn machines() {
        let machine = |architecture: &str, sets: &str| Machine {
            architecture: architecture.into(),
            processor: String::new(),
            instruction_sets: sets.split_whitespace().map(str::to_owned).collect(),
        };
        for (machine, fits) in [
            (machine("x86_64", "avx2 avx512f avx512_vnni"), &[Target::CpuVnni, Target::CpuAvx2][..]),
            (machine("x86_64", "avx2 fma"), &[Target::CpuAvx2]),
            (machine("aarch64", "asimd asimddp"), &[Target::Arm64]),
            (machine("aarch64", "asimd"), &[]),
        ] {
            let own = fits.first().copied().unwrap_or(Target::Arm64);
            assert_eq!(Target::of(&machine), own, "{machine:?}");
            let found: Vec<Target> = TARGETS.iter().filter(|t| t.is(&machine)).map(|t| t.target).collect();
            assert_eq!(found, fits, "{machine:?}");
        }
    }

    /// The page has the table's words.
    #[test]
    fn the_page_has_every_row() {
        let page = include_str!("../../../docs/targets.md");
        for t in &TARGETS {
            let activations = match t.int8.activations {
                Activations::Unsigned => "U8, zero point",
                Activations::Symmetric => "S8, zero point 0",
            };
            let bias = match t.int8.bias {
                Bias::Int32 => "S32",
                Bias::Float32 => "float32",
            };
            let formats = if t.formats == ALL {
                "all".to_owned()
            } else {
                t.formats.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
            };
            let row = format!(
                "| `{}` | {} | {activations} | ±{}{} | {bias} | {formats} |",
                t.target,
                t.providers.join(", "),
                t.int8.weight_limit,
                t.int8.pair_limit.map_or_else(String::new, |most| format!(", pairs ±{most}"))
            );
            assert!(page.contains(&row), "docs/targets.md lacks\n{row}");
        }
    }
}
