//! Requests that the stable pods make up, where users ask the canary little. They are few inputs, asked again and again: they show whether the
//! canary answers, and how soon, and nothing of what users ask beside them. So they are judged apart, and never thin out users' failures.

use drydock_crds::{MetricOutcome, MetricStatus};

use super::analysis::Judged;

/// Of alpha, what a rollback by synthetic requests may take, on top of users'. They cost nobody anything, so that more of them may be asked for.
pub const ALPHA_SHARE: f64 = 0.1;
const SECOND: i64 = 1000;
/// More often would be a load: the pod would refuse the word.
const LEAST_MILLISECONDS: i64 = 10;

/// How long each of so many pods waits for a user's request before it makes one up: together they make `per_second`, at the most.
pub fn milliseconds(per_second: i32, pods: i32) -> u32 {
    if per_second <= 0 {
        return 0;
    }
    let each = SECOND * i64::from(pods.max(1)) / i64::from(per_second);
    u32::try_from(each.max(LEAST_MILLISECONDS)).unwrap_or(u32::MAX)
}

/// What users' requests say of a metric, beside what synthetic ones do. Either may fail it. Where users have asked too little for any verdict, and
/// nothing that they have seen is beyond what a pass rules out, synthetic requests may pass it.
pub fn beside(users: Judged, synthetic: Option<MetricStatus>) -> MetricStatus {
    use MetricOutcome::{Fail, NotEnoughEvidence, Pass};
    let Judged { status: users, is_beyond } = users;
    let Some(synthetic) = synthetic else { return users };
    let is_nearer = || match (users.more_needed, synthetic.more_needed) {
        (Some(users), Some(synthetic)) => synthetic < users,
        (users, synthetic) => users.is_none() && synthetic.is_some(),
    };
    let by_synthetic = match (users.outcome, synthetic.outcome) {
        (Fail, _) => false,
        (_, Fail) => true,
        (Pass, _) => false,
        (NotEnoughEvidence, Pass) => !is_beyond,
        (NotEnoughEvidence, NotEnoughEvidence) => !is_beyond && is_nearer(),
    };
    let (samples, count) = (users.samples, Some(synthetic.samples));
    if !by_synthetic {
        return MetricStatus { synthetic: count, ..users };
    }
    let message =
        if samples > 0 { format!("{}; of users: {}", synthetic.message, users.message) } else { synthetic.message };
    MetricStatus { samples, synthetic: count, message, ..synthetic }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_together_make_as_many_as_are_asked_for() {
        for (per_second, pods, each) in
            [(0, 3, 0), (-1, 1, 0), (1, 1, 1000), (2, 1, 500), (2, 3, 1500), (2, 0, 500), (100, 1, 10), (1000, 1, 10)]
        {
            assert_eq!(milliseconds(per_second, pods), each, "{per_second} a second of {pods}");
        }
        assert_eq!(milliseconds(1, i32::MAX), u32::MAX);
    }
}
