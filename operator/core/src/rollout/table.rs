//! The canary's way, as a table of transitions.

use drydock_crds::{Control, Metric, MetricStatus, OnNotEnoughEvidence, Reason, Rollout, RolloutStage, RolloutStatus};
use jiff::{SignedDuration, Timestamp};

use super::ab_test::{self, End};
use super::course::{Step, digest};
use super::{
    Routes, Rules, Signals, Transition, analysis, control, external, gateway, needed, promote, roll_back, whole_seconds,
};
use crate::plan::Notice;

/// A canary and everything that its next step depends on.
pub struct Sight<'a> {
    pub signals: &'a Signals,
    pub policy: &'a Rollout,
    pub course: &'a [Step],
    pub now: Timestamp,
    pub at: RolloutStatus,
    /// How it stands, in the words of the analysis.
    pub metrics: &'a [MetricStatus],
}

type Row<'a> = (&'static [RolloutStage], fn(&Sight<'a>) -> bool, fn(Sight<'a>) -> Transition);

/// Where the canary is, what is seen, and what follows. The first row that holds decides; none: it stays as it is.
fn table<'a>() -> [Row<'a>; 22] {
    use RolloutStage::{Holding, Idle, Promoting, Scaling};
    [
        (&[Idle, Scaling, Holding, Promoting], Sight::is_aborted, abort),
        (&[Idle, Scaling, Holding, Promoting], Sight::is_worse, fail),
        (&[Scaling, Holding, Promoting], Sight::has_another_course, begin_again),
        (&[Idle, Scaling, Holding], Sight::is_promoted_by_hand, skip),
        (&[Idle, Scaling, Holding], Sight::has_no_step, enter),
        (&[Idle], Sight::always, enter),
        (&[Scaling], Sight::may_go_on, enter),
        (&[Holding], Sight::lacks_pods, lose_pods),
        (&[Holding], Sight::is_unrouted, stay),
        (&[Holding], Sight::is_silent_behind_a_gateway, give_up_listening),
        (&[Holding], Sight::lacks_service, lose_service),
        (&[Holding], Sight::holds, stay),
        (&[Holding], Sight::waits, wait),
        (&[Holding], Sight::is_unheard_for_long, give_up_listening),
        (&[Holding], Sight::is_unheard, stay),
        (&[Holding], Sight::has_lost, lose_test),
        (&[Holding], Sight::awaits_answers, stay),
        (&[Holding], Sight::lacks_evidence_for_good, give_up_waiting),
        (&[Holding], Sight::awaits_evidence, stay),
        (&[Holding], Sight::always, pass),
        (&[Promoting], Sight::may_take_over, take_over),
        (&[Scaling, Promoting], Sight::is_late, run_late),
    ]
}

/// One step on, if it is time for one.
pub fn proceed(mut sight: Sight<'_>) -> Transition {
    sight.set_clocks();
    sight.note_analysis();
    sight.note_course();
    let row = table().into_iter().find(|(stages, when, _)| stages.contains(&sight.at.stage) && when(&sight));
    match row {
        Some((_, _, then)) => then(sight),
        None => stay(sight),
    }
}

impl<'a> Sight<'a> {
    /// To wait for a person is not to be late: the clocks that deadlines are measured by stand still meanwhile. Only a person gives a
    /// Service its name back, too.
    fn set_clocks(&mut self) {
        let lacks_service = self.at.stage == RolloutStage::Scaling && self.lacks_service();
        if self.is_paused() || lacks_service {
            self.at.step_since = None;
            if matches!(self.at.stage, RolloutStage::Scaling | RolloutStage::Promoting) {
                self.at.since = None;
            }
        } else if self.at.step_since.is_none() && !self.waits() {
            self.at.step_since = Some(whole_seconds(self.now));
        }
    }

    fn note_analysis(&mut self) {
        self.at.analysis = Some(analysis::noted(&self.at, self.metrics.to_vec(), &self.policy.analysis, self.now));
        if self.at.stage == RolloutStage::Holding {
            let test = ab_test::noted(&self.at, &self.signals.counts, self.policy, self.now);
            self.at.ab_test = test.map(Box::new);
        }
    }

    fn control(&self) -> &'a Control {
        &self.policy.control
    }

    /// `rollBackTo` waits for nobody.
    fn is_paused(&self) -> bool {
        self.control().paused && !self.signals.rolls_back
    }

    fn revision(&self) -> &str {
        self.at.canary.as_ref().map_or("", |c| c.revision.as_str())
    }

    fn index(&self) -> usize {
        usize::try_from(self.at.step).unwrap_or(0)
    }

    fn step(&self) -> Option<&'a Step> {
        self.course.get(self.index())
    }

    fn deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(self.policy.progress_deadline_seconds.into())
    }

    fn hold(&self) -> SignedDuration {
        SignedDuration::from_secs(self.step().map_or(0, |s| s.hold_seconds).into())
    }

    /// What is left of it: the time before pods were lost counts.
    fn left_to_hold(&self) -> SignedDuration {
        self.hold() - SignedDuration::from_secs(self.at.held_seconds.into())
    }

    /// In the stage.
    fn elapsed(&self) -> SignedDuration {
        self.at.since.as_ref().map_or(SignedDuration::ZERO, |since| self.now.duration_since(since.0))
    }

    fn in_step(&self) -> SignedDuration {
        self.at.step_since.as_ref().map_or_else(|| self.elapsed(), |since| self.now.duration_since(since.0))
    }

    /// Ready pods that the stage needs.
    fn wanted(&self) -> i32 {
        if self.at.called_back && self.signals.rolls_back {
            // What is served has to go, now: the one before takes over with the pods that it has, and grows afterwards.
            return 1;
        }
        let size = match self.at.stage {
            RolloutStage::Promoting => 100,
            _ => self.step().map_or(100, |s| s.size),
        };
        let together = self.at.takeover_replicas.filter(|_| self.at.stage == RolloutStage::Promoting);
        needed(size, self.signals.stable_ready).max(together.unwrap_or(0))
    }

    #[expect(clippy::unused_self, reason = "a condition like the others")]
    fn always(&self) -> bool {
        true
    }

    fn is_aborted(&self) -> bool {
        self.control().abort.as_deref() == Some(self.revision())
    }

    fn is_worse(&self) -> bool {
        analysis::failure(self.signals, self.metrics).is_some()
    }

    /// What the step lacks to be passed, and what `then` becomes of it. Of one that sends the canary nothing, such as a preview, others alone can say something.
    fn lacking(&self, then: OnNotEnoughEvidence) -> Option<String> {
        let sends = self.step().is_some_and(|s| s.weight > 0 || s.shadow > 0);
        let counts = |m: &&MetricStatus| {
            (sends || m.metric == Metric::External) && external::without(m, &self.policy.analysis) == then
        };
        analysis::lacks(self.metrics.iter().filter(counts))
    }

    /// Whoever was asked has not had the time to answer.
    fn awaits_answers(&self) -> bool {
        external::is_pending(&self.signals.external, &self.at, &self.policy.analysis)
    }

    fn awaits_evidence(&self) -> bool {
        self.lacking(OnNotEnoughEvidence::Hold).is_some()
    }

    fn lacks_evidence_for_good(&self) -> bool {
        self.lacking(OnNotEnoughEvidence::RollBack).is_some()
    }

    fn is_promoted_by_hand(&self) -> bool {
        control::promotes(self.control(), &self.at) && !self.is_paused()
    }

    /// Only what has no steps at all goes on without one: past the last step is where `pass` and `skip` lead, not an edit.
    fn has_no_step(&self) -> bool {
        self.course.is_empty() && !self.is_paused()
    }

    fn digest(&self) -> String {
        digest(self.policy, self.course)
    }

    /// A status from before there was this note begins with it, unless its step is none of this course's.
    fn note_course(&mut self) {
        let is_off = self.step().is_none() && self.at.stage != RolloutStage::Promoting && !self.course.is_empty();
        if self.at.course.is_none() && !is_off {
            self.at.course = Some(self.digest());
        }
    }

    fn has_another_course(&self) -> bool {
        self.at.course.as_ref() != Some(&self.digest())
    }

    fn lacks_pods(&self) -> bool {
        self.signals.canary_ready < self.wanted()
    }

    /// A weight that a gateway has not accepted says nothing of the canary. What a person has called back waits for no gateway: it
    /// takes over by the Service's selector.
    fn is_unrouted(&self) -> bool {
        self.signals.routes != Routes::InForce && !self.signals.rolls_back
    }

    /// What has the Service's name may lead anywhere: nothing is sent there, and a preview that nobody can reach does not begin.
    fn lacks_service(&self) -> bool {
        self.signals.service_is_lost.is_some()
    }

    fn may_go_on(&self) -> bool {
        self.may_take_over() && !self.lacks_service()
    }

    fn may_take_over(&self) -> bool {
        !self.lacks_pods() && !self.is_paused() && !self.is_unrouted()
    }

    /// An A/B test may end by its sample, too.
    fn holds(&self) -> bool {
        match ab_test::named(self.policy).filter(|_| !self.signals.rolls_back) {
            Some(_) => !ab_test::of_window(&self.at).is_some_and(|t| t.ended),
            None => self.elapsed() < self.left_to_hold(),
        }
    }

    fn test(&self) -> End {
        ab_test::end(&self.at, self.policy)
    }

    fn proceeds(&self) -> bool {
        control::proceeds(self.control(), &self.at, self.index())
    }

    /// A person who has let it go on knows better.
    fn has_lost(&self) -> bool {
        matches!(self.test(), End::StableWins | End::Nobody) && !self.proceeds()
    }

    /// For a person.
    fn waits(&self) -> bool {
        let pauses = self.step().is_some_and(|s| s.pause) && self.test() == End::Waits;
        self.is_paused() || (pauses && !self.proceeds())
    }

    /// No telemetry is not the same as no traffic: what nobody can see is not promoted.
    fn is_unheard(&self) -> bool {
        self.signals.silent > 0
    }

    fn is_silent_behind_a_gateway(&self) -> bool {
        gateway::is_silent(&self.at, self.now) && !self.signals.rolls_back
    }

    fn is_unheard_for_long(&self) -> bool {
        // A step that has waited for a person begins to listen when it goes on.
        self.is_unheard() && self.elapsed().min(self.in_step()) > self.hold() + self.deadline()
    }

    /// The step as a whole has no more time than it would need if all went well, and the deadline besides. What a person has called
    /// back comes late rather than never.
    fn is_late(&self) -> bool {
        !self.signals.rolls_back
            && self.lacks_pods()
            && (self.elapsed() > self.deadline() || self.in_step() > self.deadline() + self.hold())
    }
}

fn stay(sight: Sight<'_>) -> Transition {
    Transition::to(sight.at, Vec::new())
}

/// The step's clock stands still: to wait for a person is not to be late.
fn wait(sight: Sight<'_>) -> Transition {
    Transition::to(RolloutStatus { step_since: None, ..sight.at }, Vec::new())
}

fn abort(sight: Sight<'_>) -> Transition {
    let why = control::names_it(sight.control());
    roll_back(sight.at, Reason::Aborted, why, sight.now)
}

fn fail(sight: Sight<'_>) -> Transition {
    match analysis::failure(sight.signals, sight.metrics) {
        Some((reason, message)) => roll_back(sight.at, reason, message, sight.now),
        None => stay(sight),
    }
}

/// Past all steps, with the weight that it has.
fn skip(sight: Sight<'_>) -> Transition {
    let since = Some(whole_seconds(sight.now));
    let reached = sight.index() + usize::from(sight.at.held || sight.at.stage == RolloutStage::Holding);
    let by = control::told(sight.control().by.as_ref().and_then(|by| by.promote.as_ref()));
    let note = format!("control.promote names canary {}{by}: what is left of its steps is skipped", sight.revision());
    let next = RolloutStatus {
        stage: RolloutStage::Promoting,
        step: i32::try_from(reached.min(sight.course.len())).unwrap_or(i32::MAX),
        step_since: since.clone(),
        since,
        takeover_replicas: sight.signals.together,
        held: false,
        held_seconds: 0,
        ..sight.at
    };
    Transition::to(next, vec![Notice::normal(Reason::Promoting, note)])
}

fn enter(sight: Sight<'_>) -> Transition {
    let step = sight.index();
    go_to(sight, step)
}

/// The steps are others now: the time that the canary has had, and the step it has reached, are of those that were.
fn begin_again(mut sight: Sight<'_>) -> Transition {
    let last = sight.course.len().saturating_sub(1);
    let step = sight.index().min(last);
    sight.at.course = Some(sight.digest());
    sight.at.step_since = Some(whole_seconds(sight.now));
    sight.at.takeover_replicas = None;
    sight.at.ab_test = None;
    sight.at.held = false;
    let mut because = Vec::new();
    if !sight.course.is_empty() {
        let note = format!("the steps have changed: step {} of {} begins", step + 1, last + 1);
        because.push(Notice::normal(Reason::CanaryProgressing, note));
    }
    let mut transition = go_to(sight, step);
    because.append(&mut transition.because);
    Transition { because, ..transition }
}

fn lose_pods(sight: Sight<'_>) -> Transition {
    let share = sight.step().map_or("all requests".to_owned(), |s| match s.weight {
        0 => s.share(),
        weight => format!("{weight} %"),
    });
    let note =
        format!("the canary has {} of the {} ready pods that {share} need", sight.signals.canary_ready, sight.wanted());
    scale_again(sight, note)
}

fn lose_service(sight: Sight<'_>) -> Transition {
    let name = sight.signals.service_is_lost.as_deref().unwrap_or_default();
    let note = format!("the Service {name} is not there, or not ours: the canary gets nothing until it is");
    scale_again(sight, note)
}

/// The step's time stands still, and goes on from where it was. Its counts begin anew, with the stage: what failed while pods were
/// missing says nothing of those that come.
fn scale_again(sight: Sight<'_>, note: String) -> Transition {
    let held = i32::try_from(sight.elapsed().as_secs().max(0)).unwrap_or(i32::MAX);
    let next = RolloutStatus {
        stage: RolloutStage::Scaling,
        held: true,
        held_seconds: sight.at.held_seconds.saturating_add(held),
        since: Some(whole_seconds(sight.now)),
        ..sight.at
    };
    Transition::to(next, vec![Notice::warning(Reason::CanaryProgressing, note)])
}

fn give_up_listening(sight: Sight<'_>) -> Transition {
    let who = if sight.at.gateway.is_some() { "pods" } else { "stable pods" };
    let message = format!(
        "{} {who} do not say what they saw of the canary: is port 8082 of the pods reachable for the operator?",
        sight.signals.silent
    );
    roll_back(sight.at, Reason::ProgressDeadlineExceeded, message, sight.now)
}

fn give_up_waiting(sight: Sight<'_>) -> Transition {
    let lacking = sight.lacking(OnNotEnoughEvidence::RollBack).unwrap_or_default();
    roll_back(sight.at, Reason::NotEnoughEvidence, lacking, sight.now)
}

/// What it has found stays in the status.
fn lose_test(sight: Sight<'_>) -> Transition {
    let reason = if sight.test() == End::StableWins { Reason::Outperformed } else { Reason::NoWinner };
    let found = ab_test::of_window(&sight.at).map(|t| t.message.clone()).unwrap_or_default();
    roll_back(sight.at, reason, found, sight.now)
}

fn pass(sight: Sight<'_>) -> Transition {
    let mut because: Vec<Notice> = sight
        .lacking(OnNotEnoughEvidence::Promote)
        .map(|lacking| Notice::warning(Reason::CanaryProgressing, lacking))
        .into_iter()
        .collect();
    let step = sight.index() + 1;
    let mut transition = go_to(sight, step);
    because.append(&mut transition.because);
    Transition { because, ..transition }
}

fn take_over(sight: Sight<'_>) -> Transition {
    promote(sight.at, sight.policy, sight.now)
}

fn run_late(sight: Sight<'_>) -> Transition {
    let excuse = sight.signals.canary_excuse.as_deref().unwrap_or("its pods do not say why");
    let message = format!(
        "{} of {} pods ready after {} seconds: {excuse}",
        sight.signals.canary_ready,
        sight.wanted(),
        sight.elapsed().max(sight.in_step()).as_secs()
    );
    roll_back(sight.at, Reason::ProgressDeadlineExceeded, message, sight.now)
}

/// To a step, or past the last one; straight to its weight where the pods are there already.
fn go_to(sight: Sight<'_>, step: usize) -> Transition {
    let since = Some(whole_seconds(sight.now));
    let index = i32::try_from(step).unwrap_or(i32::MAX);
    let step_since = if sight.at.step == index { sight.at.step_since.clone() } else { since.clone() };
    let count = sight.course.len();
    let may_hold = !sight.lacks_service() && !sight.is_unrouted();
    // Only what the same step has held counts.
    let goes_on = sight.at.held && sight.at.step == index;
    let held_seconds = if goes_on { sight.at.held_seconds } else { 0 };
    let next = RolloutStatus { step_since, since, held: false, held_seconds, ..sight.at };
    let Some(to) = sight.course.get(step) else {
        let step = i32::try_from(count).unwrap_or(i32::MAX);
        let takeover_replicas = sight.signals.together;
        let next = RolloutStatus { stage: RolloutStage::Promoting, step, takeover_replicas, held_seconds: 0, ..next };
        let note = "all steps are passed; the canary is scaled to take every request".to_owned();
        return Transition::to(next, vec![Notice::normal(Reason::Promoting, note)]);
    };
    let has_pods = sight.signals.canary_ready >= needed(to.size, sight.signals.stable_ready);
    if has_pods && may_hold {
        let note = format!("step {} of {count}: {}", step + 1, to.tell());
        let next = RolloutStatus { stage: RolloutStage::Holding, step: index, ..next };
        return Transition::to(next, vec![Notice::normal(Reason::CanaryProgressing, note)]);
    }
    Transition::to(RolloutStatus { stage: RolloutStage::Scaling, step: index, ..next }, Vec::new())
}

/// What a person has to do for the rollout to go on.
pub fn waits(at: &RolloutStatus, rules: Rules<'_>, now: Timestamp) -> Option<String> {
    let Rules { policy, course } = rules;
    let revision = &at.canary.as_ref()?.revision;
    if policy.control.roll_back_to.is_some() {
        return None;
    }
    if policy.control.paused {
        return Some("control.paused is true".to_owned());
    }
    let signals = Signals::default();
    let sight = Sight { signals: &signals, policy, course, now, at: at.clone(), metrics: &[] };
    let is_waiting = at.stage == RolloutStage::Holding && !sight.holds() && sight.waits();
    let word = format!("{revision}/{}", at.step);
    let is_spent = at.proceeded.as_ref().is_some_and(|spent| *spent == word);
    let how = if is_spent { "take control.proceed out and set it again" } else { "set control.proceed" };
    is_waiting.then(|| format!("{how} to {word} to go on"))
}
