use drydock_crds::{ConditionType, Reason, RolloutStage};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::story::{Progress, Story};
use crate::Plan;
use crate::selection::{self, Verdict as Selection};

/// A condition before it has a date.
pub struct Verdict {
    type_: String,
    status: bool,
    reason: String,
    message: String,
}

impl Verdict {
    pub fn new(type_: ConditionType, status: bool, reason: Reason, message: String) -> Self {
        Self { type_: type_.as_str().to_owned(), status, reason: reason.as_str().to_owned(), message }
    }

    /// One that stays as it is.
    pub fn of(c: &Condition) -> Self {
        Self {
            type_: c.type_.clone(),
            status: c.status == "True",
            reason: c.reason.clone(),
            message: c.message.clone(),
        }
    }
}

pub fn all(plan: &Plan, story: &Story) -> Vec<Verdict> {
    [
        Some(ready(story)),
        reconciling(story),
        stalled(story),
        Some(optimized(plan)),
        Some(available(plan)),
        Some(progressing(plan)),
        held_back(plan),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ready(story: &Story) -> Verdict {
    Verdict::new(ConditionType::Ready, story.is_ready, story.reason, story.message.clone())
}

fn reconciling(story: &Story) -> Option<Verdict> {
    (story.progress == Progress::Reconciling)
        .then(|| Verdict::new(ConditionType::Reconciling, true, story.reason, story.message.clone()))
}

fn stalled(story: &Story) -> Option<Verdict> {
    (story.progress == Progress::Stalled)
        .then(|| Verdict::new(ConditionType::Stalled, true, story.reason, story.message.clone()))
}

fn optimized(plan: &Plan) -> Verdict {
    let candidates = plan.memory.optimization.as_ref().map(|o| o.candidates.as_slice()).unwrap_or_default();
    let (status, reason, message) = match &plan.outlook.verdict {
        Some(Selection::Chosen(name)) => {
            let numbers = candidates.iter().find(|c| &c.name == name).map(selection::numbers).unwrap_or_default();
            let message = if numbers.is_empty() { name.clone() } else { format!("{name}: {numbers}") };
            (true, Reason::CandidateSelected, message)
        }
        Some(Selection::Nothing { reason, message } | Selection::Again { reason, message }) => {
            (false, *reason, message.clone())
        }
        Some(Selection::Waiting) | None => {
            let done = candidates.iter().filter(|c| crate::optimization::is_final(c)).count();
            (false, Reason::Optimizing, format!("{done} of {} candidates measured", candidates.len()))
        }
    };
    Verdict::new(ConditionType::Optimized, status, reason, message)
}

pub fn available(plan: &Plan) -> Verdict {
    let Some(stable) = &plan.outlook.stable else {
        return Verdict::new(ConditionType::Available, false, Reason::Deploying, "nothing is served yet".to_owned());
    };
    let message = format!("{} of {} pods ready", stable.ready_replicas, stable.replicas);
    let reason = match stable.ready_replicas >= stable.replicas {
        true => return Verdict::new(ConditionType::Available, true, Reason::Serving, message),
        false if plan.memory.rollout.stable_was_ready => Reason::Unavailable,
        false => Reason::Deploying,
    };
    Verdict::new(ConditionType::Available, false, reason, message)
}

fn progressing(plan: &Plan) -> Verdict {
    let rollout = &plan.memory.rollout;
    if let Some(canary) = &rollout.canary {
        let step = usize::try_from(rollout.step).unwrap_or(0) + 1;
        let steps = plan.outlook.steps;
        let (reason, message) = match rollout.stage {
            _ if let Some(waits) = &plan.outlook.waits => {
                (Reason::Paused, format!("canary {}: {waits}", canary.revision))
            }
            RolloutStage::Promoting => (Reason::Promoting, format!("canary {} takes over", canary.revision)),
            _ => (Reason::CanaryProgressing, format!("canary {}, step {step} of {steps}", canary.revision)),
        };
        return Verdict::new(ConditionType::Progressing, !plan.outlook.suspended, reason, message);
    }
    match &rollout.failed {
        Some(failed) => {
            let message = format!("{}: {}", failed.reason, failed.message);
            Verdict::new(ConditionType::Progressing, false, Reason::RolledBack, message)
        }
        None if rollout.previous.is_some() => {
            let message = "the replaced revision's pods end soon".to_owned();
            Verdict::new(ConditionType::Progressing, false, Reason::Promoted, message)
        }
        None => Verdict::new(ConditionType::Progressing, false, Reason::Idle, "no canary".to_owned()),
    }
}

/// The spec asks for a revision, and another one is served on purpose.
fn held_back(plan: &Plan) -> Option<Verdict> {
    let (outlook, failed) = (&plan.outlook, plan.memory.rollout.failed.as_ref());
    let asked = outlook.asked.as_ref()?;
    let (reason, why) = match failed.filter(|f| f.revision == asked.revision) {
        Some(f) => {
            (f.reason.parse().unwrap_or(Reason::RolledBack), format!("it was rolled back: {}: {}", f.reason, f.message))
        }
        None if outlook.target.as_ref().is_some_and(|t| t.revision != asked.revision) => {
            (Reason::RollBackRequested, "control.rollBackTo names another".to_owned())
        }
        None => return None,
    };
    let instead = outlook.stable.as_ref().map(|s| format!("; revision {} ({}) is served", s.revision, s.package));
    let message =
        format!("revision {} ({}) is held back: {why}{}", asked.revision, asked.package, instead.unwrap_or_default());
    Some(Verdict::new(ConditionType::HeldBack, true, reason, message))
}

/// Kubernetes' limit.
const MESSAGE_LIMIT: usize = 32_768;

/// With the time at which each last changed its status.
pub fn dated(before: &[Condition], all: Vec<Verdict>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    all.into_iter()
        .map(|v| {
            let status = if v.status { "True" } else { "False" };
            let since = before.iter().find(|c| c.type_ == v.type_ && c.status == status);
            Condition {
                last_transition_time: since.map_or(Time(now), |c| c.last_transition_time.clone()),
                message: crate::pod_state::cut(&v.message, MESSAGE_LIMIT),
                observed_generation: Some(generation),
                reason: v.reason,
                status: status.to_owned(),
                type_: v.type_,
            }
        })
        .collect()
}
