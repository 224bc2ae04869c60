use drydock_contract::Machine;

/// What makes int8 fast or slow, in the words of `/proc/cpuinfo`: x86, then Arm.
const INSTRUCTION_SETS: [&str; 13] = [
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
    "sve2",
];

/// The processor that runs this.
pub fn machine() -> Machine {
    describe(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// From `/proc/cpuinfo`; Arm's has no name of the processor.
fn describe(cpuinfo: &str) -> Machine {
    let field = |names: &[&str]| {
        let mut fields = cpuinfo.lines().filter_map(|l| l.split_once(':'));
        fields.find(|(name, _)| names.contains(&name.trim())).map_or("", |(_, value)| value.trim())
    };
    let found: Vec<&str> = field(&["flags", "Features"]).split_whitespace().collect();
    Machine {
        architecture: std::env::consts::ARCH.to_owned(),
        processor: field(&["model name"]).to_owned(),
        instruction_sets: INSTRUCTION_SETS.iter().filter(|s| found.contains(s)).map(|s| (*s).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_cpuinfo() {
        let x86 = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu avx avx2 avx512_vnni\n\nprocessor\t: 1\n";
        let arm = "processor\t: 0\nFeatures\t: fp asimd asimddp sve2\n";
        for (text, processor, sets) in
            [(x86, "A CPU", "avx2 avx512_vnni"), (arm, "", "asimd asimddp sve2"), ("", "", "")]
        {
            let found = describe(text);
            assert_eq!((found.processor.as_str(), found.instruction_sets.join(" ").as_str()), (processor, sets));
        }
    }
}
