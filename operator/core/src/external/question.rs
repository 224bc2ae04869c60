use std::collections::BTreeMap;

use drydock_crds::{ExternalMetric, RolloutStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Heard, Words, is_asked, key};
use crate::Resolved;

/// To a Prometheus or a web hook. Jobs are children, and are not asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub of: ExternalMetric,
    pub key: String,
    pub request: Request,
    /// For the whole of the answer.
    pub within: SignedDuration,
    /// It is time to ask. Those that are not are asked later: what was heard of them is kept.
    pub is_due: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// An instant query.
    Prometheus { address: String, query: String },
    /// `POST`; `number_at` where the answer is a number.
    WebHook { url: String, body: Value, number_at: Option<String> },
}

const INTERVAL: i32 = 10;
const TIMEOUT: i32 = 5;

/// Everything that is asked in this window; nothing where there is none.
pub fn questions(r: &Resolved, at: &RolloutStatus, heard: &BTreeMap<String, Heard>, now: Timestamp) -> Vec<Question> {
    if !is_asked(at) {
        return Vec::new();
    }
    let one = |of: &ExternalMetric| {
        let key = key(of, at);
        let every = SignedDuration::from_secs(of.interval_seconds.unwrap_or(INTERVAL).into());
        let last = heard.get(&of.name).filter(|h| h.key == key);
        Some(Question {
            request: request(r, of, at)?,
            within: SignedDuration::from_secs(of.timeout_seconds.unwrap_or(TIMEOUT).into()),
            // A clock that has gone back does not silence it.
            is_due: last.is_none_or(|h| now.duration_since(h.asked).abs() >= every),
            of: of.clone(),
            key,
        })
    };
    r.rollout.analysis.external.iter().filter_map(one).collect()
}

fn request(r: &Resolved, of: &ExternalMetric, at: &RolloutStatus) -> Option<Request> {
    let words = words(r, at);
    if let Some(prometheus) = &of.prometheus {
        return Some(Request::Prometheus {
            address: words.fill(&prometheus.address),
            query: words.fill(&prometheus.query),
        });
    }
    let hook = of.web_hook.as_ref()?;
    let metadata: BTreeMap<&String, String> = hook.metadata.iter().map(|(k, v)| (k, words.fill(v))).collect();
    let body = json!({
        "check": of.name,
        "namespace": words.namespace,
        "name": words.name,
        "canary": words.canary,
        "stable": words.stable,
        "step": at.step.saturating_add(1),
        "metadata": metadata,
    });
    let is_number = of.max.is_some() || of.min.is_some();
    let number_at = is_number.then(|| hook.pointer.clone().unwrap_or_default());
    Some(Request::WebHook { url: words.fill(&hook.url), body, number_at })
}

pub fn words<'a>(r: &'a Resolved, at: &'a RolloutStatus) -> Words<'a> {
    let of = |revision: &'a Option<drydock_crds::RevisionStatus>| revision.as_ref().map_or("", |r| r.revision.as_str());
    Words { canary: of(&at.canary), stable: of(&at.stable), namespace: &r.namespace, name: &r.name }
}
