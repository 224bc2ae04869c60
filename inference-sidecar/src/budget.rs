//! One budget of memory for all requests in progress.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ServeError;

/// One permit; small enough to be exact, and large enough for the semaphore to count terabytes.
const UNIT: usize = 1 << 10;

/// Bytes that the bodies of all requests in progress, the tensors read from them and the answers that are not written yet may
/// hold together. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), total: units * UNIT }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Whether there is room for what nobody waits for: half of it is left to who does.
    pub(crate) fn has_room(&self) -> bool {
        self.free.available_permits() * UNIT > self.total / 2
    }

    /// A share that holds nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), permit: None, beside: 0, body: None }
    }
}

/// What one request holds of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    /// Bytes that the same request holds in another share.
    beside: usize,
    /// That other share, where this one must not outlive it.
    body: Option<Arc<Share>>,
}

impl Share {
    /// Another share of the same request.
    pub(crate) fn beside(&self) -> Self {
        Self { beside: self.beside + self.held(), body: self.body.clone(), ..self.budget.share() }
    }

    /// A share of what is read from a body, which may be slices of it: the body's share is held for as long as this one.
    pub(crate) fn of_body(body: &Arc<Self>) -> Self {
        Self { body: Some(body.clone()), ..body.beside() }
    }

    /// Holds from here on what the other has held.
    pub(crate) fn absorb(&mut self, other: Self) {
        match (&mut self.permit, other.permit) {
            (Some(permit), Some(more)) => permit.merge(more),
            (permit @ None, more) => *permit = more,
            (Some(_), None) => {}
        }
    }

    /// The same bytes, which hold this share until the last of their copies is gone: when the client has them.
    pub(crate) fn keep(mut self, bytes: Bytes) -> Result<Bytes, ServeError> {
        self.hold(bytes.len())?;
        Ok(Bytes::from_owner(Kept { bytes, _share: self }))
    }

    fn held(&self) -> usize {
        self.permit.as_ref().map_or(0, |p| p.num_permits() * UNIT)
    }

    /// Holds at least so many bytes from here on. It never waits: requests that hold a part each and wait for the rest
    /// would wait for ever.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), ServeError> {
        let limit = self.budget.total;
        let Some(more) = bytes.checked_sub(self.held()).filter(|more| *more > 0) else { return Ok(()) };
        let needed = self.beside.saturating_add(bytes);
        if needed > limit {
            // No other time is better for this one.
            return Err(ServeError::TooMuchMemory { needed, limit });
        }
        let spent = ServeError::OutOfMemory { limit };
        let units = u32::try_from(more.div_ceil(UNIT)).map_err(|_| spent.clone())?;
        let more = self.budget.free.clone().try_acquire_many_owned(units).map_err(|_| spent)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

struct Kept {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_held_until_nobody_has_it() {
        let budget = Budget::new(10 * UNIT);
        let answer = budget.share().keep(Bytes::from(vec![0; 9 * UNIT])).unwrap();
        let rest = answer.slice(UNIT..);
        drop(answer);
        assert!(budget.share().hold(2 * UNIT).is_err());
        drop(rest);
        budget.share().hold(10 * UNIT).unwrap();
    }

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::new(10 * UNIT);
        let mut first = budget.share();
        for (bytes, held) in [(1, 1), (UNIT, 1), (UNIT + 1, 2), (1, 2), (6 * UNIT, 6)] {
            first.hold(bytes).unwrap();
            assert_eq!(first.held(), held * UNIT, "{bytes}");
        }
        let mut second = budget.share();
        assert_eq!(second.hold(5 * UNIT), Err(ServeError::OutOfMemory { limit: 10 * UNIT }));
        second.hold(4 * UNIT).unwrap();
        assert_eq!(first.hold(7 * UNIT), Err(ServeError::OutOfMemory { limit: 10 * UNIT }));
        drop(first);
        second.hold(10 * UNIT).unwrap();
    }

    #[test]
    fn a_request_that_can_never_fit_is_not_told_to_come_again() {
        let budget = Budget::new(10 * UNIT);
        let needed = 10 * UNIT + 1;
        assert_eq!(budget.share().hold(needed), Err(ServeError::TooMuchMemory { needed, limit: 10 * UNIT }));
        assert!(budget.share().hold(usize::MAX).is_err());
        let mut body = budget.share();
        body.hold(4 * UNIT).unwrap();
        let tensors = body.beside().hold(6 * UNIT + 1);
        assert_eq!(tensors, Err(ServeError::TooMuchMemory { needed, limit: 10 * UNIT }));
        let mut rest = body.beside();
        rest.hold(6 * UNIT).unwrap();
        body.absorb(rest);
        assert_eq!(body.held(), 10 * UNIT);
        body.absorb(budget.share());
        drop(body);
        budget.share().hold(10 * UNIT).unwrap();
    }
}
