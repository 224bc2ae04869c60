//! What is written down of a revision when something is decided about it, and at no other time.

use drydock_contract::Work;
use drydock_crds::{
    CandidateStatus, Control, Decided, Decision, MetricStatus, Reason, Record, RevisionStatus, RolloutStatus,
    Unrecorded,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::selection::{compared, numbers};
use crate::{Child, Resolved, labels, rollout};

/// Decisions that are kept of one revision, and of those that could not be written yet.
const MOST: usize = 40;

/// How the candidate of this index came to be: a record in which nothing is decided yet.
pub fn origin(r: &Resolved, index: usize, c: &CandidateStatus) -> Record {
    let gates = || r.selection.limits.results(&compared(c), r.selection.objective);
    let (recipe, gates) = match r.optimization.task.work(index) {
        Some(Work::Recipe(recipe)) => (Some(recipe.clone()), gates()),
        Some(Work::Search(_)) => (None, gates()),
        Some(Work::Original) | None => (None, Vec::new()),
    };
    Record { recipe, measured: numbers(c), gates, decisions: Vec::new() }
}

/// What one pass has decided, by revision. It is read off the two states, so that no transition can forget it.
pub fn decisions(
    before: &RolloutStatus,
    after: &RolloutStatus,
    metrics: &[MetricStatus],
    control: &Control,
    now: Timestamp,
) -> Vec<Unrecorded> {
    let name = |of: &Option<RevisionStatus>| of.as_ref().map(|r| r.revision.clone());
    let (was, is) = (name(&before.canary), name(&after.canary));
    let decided = |what, at: &RolloutStatus, why: String, metrics: &[MetricStatus]| Decision {
        at: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        what,
        step: at.step,
        window: rollout::window(at),
        why,
        by: said_by(what, before, after, control),
        metrics: metrics.to_vec(),
    };
    let mut all = Vec::new();
    let mut about = |revision: &str, decision| all.push(Unrecorded { revision: revision.to_owned(), decision });
    let forgotten = before.failed.as_ref().filter(|f| {
        let of = after.retried.as_ref().filter(|word| before.retried.as_ref() != Some(word));
        of.and_then(|word| word.split_once('@')).is_some_and(|(revision, _)| revision == f.revision)
    });
    if let Some(f) = forgotten {
        // Its number tells one from the next.
        let window = after.retried.clone().unwrap_or_default();
        let why = format!("{}: {}", f.reason, f.message);
        about(&f.revision, Decision { window, ..decided(Decided::Retried, after, why, &[]) });
    }
    let stable = name(&after.stable).filter(|stable| name(&before.stable).as_ref() != Some(stable));
    if let Some(was) = was.clone().filter(|was| is.as_ref() != Some(was)) {
        let failed = after.failed.as_ref().filter(|f| f.revision == was);
        let (what, why) = match failed {
            Some(f) => (Decided::RolledBack, format!("{}: {}", f.reason, f.message)),
            None if stable.as_ref() == Some(&was) => {
                let test = after.ab_test.as_ref().filter(|t| t.revision == was);
                (Decided::Promoted, test.map(|t| t.message.clone()).unwrap_or_default())
            }
            None => (Decided::Superseded, String::new()),
        };
        about(&was, decided(what, before, why, metrics));
    }
    let refused =
        after.failed.as_ref().filter(|f| before.failed.as_ref() != Some(f) && was.as_ref() != Some(&f.revision));
    if let Some(f) = refused {
        let window = format!("{}-refused-{}", f.revision, after.retried.as_deref().unwrap_or_default());
        let why = format!("{}: {}", f.reason, f.message);
        about(&f.revision, Decision { window, ..decided(Decided::RolledBack, after, why, &[]) });
    }
    if let Some(stable) = stable.filter(|stable| was.as_ref() != Some(stable)) {
        about(&stable, decided(Decided::Deployed, after, String::new(), &[]));
    }
    match is {
        Some(is) if was.as_ref() != Some(&is) => {
            about(&is, decided(Decided::Started, after, String::new(), &[]));
        }
        Some(is) if after.step > before.step => {
            about(&is, decided(Decided::StepPassed, before, String::new(), metrics));
        }
        _ => {}
    }
    all
}

/// Whose word it follows from, if it follows from one.
fn said_by(what: Decided, before: &RolloutStatus, after: &RolloutStatus, control: &Control) -> Option<String> {
    let by = control.by.as_ref()?;
    let rolls_back = control.roll_back_to.is_some();
    let is_aborted = || after.failed.as_ref().is_some_and(|f| f.reason == Reason::Aborted.as_str());
    let proceeds = || usize::try_from(before.step).is_ok_and(|step| rollout::proceeds(control, before, step));
    match what {
        Decided::Started | Decided::Promoted if rolls_back => by.roll_back_to.clone(),
        Decided::Promoted | Decided::StepPassed if rollout::promotes(control, before) => by.promote.clone(),
        Decided::StepPassed if proceeds() => by.proceed.clone(),
        Decided::RolledBack if is_aborted() => by.abort.clone(),
        Decided::Retried => by.retry.clone(),
        _ => None,
    }
}

/// Whether it is the record of this revision.
pub fn is_of(child: &Child, revision: &str) -> bool {
    matches!(child, Child::Revision(_)) && labels::label(child.metadata(), labels::REVISION) == Some(revision)
}

/// What a pass has to write down yet: what is in its record already changes none, and is not among the writes.
pub fn outstanding(decided: Vec<Unrecorded>, writes: &[Child]) -> Vec<Unrecorded> {
    let mut all = decided;
    all.retain(|u| writes.iter().any(|child| is_of(child, &u.revision)));
    all.split_off(all.len().saturating_sub(MOST))
}

/// One of the revisions of a package, and what decides between them.
#[derive(Clone, Copy, Debug)]
pub struct OfPackage<'a> {
    pub revision: &'a str,
    pub is_stable: bool,
    /// Of its record.
    pub decisions: &'a [Decision],
    /// How many were recorded before it.
    pub number: i64,
}

/// The one that `rollBackTo` a package means: the one that is served, or was served last. One that was rolled back last is what nobody
/// goes back to without naming it.
pub fn served_last<'a>(all: impl IntoIterator<Item = OfPackage<'a>>) -> Option<&'a str> {
    let is_good = |r: &OfPackage<'_>| r.is_stable || r.decisions.last().is_none_or(|d| d.what != Decided::RolledBack);
    let served_at = |r: &OfPackage<'_>| {
        let is_served = |d: &&Decision| matches!(d.what, Decided::Promoted | Decided::Deployed);
        r.decisions.iter().filter(is_served).map(|d| d.at.0).max()
    };
    let good = all.into_iter().filter(is_good);
    good.max_by_key(|r| (r.is_stable, served_at(r), r.number)).map(|r| r.revision)
}

/// The record with what was decided in it; one that a pass wrote before it died is not written again. Of too many the first and the
/// newest stay.
pub fn with(mut record: Record, decided: &[Decision]) -> Record {
    for d in decided {
        let is_there = |r: &Decision| r.what == d.what && r.step == d.step && r.window == d.window;
        // Its window begins with it, and is remembered by the status alone: decided again after a death between the two writes, it has
        // another one. Nothing begins twice without an end between.
        let begins = matches!(d.what, Decided::Started | Decided::Deployed);
        record.decisions.pop_if(|last| begins && last.what == d.what && last.step == d.step);
        if !record.decisions.iter().any(is_there) {
            record.decisions.push(d.clone());
        }
    }
    while record.decisions.len() > MOST {
        record.decisions.remove(1);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use drydock_crds::{FailedRevision, SaidBy};

    fn of(stable: &str, canary: Option<&str>, step: i32) -> RolloutStatus {
        let revision = |r: &str| RevisionStatus { revision: r.into(), ..RevisionStatus::default() };
        RolloutStatus { stable: Some(revision(stable)), canary: canary.map(revision), step, ..RolloutStatus::default() }
    }

    fn told(before: &RolloutStatus, after: &RolloutStatus) -> Vec<(String, Decided)> {
        decisions(before, after, &[], &Control::default(), Timestamp::UNIX_EPOCH)
            .into_iter()
            .map(|u| (u.revision, u.decision.what))
            .collect()
    }

    #[test]
    fn what_is_decided_is_read_off_two_states() {
        use Decided::{Deployed, Promoted, RolledBack, Started, StepPassed, Superseded};
        let failed = |r: &str| {
            let at = Time(Timestamp::UNIX_EPOCH);
            let text = String::new;
            Some(FailedRevision { revision: r.into(), candidate: text(), reason: text(), message: text(), at })
        };
        let cases = [
            (RolloutStatus::default(), of("a", None, 0), vec![("a", Deployed)]),
            (of("a", None, 0), of("a", Some("b"), 0), vec![("b", Started)]),
            (of("a", Some("b"), 0), of("a", Some("b"), 1), vec![("b", StepPassed)]),
            (of("a", Some("b"), 1), of("a", Some("b"), 1), vec![]),
            (of("a", Some("b"), 2), of("b", None, 0), vec![("b", Promoted)]),
            (of("a", Some("b"), 1), RolloutStatus { failed: failed("b"), ..of("a", None, 0) }, vec![("b", RolledBack)]),
            (of("a", Some("b"), 1), of("a", Some("c"), 0), vec![("b", Superseded), ("c", Started)]),
            (of("a", Some("b"), 1), of("a", None, 0), vec![("b", Superseded)]),
        ];
        for (before, after, expected) in cases {
            let expected: Vec<_> = expected.into_iter().map(|(r, d)| (r.to_owned(), d)).collect();
            assert_eq!(told(&before, &after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn who_said_the_word_stands_beside_what_follows_from_it_and_nothing_else() {
        let word = |w: &str| Some(w.to_owned());
        let by = SaidBy {
            paused: word("peter"),
            promote: word("paula"),
            proceed: word("paul"),
            abort: word("anna"),
            retry: word("rita"),
            roll_back_to: word("bob"),
        };
        let control = |change: fn(&mut Control)| {
            let mut control = Control { by: Some(by.clone()), ..Control::default() };
            change(&mut control);
            control
        };
        let failed = |reason: Reason| {
            let (at, text) = (Time(Timestamp::UNIX_EPOCH), String::new);
            let reason = reason.as_str().to_owned();
            Some(FailedRevision { revision: "b".into(), candidate: text(), reason, message: text(), at })
        };
        let was_failed = RolloutStatus { failed: failed(Reason::ErrorRate), ..of("a", None, 0) };
        let promoted = |c: &mut Control| c.promote = Some("b".into());
        let spent = RolloutStatus { promoted: word("b"), ..of("a", Some("b"), 1) };
        let retried = RolloutStatus { retried: word("b@1"), ..of("a", None, 0) };
        let cases: Vec<(&str, RolloutStatus, RolloutStatus, Control, Option<&str>)> = vec![
            ("by itself", of("a", Some("b"), 1), of("b", None, 0), control(|_| ()), None),
            ("promoted", of("a", Some("b"), 1), of("b", None, 0), control(promoted), Some("paula")),
            ("promoted once before", spent, of("b", None, 0), control(promoted), None),
            ("steps skipped", of("a", Some("b"), 0), of("a", Some("b"), 2), control(promoted), Some("paula")),
            (
                "a pause ended",
                of("a", Some("b"), 0),
                of("a", Some("b"), 1),
                control(|c| c.proceed = Some("b/0".into())),
                Some("paul"),
            ),
            (
                "another's pause",
                of("a", Some("b"), 0),
                of("a", Some("b"), 1),
                control(|c| c.proceed = Some("b/1".into())),
                None,
            ),
            (
                "aborted",
                of("a", Some("b"), 0),
                RolloutStatus { failed: failed(Reason::Aborted), ..of("a", None, 0) },
                control(|c| c.abort = Some("b".into())),
                Some("anna"),
            ),
            (
                "refused before it began",
                of("a", None, 0),
                RolloutStatus { failed: failed(Reason::Aborted), ..of("a", None, 0) },
                control(|c| c.abort = Some("b".into())),
                Some("anna"),
            ),
            ("retried", was_failed, retried, control(|c| c.retry = Some("b@1".into())), Some("rita")),
            (
                "called back",
                of("a", Some("b"), 0),
                of("b", None, 0),
                control(|c| c.roll_back_to = Some("b".into())),
                Some("bob"),
            ),
        ];
        for (name, before, after, control, expected) in cases {
            let all = decisions(&before, &after, &[], &control, Timestamp::UNIX_EPOCH);
            let told: Vec<_> = all.iter().map(|u| (u.revision.as_str(), u.decision.by.as_deref())).collect();
            assert_eq!(told, [("b", expected)], "{name}");
        }
    }

    /// Found by e2e/kwok: the operator was killed between the record and the status, and a canary had begun twice.
    #[test]
    fn what_is_decided_again_after_a_death_has_begun_once() {
        for (before, after) in [(of("a", None, 0), of("a", Some("b"), 0)), (RolloutStatus::default(), of("a", None, 0))]
        {
            let [first, again] = [0, 2].map(|second| {
                let now = Timestamp::from_second(second).unwrap();
                let after = RolloutStatus { since: Some(Time(now)), ..after.clone() };
                decisions(&before, &after, &[], &Control::default(), now).remove(0).decision
            });
            assert_ne!(first.window, again.window);
            let record = with(with(Record::default(), &[first]), std::slice::from_ref(&again));
            assert_eq!(record.decisions, [again]);
        }
    }

    #[test]
    fn nothing_is_written_twice_and_not_without_end() {
        let begun = (of("a", None, 0), of("a", Some("b"), 0));
        let d = decisions(&begun.0, &begun.1, &[], &Control::default(), Timestamp::UNIX_EPOCH).remove(0).decision;
        let once = with(Record::default(), std::slice::from_ref(&d));
        assert_eq!(with(once.clone(), std::slice::from_ref(&d)), once);
        let step = |i: i32| Decision { what: Decided::StepPassed, window: i.to_string(), ..d.clone() };
        let many: Vec<_> = (0..100).map(step).collect();
        let record = with(once, &many);
        assert_eq!((record.decisions.len(), record.decisions[0].window.as_str()), (40, d.window.as_str()));
    }
}
