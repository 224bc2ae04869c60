//! One step of the machine, for each row of its table.

use super::*;

struct Case {
    name: &'static str,
    from: RolloutStatus,
    signals: Signals,
    /// Stage, step, canary, weight that is wanted.
    to: (RolloutStage, i32, Option<&'static str>, i32),
    reasons: &'static [Reason],
}

#[test]
fn transitions() {
    use RolloutStage::*;
    let quiet = |s: Signals| Signals { counts: SplitWindow { requests: 3, ..SplitWindow::default() }, ..s };
    let judged = |s: Signals| Signals { counts: SplitWindow { requests: 200, ..SplitWindow::default() }, ..s };
    let cases = vec![
        Case {
            name: "a new target starts a canary",
            from: served(),
            signals: signals(0),
            to: (Scaling, 0, Some("b"), 0),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "no pod, no weight",
            from: canary(Scaling, 0, 29),
            signals: signals(0),
            to: (Scaling, 0, Some("b"), 0),
            reasons: &[],
        },
        Case {
            name: "ready for 20 %",
            from: canary(Scaling, 0, 3),
            signals: signals(1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "too late",
            from: canary(Scaling, 0, 31),
            signals: signals(0),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "ready at the last moment",
            from: canary(Scaling, 0, 31),
            signals: signals(1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "holds",
            from: canary(Holding, 0, 9),
            signals: judged(signals(1)),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "held; one pod is enough for 50 % of two",
            from: canary(Holding, 0, 10),
            signals: judged(signals(1)),
            to: (Holding, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "held in silence",
            from: canary(Holding, 0, 10),
            signals: quiet(signals(1)),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "the next step needs more pods",
            from: canary(Holding, 0, 10),
            signals: judged(Signals { stable_ready: 4, ..signals(1) }),
            to: (Scaling, 1, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "pods lost",
            from: canary(Holding, 1, 5),
            signals: signals(0),
            to: (Scaling, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "pods lost, and there again",
            from: RolloutStatus { held: true, ..canary(Scaling, 1, 5) },
            signals: signals(1),
            to: (Holding, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing],
        },
        Case {
            name: "the last step is held",
            from: canary(Holding, 1, 10),
            signals: judged(signals(2)),
            to: (Promoting, 2, Some("b"), 50),
            reasons: &[Reason::Promoting],
        },
        Case {
            name: "not enough to take over",
            from: canary(Promoting, 2, 5),
            signals: signals(1),
            to: (Promoting, 2, Some("b"), 50),
            reasons: &[],
        },
        Case {
            name: "never enough to take over",
            from: canary(Promoting, 2, 31),
            signals: signals(1),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "takes over",
            from: canary(Promoting, 2, 5),
            signals: signals(2),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::Promoted],
        },
        Case {
            name: "errors",
            from: canary(Holding, 0, 1),
            signals: failing(60, 6),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "one error says little",
            from: canary(Holding, 0, 1),
            signals: failing(20, 1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "errors while promoting",
            from: canary(Promoting, 2, 1),
            signals: failing(20, 20),
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "too few to be sure",
            from: canary(Holding, 0, 1),
            signals: failing(19, 19),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "exactly at the limit",
            from: canary(Holding, 0, 1),
            signals: failing(100, 1),
            to: (Holding, 0, Some("b"), 20),
            reasons: &[],
        },
        Case {
            name: "crashes",
            from: canary(Scaling, 0, 1),
            signals: Signals { canary_crash: Some("it crashed".into()), ..signals(0) },
            to: (Idle, 0, None, 0),
            reasons: &[Reason::RolledBack],
        },
        Case {
            name: "another target",
            from: canary(Holding, 1, 1),
            signals: Signals { target: Some(revision("c")), ..signals(2) },
            to: (Scaling, 0, Some("c"), 0),
            reasons: &[Reason::Superseded, Reason::CanaryProgressing],
        },
        Case {
            name: "back to stable",
            from: canary(Holding, 1, 1),
            signals: Signals { target: Some(revision("a")), ..signals(2) },
            to: (Idle, 0, None, 0),
            reasons: &[Reason::Superseded],
        },
        Case {
            name: "the target is not known",
            from: canary(Holding, 1, 1),
            signals: Signals { target: None, ..signals(2) },
            to: (Idle, 0, None, 0),
            reasons: &[Reason::Superseded],
        },
        Case {
            name: "suspended, though it fails",
            from: canary(Holding, 1, 1),
            signals: Signals { suspended: true, ..failing(100, 100) },
            to: (Holding, 1, Some("b"), 50),
            reasons: &[],
        },
        Case {
            name: "steps were taken away",
            from: canary(Holding, 7, 1),
            signals: signals(1),
            to: (Holding, 1, Some("b"), 50),
            reasons: &[Reason::CanaryProgressing, Reason::CanaryProgressing],
        },
    ];
    for case in cases {
        let Transition { next, because, .. } = advance(&case.from, &case.signals, &policy(), at(NOW));
        let seen =
            (next.stage, next.step, next.canary.as_ref().map(|c| c.revision.as_str()), wanted_weight(&next, &policy()));
        assert_eq!(seen, case.to, "{}", case.name);
        assert_eq!(because.iter().map(|n| n.reason).collect::<Vec<_>>(), case.reasons, "{}: {because:?}", case.name);
        assert_eq!(next.stable.is_some(), case.from.stable.is_some(), "{}", case.name);
    }
}
