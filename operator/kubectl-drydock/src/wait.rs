//! `wait`: whether it is there yet.

use drydock_crds::{ModelDeployment, Phase, Reason};

use crate::args::Goal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// With what to tell, as the others.
    Reached(String),
    /// It will not get there by itself.
    Failed(String),
    NotYet(String),
}

/// How far it is; `None`: there is no such object any more.
pub fn seen(goal: Goal, md: Option<&ModelDeployment>) -> Seen {
    let Some(md) = md else { return Seen::Failed("it is gone".to_owned()) };
    let Some(status) = &md.status else { return Seen::NotYet("the operator has not seen it yet".to_owned()) };
    if status.observed_generation.unwrap_or_default() < md.metadata.generation.unwrap_or_default() {
        return Seen::NotYet("the operator has not seen the newest spec yet".to_owned());
    }
    let condition = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_ && c.status == "True");
    let text = |reason: &str| format!("{reason}: {}", status.message);
    if let Some(held) = condition("HeldBack").filter(|_| goal == Goal::Promoted) {
        return Seen::Failed(format!("{}: {}", held.reason, held.message));
    }
    if let Some(stalled) = condition("Stalled") {
        return Seen::Failed(text(&stalled.reason));
    }
    if condition("Ready").is_some() {
        return Seen::Reached(status.message.clone());
    }
    let reason = status.conditions.iter().find(|c| c.type_ == "Ready").map_or("", |c| c.reason.as_str());
    // What is served is what is asked for, though no pod of it is ready now.
    let is_promoted = status.phase == Phase::Serving && reason == Reason::Unavailable.as_str();
    if goal == Goal::Promoted && is_promoted {
        return Seen::Reached(text(reason));
    }
    Seen::NotYet(text(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{condition, model_deployment};
    use serde_json::{Value, json};

    /// What the operator says, and how far `promoted` and `ready` are.
    #[test]
    fn there_or_not() {
        const REACHED: char = 'r';
        const FAILED: char = 'f';
        const NOT_YET: char = 'n';
        let status = |phase: &str, generation: i64, conditions: Vec<Value>| json!({ "observedGeneration": generation, "phase": phase, "message": "so it is", "conditions": conditions });
        let ready = || condition("Ready", true, "Serving");
        let cases = [
            ("not seen", Value::Null, NOT_YET, NOT_YET),
            ("seen before the change", status("Serving", 1, vec![ready()]), NOT_YET, NOT_YET),
            (
                "stalled before the change",
                status("Failed", 1, vec![condition("Stalled", true, "InvalidModel")]),
                NOT_YET,
                NOT_YET,
            ),
            ("served", status("Serving", 2, vec![ready()]), REACHED, REACHED),
            ("on its way", status("Canary", 2, vec![condition("Ready", false, "CanaryProgressing")]), NOT_YET, NOT_YET),
            ("waits for a person", status("Canary", 2, vec![condition("Ready", false, "Paused")]), NOT_YET, NOT_YET),
            (
                "paused before it starts",
                status("Serving", 2, vec![condition("Ready", false, "Paused")]),
                NOT_YET,
                NOT_YET,
            ),
            (
                "rolled back",
                status(
                    "RolledBack",
                    2,
                    vec![
                        condition("Ready", false, "RolledBack"),
                        condition("Stalled", true, "RolledBack"),
                        condition("HeldBack", true, "ErrorRate"),
                    ],
                ),
                FAILED,
                FAILED,
            ),
            (
                "called back",
                status("Serving", 2, vec![ready(), condition("HeldBack", true, "RollBackRequested")]),
                FAILED,
                REACHED,
            ),
            (
                "promoted, and no pod is ready",
                status("Serving", 2, vec![condition("Ready", false, "Unavailable")]),
                REACHED,
                NOT_YET,
            ),
            (
                "a spec that is none",
                status("Failed", 2, vec![condition("Stalled", true, "InvalidSpec")]),
                FAILED,
                FAILED,
            ),
        ];
        let letter = |seen: &Seen| match seen {
            Seen::Reached(_) => REACHED,
            Seen::Failed(_) => FAILED,
            Seen::NotYet(_) => NOT_YET,
        };
        for (name, status, promoted, ready) in cases {
            let md = model_deployment(&json!({ "metadata": { "generation": 2 }, "status": status }));
            let found = [Goal::Promoted, Goal::Ready].map(|goal| letter(&seen(goal, Some(&md))));
            assert_eq!(found, [promoted, ready], "{name}");
        }
        assert_eq!(letter(&seen(Goal::Ready, None)), FAILED);
    }
}
