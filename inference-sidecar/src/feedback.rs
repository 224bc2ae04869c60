//! What users say of answers: it is counted, and not kept.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use drydock_contract::{CORRECT, FeedbackMetric};
use serde::{Deserialize, Deserializer};

use crate::error::ServeError;
use crate::serve::App;

const EXPECTED: &str = r#"{"revision": "what the header drydock-revision said", "id": "of the request", "correct": true, "metrics": {"conversion": 1}}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feedback {
    revision: String,
    #[serde(default, deserialize_with = "given")]
    id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    correct: Option<bool>,
    #[serde(default)]
    metrics: BTreeMap<String, f64>,
}

/// Who says `null` says nothing that there is.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

pub(crate) fn read(body: &[u8]) -> Result<Feedback, ServeError> {
    let wrong =
        |why: String| ServeError::Invalid(format!("the feedback is not as expected: {why}; expected {EXPECTED}"));
    let feedback: Feedback = serde_json::from_slice(body).map_err(|e| wrong(e.to_string()))?;
    if feedback.correct.is_none() && feedback.metrics.is_empty() {
        return Err(wrong("it has neither correct nor metrics".into()));
    }
    Ok(feedback)
}

/// Counts it, for whoever gave the answer; the names of what was counted. While there is no canary nothing is compared, and only whether
/// an answer was right is of any use.
pub(crate) fn count(app: &App, feedback: &Feedback) -> Result<Vec<String>, ServeError> {
    let own = &app.model.revision;
    let in_force = app.splitter.as_ref().and_then(|splitter| Some((splitter, splitter.in_force()?)));
    let canary = in_force.as_ref().map(|(_, (split, _))| &split.revision);
    let is_canarys = canary == Some(&feedback.revision);
    if !is_canarys && feedback.revision != *own {
        let expected = [Some(own), canary].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        return Err(ServeError::UnknownRevision { found: feedback.revision.clone(), expected });
    }
    let mut values = values(feedback, in_force.as_ref().map(|(_, (split, _))| split.metrics.as_slice()))?;
    if let Some((splitter, (_, generation))) = in_force {
        let id = feedback.id.as_deref().map(|id| (feedback.revision.as_str(), id));
        values = splitter.told(generation, is_canarys, id, values);
    }
    for (name, value) in &values {
        app.metrics.feedback(&feedback.revision, name, *value);
    }
    Ok(values.into_iter().map(|(name, _)| name).collect())
}

/// `declared`: by the spec; nobody knows it while there is no canary.
fn values(feedback: &Feedback, declared: Option<&[FeedbackMetric]>) -> Result<Vec<(String, f64)>, ServeError> {
    let mut values: Vec<_> =
        feedback.correct.map(|correct| (CORRECT.to_owned(), f64::from(u8::from(correct)))).into_iter().collect();
    let Some(declared) = declared else { return Ok(values) };
    for (name, value) in &feedback.metrics {
        let Some(metric) = declared.iter().find(|m| m.name == *name) else {
            let names = declared.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
            let expected = if names.is_empty() {
                "none, for the spec declares none".to_owned()
            } else {
                format!("one of {names}")
            };
            let what = format!("no metric {name:?}; expected {expected} (rollout.analysis.metrics)");
            return Err(ServeError::Invalid(what));
        };
        if !(metric.min..=metric.max).contains(value) {
            let (min, max) = (metric.min, metric.max);
            return Err(ServeError::Invalid(format!("metric {name:?} is {value}; expected {min} to {max}")));
        }
        values.push((name.clone(), *value));
    }
    Ok(values)
}

/// The ids that came last: who sends feedback again, for want of an answer, is not counted twice. Of this pod alone.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    hasher: RandomState,
    order: VecDeque<u64>,
    seen: HashSet<u64>,
}

/// Half a megabyte at the most.
const REMEMBERED: usize = 16_384;

impl Recent {
    /// Whether this metric of this answer of this revision is new: some things are known at once, and others days later. Of two that share one of 2^64 hashes, one is lost.
    pub(crate) fn is_new(&mut self, id: (&str, &str, &str)) -> bool {
        let hash = self.hasher.hash_one(id);
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_expected_is_told() {
        for (body, why) in [
            ("", "EOF"),
            ("[]", "invalid length"),
            (r#"{"correct": true}"#, "missing field `revision`"),
            (r#"{"revision": "r1"}"#, "neither correct nor metrics"),
            (r#"{"revision": "r1", "metrics": {}}"#, "neither correct nor metrics"),
            (r#"{"revision": "r1", "correct": null}"#, "null"),
            (r#"{"revision": "r1", "correct": 1}"#, "expected a boolean"),
            (r#"{"revision": "r1", "id": 7, "correct": true}"#, "expected a string"),
            (r#"{"revision": "r1", "metrics": {"a": "1"}}"#, "expected f64"),
            (r#"{"revision": "r1", "metrics": {"a": 1e999}}"#, "out of range"),
            (r#"{"revision": "r1", "correct": true, "label": 3}"#, "unknown field `label`"),
        ] {
            let told = read(body.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("expected {\"revision\""), "{body}: {told}");
        }
    }

    #[test]
    fn only_what_is_declared_and_within_its_bounds_counts() {
        let metric = |name: &str, min, max| FeedbackMetric { name: name.into(), min, max };
        let declared = [metric("conversion", 0.0, 1.0), metric("price", -5.0, 100.0)];
        let of = |json: &str, declared: Option<&[FeedbackMetric]>| values(&read(json.as_bytes()).unwrap(), declared);
        let both = r#"{"revision": "r1", "correct": false, "metrics": {"price": -5, "conversion": 0.5}}"#;
        let all = [(CORRECT, 0.0), ("conversion", 0.5), ("price", -5.0)].map(|(name, v)| (name.to_owned(), v));
        assert_eq!(of(both, Some(&declared)).unwrap(), all);
        assert_eq!(of(both, None).unwrap(), all[..1], "nothing is compared");
        for (json, declared, told) in [
            (
                r#"{"revision": "r1", "metrics": {"clicks": 1}}"#,
                &declared[..],
                "no metric \"clicks\"; expected one of conversion, price",
            ),
            (r#"{"revision": "r1", "metrics": {"clicks": 1}}"#, &[], "the spec declares none"),
            (
                r#"{"revision": "r1", "metrics": {"price": 100.5}}"#,
                &declared,
                "metric \"price\" is 100.5; expected -5 to 100",
            ),
        ] {
            let found = of(json, Some(declared)).unwrap_err().to_string();
            assert!(found.contains(told), "{found}");
        }
    }

    #[test]
    fn the_last_ids_are_remembered_and_no_more() {
        let mut recent = Recent::default();
        let first = ("r1", "a", "correct");
        assert!(recent.is_new(first) && recent.is_new(("r2", "a", "correct")) && !recent.is_new(first));
        for i in 0..REMEMBERED {
            assert!(recent.is_new(("r1", &i.to_string(), "correct")));
        }
        assert_eq!((recent.order.len(), recent.seen.len()), (REMEMBERED, REMEMBERED));
        assert!(recent.is_new(first), "forgotten");
        assert!(recent.is_new(("r1", "a", "conversion")), "what is known later");
    }
}
