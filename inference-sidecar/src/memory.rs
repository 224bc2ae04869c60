//! What the process may have.

use std::fs;

/// Where a container sees its own cgroup: version 2, then version 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Version 1 says "no limit" as the largest number of whole pages; no machine has this much.
const NO_LIMIT: u64 = 1 << 60;

/// Bytes that the kernel lets this process use; `None`: it has set no limit.
pub(crate) fn limit() -> Option<usize> {
    LIMIT_FILES.iter().find_map(|file| parse(&fs::read_to_string(file).ok()?))
}

fn parse(text: &str) -> Option<usize> {
    // Version 2 says "max" where there is no limit.
    let bytes: u64 = text.trim().parse().ok()?;
    usize::try_from(bytes).ok().filter(|_| bytes < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_say_no_limit_in_their_own_way() {
        for (text, expected) in [
            ("134217728\n", Some(128 << 20)),
            ("max\n", None),
            ("9223372036854771712\n", None),
            ("18446744073709551616", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
