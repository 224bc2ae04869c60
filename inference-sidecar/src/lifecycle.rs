use std::sync::Arc;

use tokio::sync::watch;

/// Kubernetes takes a pod out of its Services while, not before, it sends SIGTERM: requests still come for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Not ready, and asks clients to go elsewhere, but still answers everything.
    LameDuck,
    /// Takes no new connection; what is in progress is finished.
    Stopping,
}

/// Where the process is between start and end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }
}

impl Lifecycle {
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| std::mem::replace(now, phase.max(*now)) != *now);
    }

    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == Phase::Serving
    }

    /// Returns when the phase has come, or has passed.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }
}
