//! How long a request would wait, by what the last ones took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A request's weight in the mean is one in so many: of what was before the last 30, 2 % are left.
const LAST: u64 = 8;
/// Of the time that its client has left, what a request's wait and inference may take by the mean: single ones take longer, and the answer
/// must be written and read too.
const SAFE: f64 = 0.75;

/// A session's time for a request: a moving mean, in nanoseconds; 0 before the first.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    pub(super) fn took(&self, request: Duration) {
        let new = u64::try_from(request.as_nanos()).unwrap_or(u64::MAX);
        let old = self.0.load(Ordering::Relaxed);
        // When the machine has stood still for a second, one request took a second: the next ones will not.
        let new = if old == 0 { new } else { new.min(old.saturating_mul(2)) };
        // What two sessions write at once is the mean of one of them: as good.
        self.0.store(if old == 0 { new } else { old - old / LAST + new / LAST }, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The time for which a request would wait behind `waiting` others, if that is too long: beyond `most`, or what its client has `left`.
pub(super) fn too_long(
    pace: Duration,
    waiting: usize,
    sessions: usize,
    left: Option<Duration>,
    most: Duration,
) -> Option<(Duration, Duration)> {
    let rounds = u32::try_from(waiting / sessions.max(1)).unwrap_or(u32::MAX);
    if rounds == 0 {
        // Next in turn: there is no better time for it, and without requests the mean would never change.
        return None;
    }
    let wait = pace.saturating_mul(rounds);
    let most = left.map_or(most, |left| most.min(left.mul_f64(SAFE).saturating_sub(pace)));
    (wait > most).then_some((wait, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_wait_is_refused_that_is_longer_than_anyone_waits() {
        for (pace, waiting, sessions, left, refused) in [
            (ms(10), 100, 1, None, None),
            (ms(10), 101, 1, None, Some((ms(1010), ms(1000)))),
            (ms(10), 101, 2, None, None),
            // As many as there are sessions are about to be taken.
            (ms(300), 7, 8, Some(ms(400)), None),
            // A client's 400 ms are 300 for the wait and the inference.
            (ms(10), 29, 1, Some(ms(400)), None),
            (ms(10), 30, 1, Some(ms(400)), Some((ms(300), ms(290)))),
            (ms(10), 200, 1, Some(ms(60_000)), Some((ms(2000), ms(1000)))),
            // The next in turn is tried, whatever it took before.
            (ms(5000), 0, 1, Some(ms(1)), None),
            (ms(5000), 1, 1, Some(ms(1)), Some((ms(5000), ms(0)))),
            // Nothing is known yet, and no session is up.
            (ms(0), 200, 0, Some(ms(400)), None),
        ] {
            assert_eq!(too_long(pace, waiting, sessions, left, ms(1000)), refused, "{pace:?} {waiting} {left:?}");
        }
    }

    #[test]
    fn the_mean_follows_what_requests_take() {
        let pace = Pace::default();
        pace.took(ms(8));
        assert_eq!(pace.get(), ms(8));
        pace.took(ms(1000));
        assert_eq!(pace.get(), ms(9));
        (0..60).for_each(|_| pace.took(ms(80)));
        assert!((ms(78)..=ms(80)).contains(&pace.get()), "{:?}", pace.get());
    }
}
