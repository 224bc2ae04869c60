//! How long an object waits after a failure: kube's error policy is told of the error, not of how many came before it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::target::Target;

pub const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// The wait after the `failures`-th failure in a row: doubles from 1 s to 5 min. `jitter` in `0.0..1.0` takes up to half
/// of it away, so that objects that failed together do not come back together.
pub fn delay(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

/// Failures in a row, by object.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<Target, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    until: Instant,
}

impl Backoff {
    /// The wait until the next try. A failure counts if the wait of the one before is over: one that an event brought
    /// about earlier says nothing new, and a burst of events must not make for minutes.
    pub fn failed(&self, target: &Target) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = failures.get(target).copied().unwrap_or(Failures { count: 0, until: now });
        let next = if now < last.until {
            last
        } else {
            let count = last.count.saturating_add(1);
            Failures { count, until: now + delay(count, fastrand::f64()) }
        };
        failures.insert(target.clone(), next);
        next.until - now
    }

    /// After a success, and when the object is gone.
    pub fn reset(&self, target: &Target) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_five_minutes() {
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (11, 300), (u32::MAX, 300)] {
            assert_eq!(delay(failures, 0.0), Duration::from_secs(seconds), "{failures} failures");
        }
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        for failures in [1, 5, 40] {
            let full = delay(failures, 0.0);
            assert_eq!(delay(failures, 1.0), full / 2);
            assert!(delay(failures, 0.5) < full && delay(failures, 0.5) > full / 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_each_object_for_itself_and_forgets_on_success() {
        let backoff = Backoff::default();
        let (a, b) = (Target::new("ns", "a"), Target::new("ns", "b"));
        for _ in 0..5 {
            tokio::time::advance(backoff.failed(&a)).await;
        }
        assert!(backoff.failed(&a) >= Duration::from_secs(16));
        assert!(backoff.failed(&b) <= Duration::from_secs(1));
        backoff.reset(&a);
        assert!(backoff.failed(&a) <= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_failures_is_one() {
        let backoff = Backoff::default();
        let a = Target::new("ns", "a");
        let wait = backoff.failed(&a);
        for _ in 0..20 {
            tokio::time::advance(wait / 40).await;
            assert!(backoff.failed(&a) < wait);
        }
    }
}
