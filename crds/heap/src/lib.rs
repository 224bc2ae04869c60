//! Memory that is free, given back to the kernel. By itself glibc does so at the end of its heap only, and what comes in bursts (a model that is
//! loaded, a list of thousands of objects, large requests) leaves holes before that, which the process keeps for good.

use std::fs;
use std::time::Duration;

/// How often it is looked whether there is anything to give back.
const LOOK: Duration = Duration::from_secs(10);
/// Bytes. Less is not worth the time, and will be wanted again.
const WORTH_IT: usize = 4 << 20;

/// Gives back what a burst has left, while it `is_idle`: each time that the process holds more than it did after the last time. Does not end.
pub async fn give_back_while(is_idle: impl Fn() -> bool) {
    give_back_since(resident(), is_idle).await;
}

async fn give_back_since(mut kept: usize, is_idle: impl Fn() -> bool) {
    loop {
        tokio::time::sleep(LOOK).await;
        if is_idle() && resident() > kept.saturating_add(WORTH_IT) {
            // The walk through the heap takes milliseconds.
            let given = tokio::task::spawn_blocking(give_back);
            if given.await.is_ok() {
                kept = resident();
            }
        }
    }
}

/// Gives all that is free back, also between what is in use. What is wanted again after it comes as new pages: the next large request takes a
/// millisecond or so more (docs/adr/0021-hot-path.md).
pub fn give_back() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Holes between what is in use are what glibc keeps by itself.
    #[cfg(target_env = "gnu")]
    #[tokio::test(start_paused = true)]
    async fn what_is_free_between_what_is_not_goes_back_once_it_is_idle() {
        let mut pieces: Vec<Vec<u8>> = (0..1024).map(|_| vec![1; 64 << 10]).collect();
        let mut n = 0;
        pieces.retain(|_| {
            n += 1;
            n % 8 == 0
        });
        let full = resident();
        assert!(full > 64 << 20, "{full}");
        // What is looked at has grown by all of that since it began, if it began with nothing.
        let while_busy = tokio::time::timeout(LOOK * 3, give_back_since(0, || false));
        assert!(while_busy.await.is_err());
        let left = resident();
        assert!(left + (8 << 20) > full, "{full} before, {left} after, though it was busy");
        assert!(tokio::time::timeout(LOOK * 3, give_back_since(0, || true)).await.is_err());
        let left = resident();
        assert!(left + (32 << 20) < full, "{full} before, {left} after, of which 56 MiB were free");
        drop(pieces);
    }
}
