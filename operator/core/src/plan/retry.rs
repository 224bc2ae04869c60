use drydock_crds::{CandidateState, OptimizationStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;

use crate::job_state;
use crate::selection::{Verdict, may_pass};

/// When a Job that has ended without a usable candidate is made again, if what was wrong may pass.
///
/// The Job itself tries each candidate for ten minutes; this is for what lasts longer, and goes on for as long as the spec
/// stands. From the time at which the Job ended and a count in the status: an operator that starts anew knows them too.
pub fn again_at(job: &Job, verdict: &Verdict, attempt: i32) -> Option<Timestamp> {
    const FIRST: SignedDuration = SignedDuration::from_secs(10);
    const LONGEST: SignedDuration = SignedDuration::from_mins(5);
    if !matches!(verdict, Verdict::Again { .. }) || !job_state::is_finished(job) {
        return None;
    }
    let doubled = FIRST.saturating_mul(1 << attempt.clamp(0, 16));
    let ended = job_state::ended_at(job).unwrap_or(Timestamp::MIN);
    ended.checked_add(doubled.min(LONGEST)).ok()
}

/// What is remembered of a Job that goes to be made again.
pub fn begin_again(found: &mut OptimizationStatus) {
    found.attempt = found.attempt.saturating_add(1);
    for candidate in found.candidates.iter_mut().filter(|c| may_pass(c)) {
        candidate.state = CandidateState::Retrying;
    }
}

#[cfg(test)]
mod tests {
    use drydock_crds::Reason;
    use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn each_time_after_twice_as_long_and_at_most_five_minutes() {
        let ended = Timestamp::from_second(1_000).unwrap();
        let condition = JobCondition {
            type_: "Failed".into(),
            status: "True".into(),
            last_transition_time: Some(Time(ended)),
            ..JobCondition::default()
        };
        let status = JobStatus { conditions: Some(vec![condition]), ..JobStatus::default() };
        let job = Job { status: Some(status), ..Job::default() };
        let (reason, message) = (Reason::SourceUnreachable, String::new());
        let again = Verdict::Again { reason, message: message.clone() };
        for (attempt, seconds) in [(0, 10), (1, 20), (4, 160), (5, 300), (1_000_000, 300), (-1, 10)] {
            let at = again_at(&job, &again, attempt).unwrap();
            assert_eq!(at.duration_since(ended).as_secs(), seconds, "attempt {attempt}");
        }
        assert_eq!(again_at(&Job::default(), &again, 0), None, "it is not over yet");
        assert_eq!(again_at(&job, &Verdict::Nothing { reason, message }, 0), None);
    }
}
