use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The right to write to the cluster, which runs out by itself.
///
/// Every write asks it first. So a process that was stopped for a while (SIGSTOP, a frozen cgroup, a starved node) and
/// wakes up after its Lease went to another one does not write, not even before it has found out.
#[derive(Debug)]
pub struct Claim {
    epoch: Instant,
    /// Milliseconds after `epoch`; 0: not held.
    until: AtomicU64,
}

impl Claim {
    pub fn not_held() -> Self {
        Self { epoch: Instant::now(), until: AtomicU64::new(0) }
    }

    /// For one process alone, without a Lease.
    pub fn without_end() -> Self {
        Self { epoch: Instant::now(), until: AtomicU64::new(u64::MAX) }
    }

    pub fn is_held(&self) -> bool {
        self.millis(Instant::now()) < self.until.load(Ordering::Acquire)
    }

    pub fn hold_until(&self, until: Instant) {
        self.until.store(self.millis(until), Ordering::Release);
    }

    pub fn give_up(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// How much longer it is held.
    pub fn left(&self) -> Duration {
        Duration::from_millis(self.until.load(Ordering::Acquire).saturating_sub(self.millis(Instant::now())))
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_out_by_itself() {
        let claim = Claim::not_held();
        assert!(!claim.is_held());
        claim.hold_until(Instant::now() + Duration::from_secs(10));
        assert!(claim.is_held());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(claim.is_held());
        assert_eq!(claim.left(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!claim.is_held());
        claim.hold_until(Instant::now() + Duration::from_secs(10));
        claim.give_up();
        assert!(!claim.is_held());
        assert!(Claim::without_end().is_held());
    }
}
