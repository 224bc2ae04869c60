//! Canaries of a known error rate, and who says what of them at what time.

use drydock_sequential::{Levels, Outcome, Tally, rate};

/// One canary: its requests come evenly, each fails with probability `rate`.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    pub rate: f64,
    pub per_second: u32,
    /// Steps of `hold` seconds each.
    pub steps: u32,
    pub hold: u32,
}

/// What became of it: rolled back after so many requests, promoted, or (in the time there was) neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    RolledBack(u32),
    Promoted,
    Undecided,
}

/// Failures in each second.
pub fn trace(c: &Canary, random: &mut fastrand::Rng) -> Vec<u32> {
    (0..c.steps * c.hold).map(|_| (0..c.per_second).map(|_| u32::from(random.f64() < c.rate)).sum()).collect()
}

/// `maxErrorRate: 1`, `errorRateMargin: 4`.
pub const LIMIT: f64 = 0.01;
pub const ALLOWED: f64 = 0.05;

/// Looked at each second, as the operator does; a step that is not decided at its end is held, and the trace ends.
pub fn sequential(c: &Canary, trace: &[u32]) -> End {
    let levels = Levels {
        // Two windows for each step, two metrics: what the operator does.
        fail: 0.05 / f64::from(4 * c.steps),
        pass: 0.05,
        min_samples: 20,
    };
    for (step, seconds) in trace.chunks(c.hold as usize).enumerate() {
        let mut failed = 0;
        let mut last = Outcome::NotEnoughEvidence;
        for (second, n) in seconds.iter().enumerate() {
            failed += u64::from(*n);
            let of = (second as u32 + 1) * c.per_second;
            last = rate(Tally::new(failed, of.into()), LIMIT, ALLOWED, &levels).finding().outcome;
            if last == Outcome::Fail {
                return End::RolledBack(step as u32 * c.hold * c.per_second + of);
            }
        }
        if last != Outcome::Pass {
            return End::Undecided;
        }
    }
    End::Promoted
}

/// Argo Rollouts: a measurement each `interval` seconds of the error rate since the one before, `successCondition: result <= 0.01`;
/// more failed ones than `failure_limit` end it (`failureLimit` is 0 unless it is set). A run ends with its step.
pub fn argo(c: &Canary, trace: &[u32], interval: usize, failure_limit: u32) -> End {
    checks(c, trace, interval, |in_step, _| in_step > failure_limit)
}

/// Flagger: a check each `interval` seconds of the error rate since the one before, `thresholdRange: {max: 1}`; at `threshold` failed
/// checks of the whole analysis it is rolled back.
pub fn flagger(c: &Canary, trace: &[u32], interval: usize, threshold: u32) -> End {
    checks(c, trace, interval, |_, in_all| in_all >= threshold)
}

/// `ends(failed checks of this step, of all)`.
fn checks(c: &Canary, trace: &[u32], interval: usize, ends: impl Fn(u32, u32) -> bool) -> End {
    let mut in_all = 0;
    for (step, seconds) in trace.chunks(c.hold as usize).enumerate() {
        let mut in_step = 0;
        for (i, span) in seconds.chunks(interval).enumerate() {
            let failed: u32 = span.iter().sum();
            let requests = span.len() as u32 * c.per_second;
            let is_over = u32::from(f64::from(failed) > LIMIT * f64::from(requests));
            in_step += is_over;
            in_all += is_over;
            if ends(in_step, in_all) {
                return End::RolledBack((step as u32 * c.hold + (i * interval + span.len()) as u32) * c.per_second);
            }
        }
    }
    End::Promoted
}
