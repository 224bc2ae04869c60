//! What a person says, as a patch of `spec.rollout.control`.

use drydock_crds::{Control, ModelDeployment, RolloutStatus};
use drydock_operator_core::{OfPackage, course, served_last};
use serde_json::{Map, Value, json};

use crate::revisions::{Revision, list};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Promote {
        revision: Option<String>,
    },
    /// Counted from 0.
    Proceed {
        step: Option<usize>,
    },
    Abort {
        revision: Option<String>,
    },
    Retry {
        revision: Option<String>,
    },
    Pause,
    Resume,
    RollBack {
        to: String,
    },
    EndRollBack,
}

/// A word that does something to this object.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// Of `spec.rollout.control`, a JSON merge patch.
    pub control: Value,
    /// The field of the status that has the very same word from an earlier attempt: it has to be taken out first, and forgotten.
    pub spent: Option<&'static str>,
    /// `promote bbbbbbbbbb`.
    pub what: String,
    /// What else has to be done for it to have its effect.
    pub but: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no canary; the revisions are{0}")]
    NoCanary(Revisions),
    #[error("{given} is not the canary; the revisions are{known}")]
    NotTheCanary { given: String, known: Revisions },
    #[error("{given} is no revision of this ModelDeployment; there are{known}")]
    NoSuch { given: String, known: Revisions },
    #[error("{given} is the beginning of several; the revisions are{known}")]
    SeveralSuch { given: String, known: Revisions },
    #[error("no revision is rolled back: there is nothing to try again")]
    NothingFailed,
    #[error("{given} is not what was rolled back last: that is {failed}")]
    NotTheFailed { given: String, failed: String },
    #[error("all revisions of {given} were rolled back: to serve one of them all the same, name the revision{known}")]
    RolledBack { given: String, known: Revisions },
    #[error("the rollout has no step {step}: it has {steps}")]
    NoStep { step: usize, steps: usize },
    #[error("step {0} does not wait for anybody: it has no pause")]
    NoPause(usize),
    #[error("{0} is not set")]
    NotSet(&'static str),
}

/// As text, one line each.
pub type Revisions = String;

/// The patch for `said`, `by` whom.
///
/// # Errors
/// A word that would do nothing: the name is none of `known`, or nothing waits for it.
pub fn word(said: &Said, md: &ModelDeployment, known: &[Revision], by: Option<&str>) -> Result<Word, Refusal> {
    let now = Now { control: &md.spec.rollout.control, rollout: rollout(md), known };
    let mut word = match said {
        Said::Promote { revision } => now.promote(revision.as_deref())?,
        Said::Proceed { step } => now.proceed(md, *step)?,
        Said::Abort { revision } => now.abort(revision.as_deref())?,
        Said::Retry { revision } => now.retry(revision.as_deref())?,
        Said::Pause => Word::of("pause", "paused", json!(true)),
        Said::Resume if !now.control.paused => return Err(Refusal::NotSet("control.paused")),
        Said::Resume => Word::of("resume", "paused", json!(false)),
        Said::RollBack { to } => now.roll_back(to)?,
        Said::EndRollBack if now.control.roll_back_to.is_none() => return Err(Refusal::NotSet("control.rollBackTo")),
        Said::EndRollBack => Word::of("end the rollback", "rollBackTo", Value::Null),
    };
    word.sign(by);
    let waits = matches!(said, Said::Promote { .. } | Said::Proceed { .. } | Said::Retry { .. });
    if waits && now.control.paused {
        word.but = Some("the rollout is paused, which comes first: kubectl drydock resume".to_owned());
    }
    Ok(word)
}

/// Takes the words out that have had their effect already, so that the same one can be said again.
pub fn taking_out(word: &Word) -> Value {
    let fields = word.control.as_object().into_iter().flatten().filter(|(field, _)| *field != "by");
    Value::Object(fields.map(|(field, _)| (field.clone(), Value::Null)).collect())
}

fn rollout(md: &ModelDeployment) -> RolloutStatus {
    md.status.as_ref().and_then(|s| s.rollout.clone()).unwrap_or_default()
}

struct Now<'a> {
    control: &'a Control,
    rollout: RolloutStatus,
    known: &'a [Revision],
}

impl Word {
    fn of(what: &str, field: &'static str, value: Value) -> Self {
        let said = value.as_str().map(|v| format!(" {v}")).unwrap_or_default();
        let control = Value::Object(Map::from_iter([(field.to_owned(), value)]));
        Self { control, spent: None, what: format!("{what}{said}"), but: None }
    }

    /// Takes other words for the same revision out, which would contradict it.
    fn without<'a>(mut self, contradicting: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        for (field, contradicts) in contradicting {
            if contradicts {
                self.control[field] = Value::Null;
            }
        }
        self
    }

    /// Beside each word who said it, and nobody beside one that is taken out.
    fn sign(&mut self, by: Option<&str>) {
        /// As the schema has it.
        const LONGEST: usize = 320;
        let cut = by.map(|by| &by[..by.floor_char_boundary(LONGEST)]);
        let fields = self.control.as_object().cloned().unwrap_or_default();
        let signed =
            fields.into_iter().map(|(field, value)| (field, if value.is_null() { Value::Null } else { json!(cut) }));
        self.control["by"] = Value::Object(signed.collect());
    }
}

impl Now<'_> {
    fn list(&self) -> Revisions {
        list(self.known)
    }

    fn canary(&self, given: Option<&str>) -> Result<String, Refusal> {
        let canary = self.rollout.canary.as_ref().map(|c| c.revision.clone());
        match (canary, given) {
            (Some(canary), None) => Ok(canary),
            (Some(canary), Some(given)) if canary == given => Ok(canary),
            (None, None) => Err(Refusal::NoCanary(self.list())),
            (_, Some(given)) => Err(self.stranger(given)),
        }
    }

    fn stranger(&self, given: &str) -> Refusal {
        let (given, known) = (given.to_owned(), self.list());
        if self.known.iter().any(|r| r.name == given) {
            Refusal::NotTheCanary { given, known }
        } else {
            Refusal::NoSuch { given, known }
        }
    }

    fn is_aborted(&self, revision: &str) -> bool {
        self.control.abort.as_deref() == Some(revision)
    }

    fn promote(&self, given: Option<&str>) -> Result<Word, Refusal> {
        let canary = self.canary(given)?;
        let spent = (self.rollout.promoted.as_ref() == Some(&canary)).then_some("promoted");
        let word = Word::of("promote", "promote", json!(canary)).without([("abort", self.is_aborted(&canary))]);
        Ok(Word { spent, ..word })
    }

    fn proceed(&self, md: &ModelDeployment, step: Option<usize>) -> Result<Word, Refusal> {
        let canary = self.canary(None)?;
        let course = course(&md.spec.rollout);
        let index = step.unwrap_or_else(|| usize::try_from(self.rollout.step).unwrap_or_default());
        match course.get(index) {
            None => return Err(Refusal::NoStep { step: index + 1, steps: course.len() }),
            Some(step) if !step.pause => return Err(Refusal::NoPause(index + 1)),
            Some(_) => {}
        }
        let says = format!("{canary}/{index}");
        let spent = (self.rollout.proceeded.as_ref() == Some(&says)).then_some("proceeded");
        let word = Word::of("proceed", "proceed", json!(says)).without([("abort", self.is_aborted(&canary))]);
        Ok(Word { spent, ..word })
    }

    fn abort(&self, given: Option<&str>) -> Result<Word, Refusal> {
        let waiting = given.filter(|given| self.known.iter().any(|r| r.name == **given && r.part == "recorded"));
        let revision = match waiting {
            // One that has not begun, or will not again.
            Some(given) => given.to_owned(),
            None => self.canary(given)?,
        };
        let names = |word: &Option<String>, end: char| {
            word.as_ref().and_then(|w| w.split(end).next()).is_some_and(|of| of == revision)
        };
        Ok(Word::of("abort", "abort", json!(revision)).without([
            ("promote", self.control.promote.as_ref() == Some(&revision)),
            ("proceed", names(&self.control.proceed, '/')),
            ("retry", names(&self.control.retry, '@')),
        ]))
    }

    fn retry(&self, given: Option<&str>) -> Result<Word, Refusal> {
        let failed = self.rollout.failed.as_ref().map(|f| f.revision.clone()).ok_or(Refusal::NothingFailed)?;
        if let Some(given) = given.filter(|given| *given != failed) {
            return Err(if self.known.iter().any(|r| r.name == *given) {
                Refusal::NotTheFailed { given: given.to_owned(), failed }
            } else {
                self.stranger(given)
            });
        }
        let word = Word::of("retry", "retry", json!(self.next_attempt(&failed)));
        Ok(word.without([("abort", self.is_aborted(&failed))]))
    }

    /// A `retry` of a revision that has not been said yet.
    fn next_attempt(&self, failed: &str) -> String {
        let number = |word: &Option<String>| {
            word.as_ref().and_then(|w| w.split_once('@')).and_then(|(_, n)| n.parse::<u32>().ok()).unwrap_or_default()
        };
        let next = number(&self.control.retry).max(number(&self.rollout.retried)).saturating_add(1);
        format!("{failed}@{next}")
    }

    fn roll_back(&self, given: &str) -> Result<Word, Refusal> {
        let is_package = given.starts_with("sha256:");
        let to = if is_package { self.package(given)? } else { self.revision(given)? };
        let revision = if is_package { self.served_last(&to)? } else { &to };
        // What was rolled back, or is aborted, stays so until somebody says otherwise; and this says it.
        let mut word =
            Word::of("roll back to", "rollBackTo", json!(to)).without([("abort", self.is_aborted(revision))]);
        if self.rollout.failed.as_ref().is_some_and(|f| f.revision == revision) {
            word.control["retry"] = json!(self.next_attempt(revision));
        }
        Ok(word)
    }

    fn revision(&self, given: &str) -> Result<String, Refusal> {
        let names = self.known.iter().map(|r| r.name.as_str());
        self.one(given, names)
    }

    fn package(&self, given: &str) -> Result<String, Refusal> {
        self.one(given, self.known.iter().map(|r| r.package.as_str()))
    }

    /// The revision of the package that the operator will take.
    fn served_last(&self, package: &str) -> Result<&str, Refusal> {
        let all = self.known.iter().filter(|r| r.package == package).map(|r| OfPackage {
            revision: &r.name,
            is_stable: r.part == "stable",
            decisions: &r.record.decisions,
            number: r.number,
        });
        served_last(all).ok_or_else(|| Refusal::RolledBack { given: package.to_owned(), known: self.list() })
    }

    /// Of the names, the one that is `given`, or the only one that begins so.
    fn one<'b>(&self, given: &str, names: impl Iterator<Item = &'b str>) -> Result<String, Refusal> {
        let mut found: Vec<&str> = names.filter(|name| name.starts_with(given) && !given.is_empty()).collect();
        found.sort_unstable();
        found.dedup();
        let (given, known) = (given.to_owned(), self.list());
        match found.as_slice() {
            [] => Err(Refusal::NoSuch { given, known }),
            [one] => Ok((*one).to_owned()),
            several if several.contains(&given.as_str()) => Ok(given),
            _ => Err(Refusal::SeveralSuch { given, known }),
        }
    }
}

#[cfg(test)]
mod tests;
