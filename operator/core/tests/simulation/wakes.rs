use drydock_operator_core::{Plan, Wake};
use jiff::Timestamp;

use super::faults::Faults;
use super::{Cluster, Pass};

/// What makes the operator look again, and nothing else does: here a wake that `plan` has forgotten leaves a rollout where it is.
#[derive(Clone, Debug, Default)]
pub struct Wakes {
    /// Something that the operator watches has changed since it last read.
    pub changed: bool,
    /// When the last pass asked to be woken.
    pub at: Option<Timestamp>,
}

/// Seconds that the slowest of the controllers takes to do what is next.
const SLOWEST: usize = 8;

impl Wakes {
    pub fn wait(&mut self, now: Timestamp, wake: Wake) {
        self.at = match wake {
            Wake::OnChange => None,
            Wake::After(wait) => Some(now.checked_add(wait).unwrap()),
        };
    }
}

impl Cluster {
    pub fn is_due(&self) -> bool {
        self.wakes.changed || self.wakes.at.is_some_and(|at| at <= self.now)
    }

    /// Reads and decides; what there is to wake for is known when that is written.
    pub fn look(&mut self) -> Pass {
        let pass = self.begin();
        self.wakes.changed = false;
        self.wakes.at = None;
        pass
    }

    /// Writes; a pass that failed is done again.
    pub fn act(&mut self, pass: &Pass, faults: &Faults) {
        if !self.finish(pass, faults) {
            self.wakes.changed = true;
        }
    }

    pub fn pass(&mut self) -> Plan {
        let pass = self.look();
        self.act(&pass, &Faults::default());
        pass.plan
    }

    /// As the operator would work, woken by changes and by the times it asked for: until there is nothing that could wake it and
    /// no canary, or so many seconds have passed.
    pub fn come_to_rest(&mut self, seconds: usize) -> bool {
        self.wakes.changed = true;
        let mut quiet = 0;
        for _ in 0..seconds {
            if self.is_due() {
                self.pass();
            }
            self.second();
            let rests = !self.wakes.changed && self.wakes.at.is_none();
            quiet = if rests { quiet + 1 } else { 0 };
            if quiet > SLOWEST {
                return self.md.status.as_ref().and_then(|s| s.rollout.as_ref()).is_none_or(|r| r.canary.is_none());
            }
        }
        false
    }
}
