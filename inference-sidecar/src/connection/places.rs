//! How many connections there may be.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the limit that are told so at one time. They last [`super::REFUSAL`] at most.
const REFUSALS: usize = 64;

/// Places of the connections of one or several ports, and of those that a port refuses. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    /// All that found no place, told so or not.
    refused: Counter,
}

/// What a connection holds until it ends.
#[derive(Debug)]
pub(super) struct Place {
    /// There is none: it is only told so.
    pub(super) refused: bool,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(connections: u32, refused: Counter) -> Self {
        let permits = usize::try_from(connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(permits)), refusals: Arc::new(Semaphore::new(REFUSALS)), refused }
    }

    /// The same places for one more port. It refuses for itself: clients that say nothing at another must not keep it from telling.
    pub(crate) fn of_port(&self) -> Self {
        Self { refusals: Arc::new(Semaphore::new(REFUSALS)), ..self.clone() }
    }

    /// `None`: there are too many even to tell them.
    pub(super) fn take(&self) -> Option<Place> {
        let place = |semaphore: &Arc<Semaphore>, refused| {
            let permit = semaphore.clone().try_acquire_owned().ok()?;
            Some(Place { refused, _permit: permit })
        };
        place(&self.free, false).or_else(|| {
            self.refused.inc();
            place(&self.refusals, true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_is_told_so_as_long_as_they_are_few() {
        let refused = Counter::default();
        let places = Places::new(2, refused.clone());
        let held: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(
            held.iter().map(|p| p.refused).collect::<Vec<_>>(),
            [[false; 2].as_slice(), &[true; REFUSALS]].concat()
        );
        // The last one is not even told.
        assert_eq!(refused.get(), REFUSALS as u64 + 1);
        drop(held);
        assert!(places.take().is_some_and(|p| !p.refused));
    }

    #[test]
    fn a_port_has_refusals_of_its_own() {
        let (http, grpc) = {
            let places = Places::new(2, Counter::default());
            (places.of_port(), places.of_port())
        };
        let _held: Vec<_> = std::iter::from_fn(|| grpc.take()).collect();
        assert!(http.take().is_some_and(|p| p.refused), "the places are one, the refusals are not");
    }
}
