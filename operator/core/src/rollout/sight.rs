//! What the rows of the table ask of a canary.

use drydock_crds::{Control, Metric, MetricStatus, OnNotEnoughEvidence, Rollout, RolloutStage, RolloutStatus};
use jiff::{SignedDuration, Timestamp};

use super::ab_test::{self, End};
use super::course::{Step, digest};
use super::{Routes, Signals, analysis, control, external, gateway, needed, whole_seconds};

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

impl<'a> Sight<'a> {
    /// To wait for a person is not to be late: the clocks that deadlines are measured by stand still meanwhile. Only a person gives a
    /// Service its name back, too.
    pub fn set_clocks(&mut self) {
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

    pub fn note_analysis(&mut self) {
        self.at.analysis = Some(analysis::noted(&self.at, self.metrics.to_vec(), &self.policy.analysis, self.now));
        if self.at.stage == RolloutStage::Holding {
            let test = ab_test::noted(&self.at, &self.signals.counts, self.policy, self.now);
            self.at.ab_test = test.map(Box::new);
        }
    }

    pub fn control(&self) -> &'a Control {
        &self.policy.control
    }

    /// `rollBackTo` waits for nobody.
    pub fn is_paused(&self) -> bool {
        self.control().paused && !self.signals.rolls_back
    }

    pub fn revision(&self) -> &str {
        self.at.canary.as_ref().map_or("", |c| c.revision.as_str())
    }

    pub fn index(&self) -> usize {
        usize::try_from(self.at.step).unwrap_or(0)
    }

    pub fn step(&self) -> Option<&'a Step> {
        self.course.get(self.index())
    }

    pub fn deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(self.policy.progress_deadline_seconds.into())
    }

    pub fn hold(&self) -> SignedDuration {
        SignedDuration::from_secs(self.step().map_or(0, |s| s.hold_seconds).into())
    }

    /// What is left of it: the time before pods were lost counts.
    pub fn left_to_hold(&self) -> SignedDuration {
        self.hold() - SignedDuration::from_secs(self.at.held_seconds.into())
    }

    /// In the stage.
    pub fn elapsed(&self) -> SignedDuration {
        self.at.since.as_ref().map_or(SignedDuration::ZERO, |since| self.now.duration_since(since.0))
    }

    pub fn in_step(&self) -> SignedDuration {
        self.at.step_since.as_ref().map_or_else(|| self.elapsed(), |since| self.now.duration_since(since.0))
    }

    /// Ready pods that the stage needs.
    pub fn wanted(&self) -> i32 {
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
    pub fn always(&self) -> bool {
        true
    }

    pub fn is_aborted(&self) -> bool {
        self.control().abort.as_deref() == Some(self.revision())
    }

    pub fn is_worse(&self) -> bool {
        analysis::failure(self.signals, self.metrics).is_some()
    }

    /// What the step lacks to be passed, and what `then` becomes of it. Of one that sends the canary nothing, such as a preview, others
    /// alone can say something.
    pub fn lacking(&self, then: OnNotEnoughEvidence) -> Option<String> {
        let sends = self.step().is_some_and(|s| s.weight > 0 || s.shadow > 0);
        let counts = |m: &&MetricStatus| {
            (sends || m.metric == Metric::External) && external::without(m, &self.policy.analysis) == then
        };
        analysis::lacks(self.metrics.iter().filter(counts))
    }

    /// Whoever was asked has not had the time to answer.
    pub fn awaits_answers(&self) -> bool {
        external::is_pending(&self.signals.external, &self.at, &self.policy.analysis)
    }

    pub fn awaits_evidence(&self) -> bool {
        self.lacking(OnNotEnoughEvidence::Hold).is_some()
    }

    pub fn lacks_evidence_for_good(&self) -> bool {
        self.lacking(OnNotEnoughEvidence::RollBack).is_some()
    }

    pub fn is_promoted_by_hand(&self) -> bool {
        control::promotes(self.control(), &self.at) && !self.is_paused()
    }

    /// Only what has no steps at all goes on without one: past the last step is where `pass` and `skip` lead, not an edit.
    pub fn has_no_step(&self) -> bool {
        self.course.is_empty() && !self.is_paused()
    }

    pub fn digest(&self) -> String {
        digest(self.policy, self.course)
    }

    /// A status from before there was this note begins with it, unless its step is none of this course's.
    pub fn note_course(&mut self) {
        let is_off = self.step().is_none() && self.at.stage != RolloutStage::Promoting && !self.course.is_empty();
        if self.at.course.is_none() && !is_off {
            self.at.course = Some(self.digest());
        }
    }

    pub fn has_another_course(&self) -> bool {
        self.at.course.as_ref() != Some(&self.digest())
    }

    pub fn lacks_pods(&self) -> bool {
        self.signals.canary_ready < self.wanted()
    }

    /// A weight that a gateway has not accepted says nothing of the canary. What a person has called back waits for no gateway: it
    /// takes over by the Service's selector.
    pub fn is_unrouted(&self) -> bool {
        self.signals.routes != Routes::InForce && !self.signals.rolls_back
    }

    /// What has the Service's name may lead anywhere: nothing is sent there, and a preview that nobody can reach does not begin.
    pub fn lacks_service(&self) -> bool {
        self.signals.service_is_lost.is_some()
    }

    pub fn may_go_on(&self) -> bool {
        self.may_take_over() && !self.lacks_service()
    }

    pub fn may_take_over(&self) -> bool {
        !self.lacks_pods() && !self.is_paused() && !self.is_unrouted()
    }

    /// An A/B test may end by its sample, too.
    pub fn holds(&self) -> bool {
        match ab_test::named(self.policy).filter(|_| !self.signals.rolls_back) {
            Some(_) => !ab_test::of_window(&self.at).is_some_and(|t| t.ended),
            None => self.elapsed() < self.left_to_hold(),
        }
    }

    pub fn test(&self) -> End {
        ab_test::end(&self.at, self.policy)
    }

    pub fn proceeds(&self) -> bool {
        control::proceeds(self.control(), &self.at, self.index())
    }

    /// A person who has let it go on knows better.
    pub fn has_lost(&self) -> bool {
        matches!(self.test(), End::StableWins | End::Nobody) && !self.proceeds()
    }

    /// For a person.
    pub fn waits(&self) -> bool {
        let pauses = self.step().is_some_and(|s| s.pause) && self.test() == End::Waits;
        self.is_paused() || (pauses && !self.proceeds())
    }

    /// No telemetry is not the same as no traffic: what nobody can see is not promoted.
    pub fn is_unheard(&self) -> bool {
        self.signals.silent > 0
    }

    pub fn is_silent_behind_a_gateway(&self) -> bool {
        gateway::is_silent(&self.at, self.now) && !self.signals.rolls_back
    }

    pub fn is_unheard_for_long(&self) -> bool {
        // A step that has waited for a person begins to listen when it goes on.
        self.is_unheard() && self.elapsed().min(self.in_step()) > self.hold() + self.deadline()
    }

    /// The step as a whole has no more time than it would need if all went well, and the deadline besides. What a person has called
    /// back comes late rather than never.
    pub fn is_late(&self) -> bool {
        !self.signals.rolls_back
            && self.lacks_pods()
            && (self.elapsed() > self.deadline() || self.in_step() > self.deadline() + self.hold())
    }
}
