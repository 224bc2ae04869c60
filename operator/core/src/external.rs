//! What others are asked of a canary, and what they answer: a Prometheus, a web hook, a Job.
//!
//! What follows from the answers is in `rollout/external.rs`; who sends the questions is the shell.

mod answer;
mod heard;
mod question;
mod template;

pub use answer::{Answer, of_prometheus, of_web_hook};
pub use heard::{Heard, is_good, key};
pub use question::{Question, Request, questions, words};
pub use template::{Words, unknown};

use drydock_crds::{RolloutStage, RolloutStatus};

/// While a step is held: before, the canary may have no pod to speak of; suspended, it has no clock.
pub fn is_asked(at: &RolloutStatus) -> bool {
    at.canary.is_some() && at.stage == RolloutStage::Holding && at.since.is_some()
}
