use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Conditions of a ModelDeployment. `Ready`, `Reconciling` and `Stalled` are read by kstatus (Flux, `kubectl wait`, Argo CD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray)]
pub enum ConditionType {
    /// Requests are answered, by the revision that the spec asks for.
    Ready,
    /// Work is going on; there only while true.
    Reconciling,
    /// Only a change of the spec (or of the cluster, by hand) helps; there only while true.
    Stalled,
    /// The candidates of this spec are made and measured, and one is chosen.
    Optimized,
    /// The stable revision has the pods that it should have.
    Available,
    /// A canary is on its way.
    Progressing,
    /// The spec asks for a revision that has failed, or that `rollBackTo` holds back, and another one is served; there only while true.
    HeldBack,
}

/// Reasons of conditions, candidates and events. Each has an entry in docs/runbook.md.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Reason {
    /// The spec cannot be turned into children; the message names the fields.
    InvalidSpec,
    /// The optimization Job is at work.
    Optimizing,
    /// A candidate was chosen.
    CandidateSelected,
    /// Measured, and over a limit.
    GateBroken,
    /// Every candidate breaks a gate.
    NoCandidatePasses,
    /// Every candidate failed, for several reasons.
    OptimizationFailed,
    InvalidModel,
    DigestMismatch,
    InvalidDataset,
    InvalidRecipe,
    TimeBudgetTooShort,
    InvalidTask,
    SourceUnreachable,
    StoreUnavailable,
    DiskFull,
    Interrupted,
    Internal,
    OutOfMemory,
    DeadlineExceeded,
    /// The first revision is starting.
    Deploying,
    /// The stable revision answers requests.
    Serving,
    /// The stable revision has fewer ready pods than it should have.
    Unavailable,
    /// A canary is on its way.
    CanaryProgressing,
    /// All steps are passed.
    Promoting,
    Promoted,
    RolledBack,
    /// The rollout waits for a person: `control.paused`, or a step with `pause`.
    Paused,
    /// `control.abort` names the canary.
    Aborted,
    /// `control.retry` names the revision that was rolled back.
    Retried,
    /// `control.rollBackTo` names another revision than the spec asks for.
    RollBackRequested,
    /// `control.rollBackTo` names a revision of which there is no record.
    UnknownRevision,
    /// The canary's error rate is over `maxErrorRate`.
    ErrorRate,
    /// The canary disagrees with the stable model more than `minAgreement` allows.
    Disagreement,
    /// The canary is slower than `maxLatencyRatio` allows.
    Latency,
    /// The canary is right less often than `maxAccuracyDrop` allows, or a metric of feedback is worse than its `maxWorsening`.
    Feedback,
    /// A source of `analysis.external` says that the canary is bad.
    External,
    /// The A/B test has ended, the stable revision is better by its metric, and `abTest.onWinner` is `Apply`.
    Outperformed,
    /// The A/B test has ended, none of both is better by its metric, and `abTest.onNoWinner` is `KeepStable`.
    NoWinner,
    /// A step was over before its requests could tell whether the canary is good, and `onNotEnoughEvidence` is `RollBack`.
    NotEnoughEvidence,
    /// The canary, or a first revision, does not stay up.
    CrashLoop,
    /// The canary, or a first revision, is not ready in time.
    ProgressDeadlineExceeded,
    /// The spec changed while a canary was on its way.
    Superseded,
    /// No canary.
    Idle,
    Suspended,
    /// `router: Gateway`, and a parent has not accepted a route; the message has its reason.
    RouteNotAccepted,
    /// `router: Gateway`, and the cluster does not have the Gateway API.
    GatewayApiMissing,
    /// The API server refused a child; the message says which and why.
    ApplyFailed,
    /// A child is being deleted, by somebody else, and is not gone yet.
    Terminating,
}

impl ConditionType {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
