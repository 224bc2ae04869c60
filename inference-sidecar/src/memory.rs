//! What the process may have, and giving back what it no longer needs.

use std::fs;
use std::time::Duration;

use crate::serve::Current;

/// Where a container sees its own cgroup: version 2, then version 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Version 1 says "no limit" as the largest number of whole pages; no machine has this much.
const NO_LIMIT: u64 = 1 << 60;

/// Bytes that the kernel lets this process use; `None`: it has set no limit.
pub(crate) fn limit() -> Option<usize> {
    LIMIT_FILES.iter().find_map(|file| parse(&fs::read_to_string(file).ok()?))
}

/// How often it is looked whether there is anything to give back.
const LOOK: Duration = Duration::from_secs(10);
/// Less is not worth the time, and will be wanted again.
const WORTH_IT: usize = 4 << 20;

/// Gives back what requests have left, when there are none: each time that the process holds more than it did after the last time.
pub(crate) async fn give_back_when_idle(current: Current) {
    let mut kept = resident();
    loop {
        tokio::time::sleep(LOOK).await;
        if current.app().is_idle() && resident() > kept.saturating_add(WORTH_IT) {
            // The walk through the heap takes milliseconds.
            let given = tokio::task::spawn_blocking(give_back);
            if given.await.is_ok() {
                kept = resident();
            }
        }
    }
}

/// Gives all that is free back to the kernel. glibc does so by itself at the end of its heap only, and loading a model, as large requests, leaves
/// holes before that: of MobileNetV2 3 to 4 MB for each session, and 25 MB after JSON of 3 MB on four connections. What is wanted again after it
/// comes as new pages, which costs the next request a millisecond or so.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim(3) takes any number, touches nothing but what is free, and may be called by any thread at any time.
        #[expect(unsafe_code, reason = "glibc has no other way")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// Bytes of memory that the process holds; 0 where the kernel does not say.
fn resident() -> usize {
    // proc_pid_status(5): in units of 1024 bytes.
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kib.unwrap_or(0).saturating_mul(1 << 10)
}

fn parse(text: &str) -> Option<usize> {
    // Version 2 says "max" where there is no limit.
    let bytes: u64 = text.trim().parse().ok()?;
    usize::try_from(bytes).ok().filter(|_| bytes < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holes between what is in use are what glibc keeps by itself.
    #[cfg(target_env = "gnu")]
    #[test]
    fn what_is_free_between_what_is_not_goes_back() {
        let mut pieces: Vec<Vec<u8>> = (0..1024).map(|_| vec![1; 64 << 10]).collect();
        let full = resident();
        assert!(full > 64 << 20, "{full}");
        let mut n = 0;
        pieces.retain(|_| {
            n += 1;
            n % 8 == 0
        });
        give_back();
        let left = resident();
        assert!(left + (32 << 20) < full, "{full} before, {left} after, of which 56 MiB were free");
        drop(pieces);
    }

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
