//! What happens to which request: decided by the seed, the request, and how often it came before. So a seed does the same things again,
//! as far as the operator asks the same things again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    None,
    /// The operator is killed once its `after`-th write has been carried out, before it hears of it.
    Death {
        after: usize,
    },
    /// The operator's wall clock is set forward or back, every second or two, by up to two minutes from the true time.
    Clock {
        seed: u64,
    },
    /// The operator's wall clock is an hour fast, and right once the `after`-th write has been carried out.
    SetBack {
        after: usize,
    },
    /// `percent` of the requests suffer something.
    Random {
        seed: u64,
        percent: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this code in the API server's place.
    Refused(u16),
    /// The connection ends, and nothing is done.
    NotArrived,
    /// It is done, and the connection ends before the answer.
    Unanswered,
    /// No answer for longer than anybody waits, and nothing is done.
    Late,
    Slow(Duration),
    /// A watch ends after so many events.
    Cut(u8),
    /// Each event of a watch comes so much later.
    Delayed(Duration),
    /// Each event of a watch comes twice.
    Doubled,
    /// Of two events of a watch the second comes first.
    Swapped,
}

impl Faults {
    pub fn of(self, what: &str, nth: u32, is_write: bool, is_watch: bool) -> Option<Fault> {
        let Self::Random { seed, percent } = self else { return None };
        let mut hasher = DefaultHasher::new();
        (seed, what.split("resourceVersion").next(), nth).hash(&mut hasher);
        let dice = hasher.finish();
        // Watches are few, and live long.
        let percent = if is_watch { 50 } else { percent };
        if dice % 100 >= percent {
            return None;
        }
        let dice = dice / 100;
        let wait = Duration::from_millis(200 + dice / 16 % 1800);
        Some(match (is_watch, is_write, dice % 16) {
            (true, _, 0..5) => Fault::Cut((dice / 16 % 5) as u8),
            (true, _, 5..9) => Fault::Delayed(wait),
            (true, _, 9..12) => Fault::Swapped,
            (true, ..) => Fault::Doubled,
            (_, true, 0 | 1) => Fault::Refused(409),
            (_, _, 0..5) => Fault::Refused(429),
            (_, _, 5 | 6) => Fault::Refused(500),
            (_, _, 7 | 8) => Fault::Refused(503),
            (_, _, 9 | 10) => Fault::NotArrived,
            (_, _, 11 | 12) => Fault::Unanswered,
            (_, _, 13) if (dice / 16).is_multiple_of(4) => Fault::Late,
            _ => Fault::Slow(wait),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_does_the_same_again_and_another_one_something_else() {
        let all = |seed| -> Vec<_> {
            let faults = Faults::Random { seed, percent: 20 };
            (0..5000).map(|n| faults.of("PATCH /a", n, n % 3 == 0, n % 3 == 1)).collect()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        for fault in [Fault::Refused(409), Fault::Unanswered, Fault::Doubled, Fault::Swapped, Fault::Late] {
            assert!(all(1).contains(&Some(fault)), "{fault:?} is never chosen");
        }
        assert_eq!(Faults::None.of("PATCH /a", 1, true, false), None);
    }
}
