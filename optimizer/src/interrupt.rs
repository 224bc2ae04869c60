//! SIGTERM (the pod is deleted or evicted, its node drained) and SIGINT: the work stops at its next step.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use drydock_contract::FailureReason;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Error;

/// Time that the work has to come to its next step. Kubernetes kills 30 seconds after the signal, by default.
const GRACE: Duration = Duration::from_secs(20);
/// A signal comes to the process, not to a value in it.
static REQUESTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Of the work that this thread does just now.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("told to end (SIGTERM or SIGINT) before the work was done; nothing half-written is left")]
pub struct Interrupted;

/// From here on the two signals end the work and not the process. The first process of a container needs this most: the
/// kernel gives it no default action, and it would only be killed.
///
/// `late` is called on another thread where the work does not come to a next step in time; it should end the process.
pub fn watch(late: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            REQUESTED.store(true, Ordering::Relaxed);
            std::thread::sleep(GRACE);
            late();
        }
    })?;
    Ok(())
}

/// To be called between steps that take long.
///
/// # Errors
/// [`Interrupted`] once a signal came, or the deadline of [`before`] has passed.
pub fn check() -> Result<(), Interrupted> {
    let is_late = DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline);
    if is_late || REQUESTED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// To be called where it is known how long the work will go on.
///
/// # Errors
/// As [`check`], and where the deadline of [`before`] will have passed by then: what cannot be done in time is not gone on with.
pub fn check_ahead(left: Duration) -> Result<(), Interrupted> {
    let is_late = DEADLINE.get().is_some_and(|deadline| Instant::now() + left > deadline);
    if is_late { Err(Interrupted) } else { check() }
}

/// Does the work, but stops it at its next step once the deadline has passed: `None` then.
pub fn before<T>(deadline: Instant, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
    let outer = DEADLINE.get();
    DEADLINE.set(Some(outer.map_or(deadline, |outer| outer.min(deadline))));
    let result = work();
    DEADLINE.set(outer);
    match result {
        Err(e) if e.reason() == FailureReason::Interrupted && check().is_ok() => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_is_late_stops_at_its_next_step() {
        let steps = |deadline: Instant| {
            before(deadline, || {
                check()?;
                Ok(7)
            })
        };
        let now = Instant::now();
        assert_eq!(steps(now).unwrap(), None);
        assert_eq!(steps(now + Duration::from_hours(1)).unwrap(), Some(7));
        let ahead = |left: Duration| before(now + Duration::from_hours(1), || Ok(check_ahead(left)?)).unwrap();
        assert_eq!(ahead(Duration::from_hours(2)), None, "it would be too late");
        assert_eq!(ahead(Duration::from_secs(1)), Some(()));
        assert!(check_ahead(Duration::from_hours(2)).is_ok(), "nothing to be late for");
        let inside = before(now + Duration::from_hours(1), || steps(now)).unwrap();
        assert_eq!(inside, Some(None), "the outer work goes on");
        let outside = before(now, || steps(now + Duration::from_hours(1))).unwrap();
        assert_eq!(outside, None, "no more time inside than outside");
        assert!(check().is_ok());
        assert!(before(now, || Err::<(), _>(Error::NoDataset)).is_err(), "another error is one");
    }
}
