//! What each strategy asks of a canary, as data: the state machine knows steps alone.

use drydock_crds::Rollout;

/// One step of a canary's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Percent of the requests that it answers.
    pub weight: i32,
    /// Percent of the stable revision's size that it must have for this.
    pub size: i32,
    pub hold_seconds: i32,
    /// It waits for a person once it has held.
    pub pause: bool,
}

/// The steps in order; after the last one the canary is promoted.
pub fn course(policy: &Rollout) -> Vec<Step> {
    let step = |s: &drydock_crds::CanaryStep| Step {
        weight: s.weight,
        size: s.weight,
        hold_seconds: s.hold_seconds,
        pause: s.pause,
    };
    policy.steps.iter().map(step).collect()
}

impl Step {
    /// `20 % of the requests for 60 seconds`.
    pub fn tell(&self) -> String {
        let pause = if self.pause { ", then until somebody lets it go on" } else { "" };
        format!("{} % of the requests for {} seconds{pause}", self.weight, self.hold_seconds)
    }
}
