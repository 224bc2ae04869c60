//! How long an object waits after a failure: kube's error policy is told of the error, not of how many came before it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::target::Target;

const FIRST: Duration = Duration::from_secs(1);
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
    failures: Mutex<HashMap<Target, u32>>,
}

impl Backoff {
    /// Counts a failure; the wait until the next try.
    pub fn failed(&self, target: &Target) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(target.clone()).or_default();
        *count = count.saturating_add(1);
        delay(*count, fastrand::f64())
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

    #[test]
    fn counts_each_object_for_itself_and_forgets_on_success() {
        let backoff = Backoff::default();
        let (a, b) = (Target::new("ns", "a"), Target::new("ns", "b"));
        for _ in 0..5 {
            backoff.failed(&a);
        }
        assert!(backoff.failed(&a) >= Duration::from_secs(16));
        assert!(backoff.failed(&b) <= Duration::from_secs(1));
        backoff.reset(&a);
        assert!(backoff.failed(&a) <= Duration::from_secs(1));
    }
}
