use drydock_crds::{ExternalMetric, RolloutStatus};
use jiff::Timestamp;

use super::Answer;
use crate::hash::hash;
use crate::rollout;

/// What a source has said in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// [`key`] of the question.
    pub key: String,
    /// When it was asked last.
    pub asked: Timestamp,
    /// Without those that said nothing.
    pub answers: i64,
    pub bad: i64,
    pub last: Answer,
}

impl Heard {
    /// With one more answer. What was heard of another window, or of another question, is of no use.
    pub fn after(before: Option<&Self>, key: &str, of: &ExternalMetric, answer: Answer, asked: Timestamp) -> Self {
        let (answers, bad) = before.filter(|b| b.key == key).map_or((0, 0), |b| (b.answers, b.bad));
        let is_nothing = matches!(answer, Answer::Nothing(_));
        Self {
            key: key.to_owned(),
            asked,
            answers: answers.saturating_add(i64::from(!is_nothing)),
            bad: bad.saturating_add(i64::from(!is_nothing && !is_good(of, &answer))),
            last: answer,
        }
    }
}

/// Within the limit, or a yes.
pub fn is_good(of: &ExternalMetric, answer: &Answer) -> bool {
    match answer {
        Answer::Number(n) => of.max.is_none_or(|max| *n <= max) && of.min.is_none_or(|min| *n >= min),
        Answer::Yes => true,
        Answer::No(_) | Answer::Nothing(_) => false,
    }
}

/// Names a question in the window of a step: one that is edited begins anew.
pub fn key(of: &ExternalMetric, at: &RolloutStatus) -> String {
    let question = serde_json::to_value(of).unwrap_or_default();
    format!("{}/{}", rollout::window(at), hash(&question, 8))
}
