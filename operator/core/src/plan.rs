use drydock_contract::Split;
use drydock_crds::Reason;
use jiff::{SignedDuration, Timestamp};

use crate::{Child, ChildRef, Memory, Observed, Outlook, Resolved};

/// One pass, decided. To be carried out in the order of the fields; `prune` only if everything before it succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is missing or differs, whole. A child that is not in [`Observed`] may still exist and belong to something else:
    /// look before the first write.
    pub writes: Vec<Child>,
    /// To the scale subresource, where no autoscaler decides.
    pub scales: Vec<Scale>,
    /// To the pods' annotation [`drydock_contract::SPLIT_ANNOTATION`].
    pub splits: Vec<PodSplit>,
    /// Ours, there, and no longer wanted.
    pub prune: Vec<ChildRef>,
    pub memory: Memory,
    pub outlook: Outlook,
    /// To be published if everything above succeeded.
    pub notices: Vec<Notice>,
    pub wake: Wake,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    pub deployment: String,
    pub replicas: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSplit {
    pub pod: String,
    /// `None` removes the annotation.
    pub split: Option<Split>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub warning: bool,
    pub reason: Reason,
    pub note: String,
}

/// When to look again if nothing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wake {
    #[default]
    OnChange,
    After(SignedDuration),
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.scales.is_empty() && self.splits.is_empty() && self.prune.is_empty()
    }
}

/// What to do now.
pub fn plan(resolved: &Resolved, observed: &Observed, memory: &Memory, now: Timestamp) -> Plan {
    let _ = (resolved, observed, now);
    Plan { memory: memory.clone(), ..Plan::default() }
}
