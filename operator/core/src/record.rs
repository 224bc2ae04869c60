//! What is written down of a revision when something is decided about it, and at no other time.

use drydock_crds::{Decided, Decision, MetricStatus, Record, RevisionStatus, RolloutStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::rollout;

/// What one pass has decided, by revision. It is read off the two states, so that no transition can forget it.
pub fn decisions(
    before: &RolloutStatus,
    after: &RolloutStatus,
    metrics: &[MetricStatus],
    now: Timestamp,
) -> Vec<(String, Decision)> {
    let name = |of: &Option<RevisionStatus>| of.as_ref().map(|r| r.revision.clone());
    let (was, is) = (name(&before.canary), name(&after.canary));
    let decided = |what, at: &RolloutStatus, why: String, metrics: &[MetricStatus]| Decision {
        at: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        what,
        step: at.step,
        window: rollout::window(at),
        why,
        metrics: metrics.to_vec(),
    };
    let mut all = Vec::new();
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
        all.push((was, decided(what, before, why, metrics)));
    }
    if let Some(stable) = stable.filter(|stable| was.as_ref() != Some(stable)) {
        all.push((stable, decided(Decided::Deployed, after, String::new(), &[])));
    }
    match is {
        Some(is) if was.as_ref() != Some(&is) => {
            all.push((is, decided(Decided::Started, after, String::new(), &[])));
        }
        Some(is) if after.step > before.step => {
            all.push((is, decided(Decided::StepPassed, before, String::new(), metrics)));
        }
        _ => {}
    }
    all
}

/// The record with what was decided in it; one that a pass wrote before it died is not written again.
pub fn with(mut record: Record, decided: &[Decision]) -> Record {
    /// Of one revision; the first and the newest stay.
    const MOST: usize = 40;
    for d in decided {
        let is_there = |r: &Decision| r.what == d.what && r.step == d.step && r.window == d.window;
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
    use drydock_crds::FailedRevision;

    fn of(stable: &str, canary: Option<&str>, step: i32) -> RolloutStatus {
        let revision = |r: &str| RevisionStatus { revision: r.into(), ..RevisionStatus::default() };
        RolloutStatus { stable: Some(revision(stable)), canary: canary.map(revision), step, ..RolloutStatus::default() }
    }

    fn told(before: &RolloutStatus, after: &RolloutStatus) -> Vec<(String, Decided)> {
        decisions(before, after, &[], Timestamp::UNIX_EPOCH).into_iter().map(|(r, d)| (r, d.what)).collect()
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
    fn nothing_is_written_twice_and_not_without_end() {
        let (_, d) = decisions(&of("a", None, 0), &of("a", Some("b"), 0), &[], Timestamp::UNIX_EPOCH).remove(0);
        let once = with(Record::default(), std::slice::from_ref(&d));
        assert_eq!(with(once.clone(), std::slice::from_ref(&d)), once);
        let many: Vec<_> = (0..100).map(|i| Decision { window: i.to_string(), ..d.clone() }).collect();
        let record = with(once, &many);
        assert_eq!((record.decisions.len(), record.decisions[0].window.as_str()), (40, d.window.as_str()));
    }
}
