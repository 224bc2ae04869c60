//! What `analysis.external` asks of others, beside the passes: none waits for an answer, and the next one knows it.

mod hosts;
mod request;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drydock_operator_core::{Answer, Heard, Question};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::target::Target;
pub use hosts::Hosts;
use request::Asker;

/// Questions that are open at the same time, of all ModelDeployments together.
const OPEN_AT_ONCE: usize = 64;
/// A ModelDeployment that has asked nothing for so long is gone, or its step is over.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The answers so far. In memory alone: an operator that starts anew asks again.
#[derive(Clone)]
pub struct Sources(Arc<Inner>);

struct Inner {
    asker: Asker,
    open: Semaphore,
    known: Mutex<HashMap<Target, Known>>,
}

struct Known {
    /// When something was asked last, or was not yet due.
    seen: Timestamp,
    /// By the source's name.
    sources: BTreeMap<String, Source>,
}

struct Source {
    /// Of the question.
    key: String,
    heard: Option<Heard>,
    is_open: bool,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources {
    pub fn new(hosts: Hosts) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(Inner {
            asker: Asker::new(hosts)?,
            open: Semaphore::new(OPEN_AT_ONCE),
            known: Mutex::default(),
        })))
    }

    /// What the sources of one ModelDeployment have said, by their names.
    pub fn heard(&self, target: &Target) -> BTreeMap<String, Heard> {
        let known = self.0.known();
        let sources = known.get(target).into_iter().flat_map(|k| &k.sources);
        sources.filter_map(|(name, source)| Some((name.clone(), source.heard.clone()?))).collect()
    }

    /// Asks what is due and has not been asked yet; what is asked no more is forgotten.
    pub fn ask(&self, target: &Target, questions: &[Question], now: Timestamp) {
        let mut known = self.0.known();
        if questions.is_empty() {
            known.remove(target);
            return;
        }
        if !known.contains_key(target) {
            // Who is deleted in the middle of a step does not say so.
            known.retain(|_, k| now.duration_since(k.seen).abs() < FORGOTTEN_AFTER);
        }
        let of = known.entry(target.clone()).or_insert_with(|| Known { seen: now, sources: BTreeMap::new() });
        of.seen = now;
        of.sources.retain(|name, source| questions.iter().any(|q| q.of.name == *name && q.key == source.key));
        for q in questions.iter().filter(|q| q.is_due) {
            let new = || Source { key: q.key.clone(), heard: None, is_open: false };
            let source = of.sources.entry(q.of.name.clone()).or_insert_with(new);
            if !source.is_open {
                source.is_open = true;
                tokio::spawn(self.clone().answer(target.clone(), q.clone(), now));
            }
        }
    }

    async fn answer(self, target: Target, q: Question, asked: Timestamp) {
        let within = Duration::try_from(q.within).unwrap_or_default();
        let answer = match timeout(within, self.0.open.acquire()).await {
            Ok(Ok(_permit)) => self.0.asker.ask(&q.request, within).await,
            _ => Answer::Nothing(format!("{OPEN_AT_ONCE} other questions were open before it")),
        };
        if let Answer::Nothing(why) = &answer {
            tracing::info!(model_deployment = %target, source = q.of.name, why, "a source does not say how the canary is");
        }
        let mut known = self.0.known();
        let source = known.get_mut(&target).and_then(|k| k.sources.get_mut(&q.of.name));
        if let Some(source) = source.filter(|s| s.key == q.key) {
            source.heard = Some(Heard::after(source.heard.as_ref(), &q.key, &q.of, answer, asked));
            source.is_open = false;
        }
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, HashMap<Target, Known>> {
        // Nothing in it is left half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
