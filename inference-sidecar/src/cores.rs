use std::num::NonZero;

/// Cores that this process may keep busy: the cgroup's CPU quota (v1 and v2) and the affinity mask, rounded down, at
/// least 1. The standard library reads all of them.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Single-threaded sessions on every core give the most answers per second; more threads each give the fastest answer.
pub(crate) fn sessions(cores: usize, threads: usize) -> usize {
    cores.checked_div(threads).unwrap_or(cores).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_session() {
        for (cores, threads, expected) in [(1, 1, 1), (4, 1, 4), (4, 2, 2), (2, 4, 1), (0, 1, 1), (4, 0, 4)] {
            assert_eq!(sessions(cores, threads), expected, "{cores} cores, {threads} threads");
        }
        assert!(available() >= 1);
    }
}
