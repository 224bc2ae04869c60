//! What each strategy asks of a canary, as data: the state machine knows steps alone.

use drydock_crds::{CanaryStep, Rollout, Router, Strategy};
use serde_json::json;

use crate::hash::hash;

/// One step of a canary's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Percent of the requests that it answers.
    pub weight: i32,
    /// Percent of what the stable model answers that it gets a copy of.
    pub shadow: i32,
    /// Percent of the stable revision's size that it must have for this.
    pub size: i32,
    pub hold_seconds: i32,
    /// It waits for a person once it has held.
    pub pause: bool,
}

/// The steps in order; after the last one the canary is promoted. `rollBackTo` takes none.
pub fn course(policy: &Rollout) -> Vec<Step> {
    if policy.control.roll_back_to.is_some() {
        return Vec::new();
    }
    let shadow = policy.shadow.map_or(0, |s| s.percentage);
    let step = |weight: i32, hold_seconds: i32, pause: bool| {
        let size = (weight + shadow).min(100);
        Step { weight, shadow, size, hold_seconds, pause }
    };
    match policy.strategy {
        Strategy::Canary => {
            let of = |s: &CanaryStep| step(s.weight, s.hold_seconds, s.pause);
            policy.steps.iter().map(of).collect()
        }
        // All pods first: the preview is of what is about to get every request.
        Strategy::BlueGreen => {
            let preview = policy.blue_green.unwrap_or_default();
            vec![Step { size: 100, ..step(0, preview.preview_seconds, preview.pause) }]
        }
        Strategy::AbTest => {
            policy.ab_test.iter().map(|t| step(t.percentage, t.duration_seconds.unwrap_or(0), true)).collect()
        }
        Strategy::Shadow => vec![step(0, 0, true)],
    }
}

/// Names a course by what its steps send to the canary. How long they hold, and whether they wait, is not in it: the time that a
/// canary has had its share counts, whatever is asked of it later.
///
/// Another router counts in other places: what was counted before it is not of this course either.
pub fn digest(policy: &Rollout, course: &[Step]) -> String {
    let shares: Vec<_> = course.iter().map(|s| [s.weight, s.shadow, s.size]).collect();
    // Without steps all strategies are the same.
    let strategy = (!course.is_empty()).then_some(policy.strategy);
    match policy.router {
        Router::Sidecar => hash(&json!([strategy, shares]), 8),
        Router::Gateway => hash(&json!([strategy, shares, policy.router]), 8),
    }
}

impl Step {
    /// `20 % of the requests`.
    pub fn share(&self) -> String {
        match (self.weight, self.shadow) {
            (0, 0) => "a preview".to_owned(),
            (0, shadow) => format!("copies of {shadow} % of the requests"),
            (weight, 0) => format!("{weight} % of the requests"),
            (weight, shadow) => format!("{weight} % of the requests and copies of {shadow} % of the rest"),
        }
    }

    /// `20 % of the requests for 60 seconds`.
    pub fn tell(&self) -> String {
        let (share, seconds) = (self.share(), self.hold_seconds);
        match (self.pause, seconds) {
            (false, _) => format!("{share} for {seconds} seconds"),
            (true, 0) => format!("{share} until somebody lets it go on"),
            (true, _) => format!("{share} for {seconds} seconds, then until somebody lets it go on"),
        }
    }
}
