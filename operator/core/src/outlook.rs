use drydock_crds::{RevisionStatus, TrackStatus};
use jiff::Timestamp;

use crate::rollout::Routes;
use crate::selection::Verdict;

/// What the report needs to know of a plan, beside its memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    pub(crate) suspended: bool,
    pub(crate) verdict: Option<Verdict>,
    /// When the optimization is begun again that failed for a reason that may pass.
    pub(crate) again_at: Option<Timestamp>,
    /// What the spec asks for but for `rollBackTo`.
    pub(crate) asked: Option<RevisionStatus>,
    /// What is to be served.
    pub(crate) target: Option<RevisionStatus>,
    /// `rollBackTo`, where there is no record of it.
    pub(crate) unknown: Option<String>,
    pub(crate) stable: Option<TrackStatus>,
    pub(crate) canary: Option<TrackStatus>,
    /// Percent of the requests that go to the canary.
    pub(crate) weight: i32,
    /// How a gateway's routes stand to what is asked for now.
    pub(crate) routes: Routes,
    /// For longer than it takes gateways to accept a route.
    pub(crate) routes_are_late: bool,
    pub(crate) steps: usize,
    /// What the rollout waits for a person to do.
    pub(crate) waits: Option<String>,
    /// What the pods say of themselves.
    pub(crate) stable_crash: Option<String>,
    pub(crate) stable_excuse: Option<String>,
    pub(crate) canary_excuse: Option<String>,
    /// The stage takes longer than `progressDeadlineSeconds`.
    pub(crate) is_late: bool,
    /// Names of children that something else has taken.
    pub(crate) foreign: Vec<String>,
    /// Children that are being deleted.
    pub(crate) ending: Vec<String>,
}
