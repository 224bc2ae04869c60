use drydock_crds::{CandidateState, CandidateStatus, FailedRevision, Phase, Reason, RolloutStage};

use crate::rollout::Routes;
use crate::selection::{Verdict, reason_of};
use crate::{Applied, Plan, Resolved};

/// One pass in a word, a reason and a sentence; all conditions are told from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    pub phase: Phase,
    /// Requests are answered by what the spec asks for.
    pub is_ready: bool,
    pub progress: Progress,
    pub reason: Reason,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Settled,
    /// It goes on by itself.
    Reconciling,
    /// Only a person helps.
    Stalled,
}

impl Story {
    pub fn tell(r: &Resolved, plan: &Plan, applied: &Applied) -> Self {
        let mut story = of_plan(r, plan);
        story.route(plan);
        if !applied.failed.is_empty() {
            let each: Vec<String> = applied.failed.iter().map(ToString::to_string).collect();
            let is_terminal = applied.failed.iter().any(|f| f.is_terminal);
            story.blocked(if is_terminal { Progress::Stalled } else { Progress::Reconciling }, each.join("; "));
        } else if !plan.outlook.foreign.is_empty() {
            story.blocked(Progress::Stalled, plan.outlook.foreign.join("; "));
        } else if !plan.outlook.ending.is_empty() {
            story.message = format!("{}; {}", story.message, plan.outlook.ending.join("; "));
            if story.progress == Progress::Settled {
                story.progress = Progress::Reconciling;
                story.reason = Reason::Terminating;
            }
        }
        story
    }

    /// Requests come through a gateway: what it has not accepted is not served.
    fn route(&mut self, plan: &Plan) {
        let outlook = &plan.outlook;
        let (reason, why, is_stalled) = match &outlook.routes {
            Routes::InForce => return,
            Routes::ApiMissing => {
                let why = "rollout.router is Gateway, and the cluster has no HTTPRoute and GRPCRoute of gateway.networking.k8s.io/v1: \
                           install the Gateway API, or use router Sidecar";
                (Reason::GatewayApiMissing, why.to_owned(), true)
            }
            Routes::Pending(_) if outlook.stable.is_none() || outlook.suspended => return,
            Routes::Pending(why) => (Reason::RouteNotAccepted, why.clone(), outlook.routes_are_late),
        };
        self.message = if is_stalled { format!("{why}; {}", self.message) } else { format!("{}; {why}", self.message) };
        if is_stalled && self.progress != Progress::Stalled {
            self.is_ready = false;
            self.progress = Progress::Stalled;
            self.reason = reason;
        } else if self.progress == Progress::Settled {
            self.progress = Progress::Reconciling;
            self.reason = reason;
        }
    }

    fn blocked(&mut self, progress: Progress, message: String) {
        self.is_ready = false;
        self.progress = progress;
        self.reason = Reason::ApplyFailed;
        self.message = message;
    }

    fn reconciling(phase: Phase, reason: Reason, message: String) -> Self {
        Self { phase, is_ready: false, progress: Progress::Reconciling, reason, message }
    }

    fn stalled(phase: Phase, reason: Reason, message: String) -> Self {
        Self { phase, is_ready: false, progress: Progress::Stalled, reason, message }
    }
}

fn of_plan(r: &Resolved, plan: &Plan) -> Story {
    let outlook = &plan.outlook;
    let rollout = &plan.memory.rollout;
    if outlook.suspended {
        return suspended(plan);
    }
    if let Some(unknown) = &outlook.unknown {
        return unrecorded(plan, unknown);
    }
    match &outlook.verdict {
        Some(Verdict::Nothing { reason, message }) => return nothing_usable(plan, *reason, message),
        Some(Verdict::Again { reason, message }) => return again(plan, *reason, message),
        Some(Verdict::Chosen(_)) => {}
        Some(Verdict::Waiting) | None => return optimizing(plan),
    }
    let is_asked = |f: &&FailedRevision| outlook.target.as_ref().is_none_or(|t| t.revision == f.revision);
    if let Some(failed) = rollout.failed.as_ref().filter(is_asked) {
        return rolled_back(plan, failed);
    }
    if rollout.canary.is_some() {
        return canary(r, plan);
    }
    if rollout.stable_was_ready && r.rollout.control.paused && r.rollout.control.roll_back_to.is_none() {
        let stable = rollout.stable.as_ref().map(|s| &s.revision);
        if let Some(next) = outlook.target.as_ref().filter(|t| Some(&t.revision) != stable) {
            return held_up(plan, &next.revision);
        }
    }
    if rollout.stable_was_ready || outlook.stable.as_ref().is_some_and(|s| s.replicas == 0) {
        serving(plan)
    } else {
        deploying(plan)
    }
}

fn suspended(plan: &Plan) -> Story {
    let is_ready = is_served(plan);
    let what = serves(plan).unwrap_or_else(|| "nothing is served".to_owned());
    let canary = plan.outlook.canary.as_ref();
    let canary = canary.map(|c| format!("; canary {} keeps {} % of the requests", c.revision, plan.outlook.weight));
    let canary = canary.unwrap_or_default();
    Story {
        phase: Phase::Suspended,
        is_ready,
        progress: Progress::Settled,
        reason: Reason::Suspended,
        message: format!("suspended; {what}{canary}"),
    }
}

fn unrecorded(plan: &Plan, unknown: &str) -> Story {
    let kept = serves(plan).map(|what| format!("; {what}")).unwrap_or_default();
    let message =
        format!("control.rollBackTo is {unknown}, of which there is no record: kubectl get controllerrevisions{kept}");
    Story::stalled(Phase::Failed, Reason::UnknownRevision, message)
}

fn nothing_usable(plan: &Plan, reason: Reason, message: &str) -> Story {
    let kept = serves(plan).map(|what| format!("; {what}")).unwrap_or_default();
    Story::stalled(Phase::Failed, reason, format!("{message}{kept}"))
}

fn again(plan: &Plan, reason: Reason, message: &str) -> Story {
    let when = plan.outlook.again_at.map_or("once the Job has ended".to_owned(), |at| format!("at {at:.0}"));
    let kept = serves(plan).map(|what| format!("; {what}")).unwrap_or_default();
    Story::reconciling(Phase::Optimizing, reason, format!("{message}; tried again {when}{kept}"))
}

fn optimizing(plan: &Plan) -> Story {
    let candidates = plan.memory.optimization.as_ref().map(|o| o.candidates.as_slice()).unwrap_or_default();
    let done = candidates.iter().filter(|c| crate::optimization::is_final(c)).count();
    let mut message = format!("{done} of {} candidates measured", candidates.len());
    let mut reason = Reason::Optimizing;
    if let Some(retrying) = candidates.iter().find(|c| c.state == CandidateState::Retrying) {
        reason = reason_of(retrying);
        message = format!("{message}; trying {} again: {}", retrying.name, said(retrying));
    } else if let Some(waiting) = candidates.iter().find(|c| !crate::optimization::is_final(c) && c.message.is_some()) {
        message = format!("{message}; {}: {}", waiting.name, said(waiting));
    }
    if let Some(what) = serves(plan) {
        message = format!("{message}; {what}");
    }
    Story::reconciling(Phase::Optimizing, reason, message)
}

fn said(c: &CandidateStatus) -> &str {
    c.message.as_deref().unwrap_or("it has not said why")
}

fn rolled_back(plan: &Plan, failed: &FailedRevision) -> Story {
    let kept = serves(plan).map(|what| format!("; {what}")).unwrap_or_default();
    Story::stalled(
        Phase::RolledBack,
        Reason::RolledBack,
        format!("revision {} was rolled back: {}: {}{kept}", failed.revision, failed.reason, failed.message),
    )
}

/// Nothing is wrong with what is served: it is not what the spec asks for.
fn held_up(plan: &Plan, next: &str) -> Story {
    let kept = serves(plan).map(|what| format!("; {what}")).unwrap_or_default();
    let message = format!("revision {next} does not start: control.paused is true, set it to false{kept}");
    Story::reconciling(Phase::Serving, Reason::Paused, message)
}

fn canary(r: &Resolved, plan: &Plan) -> Story {
    let (rollout, outlook) = (&plan.memory.rollout, &plan.outlook);
    let (ready, replicas) = outlook.canary.as_ref().map_or((0, 0), |c| (c.ready_replicas, c.replicas));
    let revision = rollout.canary.as_ref().map_or("", |c| c.revision.as_str());
    let weight = outlook.weight;
    let pods = format!("{ready} of {replicas} pods ready");
    let excuse = outlook.canary_excuse.as_ref().filter(|_| ready < replicas);
    let excuse = excuse.map(|e| format!("; {e}")).unwrap_or_default();
    let step = usize::try_from(rollout.step).unwrap_or(0);
    let test = rollout.ab_test.as_ref().filter(|_| rollout.stage == RolloutStage::Holding);
    let test = test.map(|t| format!("; {}", t.message)).unwrap_or_default();
    if let Some(waits) = &outlook.waits {
        let message = format!("canary {revision}, {weight} % of the requests, {pods}{excuse}{test}; {waits}");
        return Story::reconciling(Phase::Canary, Reason::Paused, message);
    }
    if rollout.stage == RolloutStage::Promoting {
        let message = format!("canary {revision} takes over: {pods}, {weight} % of the requests{excuse}");
        return Story::reconciling(Phase::Promoting, Reason::Promoting, message);
    }
    let asked = r.course.get(step).map_or("100 %".to_owned(), |s| match s.weight {
        0 => s.share(),
        weight => format!("{weight} %"),
    });
    let of = format!("step {} of {}", step + 1, outlook.steps);
    let message = match rollout.stage {
        RolloutStage::Holding => {
            let lacks = rollout.analysis.as_ref().and_then(|a| crate::rollout::lacks(a.metrics.iter()));
            let lacks = lacks.map(|l| format!("; {l}")).unwrap_or_default();
            format!("canary {revision}, {of}: {weight} % of the requests, {pods}{excuse}{test}{lacks}")
        }
        _ => format!("canary {revision}, {of}: scaling for {asked}: {pods}, {weight} % of the requests{excuse}"),
    };
    Story::reconciling(Phase::Canary, Reason::CanaryProgressing, message)
}

fn deploying(plan: &Plan) -> Story {
    let outlook = &plan.outlook;
    let Some(stable) = &outlook.stable else {
        return Story::reconciling(Phase::Pending, Reason::Deploying, "nothing is served yet".to_owned());
    };
    let pods = format!("revision {}: {} of {} pods ready", stable.revision, stable.ready_replicas, stable.replicas);
    let (reason, why) = match (&outlook.stable_crash, &outlook.stable_excuse) {
        // One that is up is about to be served.
        (_, excuse) if stable.ready_replicas > 0 => (Reason::Deploying, excuse.as_ref()),
        (Some(crash), _) => (Reason::CrashLoop, Some(crash)),
        (None, excuse) if outlook.is_late => (Reason::ProgressDeadlineExceeded, excuse.as_ref()),
        (None, excuse) => (Reason::Deploying, excuse.as_ref()),
    };
    let why = why.map(|w| format!("; {w}")).unwrap_or_default();
    let message = format!("{pods}{why}");
    match reason {
        Reason::Deploying => Story::reconciling(Phase::Deploying, reason, message),
        // Its pods are watched on, and served once they are ready after all.
        _ => Story::stalled(Phase::Deploying, reason, message),
    }
}

fn serving(plan: &Plan) -> Story {
    let Some(stable) = &plan.outlook.stable else { return deploying(plan) };
    let (ready, replicas) = (stable.ready_replicas, stable.replicas);
    let why = plan.outlook.stable_crash.as_ref().or(plan.outlook.stable_excuse.as_ref());
    let why = why.filter(|_| ready < replicas).map(|w| format!("; {w}")).unwrap_or_default();
    let message = serves(plan).unwrap_or_default() + &why;
    let is_ready = is_served(plan);
    Story {
        phase: Phase::Serving,
        is_ready,
        progress: if ready < replicas { Progress::Reconciling } else { Progress::Settled },
        reason: if is_ready { Reason::Serving } else { Reason::Unavailable },
        message,
    }
}

fn is_served(plan: &Plan) -> bool {
    let target = plan.outlook.target.as_ref().map(|t| &t.revision);
    let stable = plan.outlook.stable.as_ref();
    stable.is_some_and(|s| Some(&s.revision) == target && (s.ready_replicas > 0 || s.replicas == 0))
}

/// `serves int8 (revision 0123456789), 2 of 2 pods ready`.
fn serves(plan: &Plan) -> Option<String> {
    let stable = plan.outlook.stable.as_ref()?;
    Some(format!(
        "serves {} (revision {}), {} of {} pods ready",
        stable.candidate, stable.revision, stable.ready_replicas, stable.replicas
    ))
}
