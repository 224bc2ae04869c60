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

/// Where the process is between start and end, and whether others are to be asked in its place meanwhile. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
    replaced: Arc<watch::Sender<bool>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)), replaced: Arc::default() }
    }
}

impl Lifecycle {
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| std::mem::replace(now, phase.max(*now)) != *now);
    }

    pub fn is_ready(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
    }

    /// Another revision has this one's Service, or has it no longer: the pod stays ready, as it may be called back.
    pub fn set_replaced(&self, replaced: bool) {
        self.replaced.send_if_modified(|now| std::mem::replace(now, replaced) != replaced);
    }

    /// Whether clients do better to connect elsewhere.
    pub fn sends_away(&self) -> bool {
        !self.is_ready() || *self.replaced.borrow()
    }

    /// Returns when it does.
    pub async fn sent_away(&self) {
        let mut replaced = self.replaced.subscribe();
        tokio::select! {
            () = self.reached(Phase::LameDuck) => {}
            // The sender lives in `self`, so waiting cannot fail.
            _ = replaced.wait_for(|is| *is) => {}
        }
    }

    /// Returns when the phase has come, or has passed.
    pub async fn reached(&self, phase: Phase) {
        // As above.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }
}
