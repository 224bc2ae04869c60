//! SIGTERM (the pod is deleted or evicted, its node drained) and SIGINT: the work stops at its next step.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Time that the work has to come to its next step. Kubernetes kills 30 seconds after the signal, by default.
const GRACE: Duration = Duration::from_secs(20);
/// A signal comes to the process, not to a value in it.
static REQUESTED: AtomicBool = AtomicBool::new(false);

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
/// [`Interrupted`] once a signal came.
pub fn check() -> Result<(), Interrupted> {
    if REQUESTED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}
