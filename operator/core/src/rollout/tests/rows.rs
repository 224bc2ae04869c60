//! Each row of the table decides somewhere. What then becomes of the canary is in `transitions` and beside it.

use super::*;
use crate::rollout::table::row;
use RolloutStage::{Holding, Idle, Promoting, Scaling};

type Case = (&'static str, RolloutStatus, Signals, Rollout);

/// One for each row, in the order of the table.
fn cases() -> Vec<Case> {
    let control = |control: Control| Rollout { control, ..policy() };
    let analysed = |change: &dyn Fn(&mut Analysis)| {
        let mut policy = policy();
        change(&mut policy.analysis);
        policy
    };
    let judged = |s: Signals| Signals { counts: SplitWindow { requests: 200, ..SplitWindow::default() }, ..s };
    let quiet = || Signals { counts: SplitWindow { requests: 3, ..SplitWindow::default() }, ..signals(1) };
    let silent = || Signals { silent: 1, ..signals(1) };
    let abort = || control(Control { abort: Some("b".into()), ..Control::default() });
    let promote = || control(Control { promote: Some("b".into()), ..Control::default() });
    let pauses = || {
        let mut policy = policy();
        policy.steps[0].pause = true;
        policy
    };
    let of_another = RolloutStatus { course: Some("another".into()), ..canary(Holding, 0, 1) };
    let gateway = Some(GatewayStatus { silent_since: Some(Time(at(NOW - 31))), ..GatewayStatus::default() });
    let behind_a_gateway = RolloutStatus { gateway, ..canary(Holding, 0, 1) };
    let long_held = RolloutStatus { step_since: Some(Time(at(NOW - 41))), ..canary(Holding, 0, 41) };
    let no_steps = Rollout { steps: Vec::new(), ..policy() };
    let pending = Signals { routes: Routes::Pending("why".into()), ..signals(1) };
    let lost = Signals { service_is_lost: Some("m-canary".into()), ..signals(1) };
    let test = AbTest { on_winner: OnWinner::Apply, duration_seconds: Some(10), ..AbTest::default() };
    let a_b = super::ab_test::a_b(AbTest { metric: Some("conversion".into()), ..test });
    let hook = ExternalMetric { name: "gate".into(), web_hook: Some(WebHook::default()), ..ExternalMetric::default() };
    let asks = analysed(&|a| a.external = vec![hook.clone()]);
    let rolls_back = analysed(&|a| a.on_not_enough_evidence = OnNotEnoughEvidence::RollBack);
    vec![
        ("aborted", canary(Promoting, 2, 1), signals(2), abort()),
        ("worse", canary(Holding, 0, 1), failing(60, 6), policy()),
        ("another course", of_another, signals(1), policy()),
        ("promoted by hand", canary(Holding, 0, 1), signals(1), promote()),
        ("no step", canary(Scaling, 0, 1), signals(1), no_steps),
        ("idle", canary(Idle, 0, 1), signals(0), policy()),
        ("ready", canary(Scaling, 0, 3), signals(1), policy()),
        ("pods lost", canary(Holding, 1, 5), signals(0), policy()),
        ("not routed", canary(Holding, 0, 10), pending, policy()),
        ("silent behind a gateway", behind_a_gateway, silent(), policy()),
        ("Service lost", canary(Holding, 0, 7), lost, policy()),
        ("holds", canary(Holding, 0, 9), judged(signals(1)), policy()),
        ("waits for a person", canary(Holding, 0, 10), judged(signals(1)), pauses()),
        ("unheard for long", long_held, silent(), policy()),
        ("unheard", canary(Holding, 0, 10), silent(), policy()),
        ("has lost the test", canary(Holding, 0, 10), super::ab_test::users(4000, 0.04), a_b),
        ("awaits answers", canary(Holding, 0, 10), judged(signals(1)), asks),
        ("no evidence", canary(Holding, 0, 10), quiet(), rolls_back),
        ("awaits evidence", canary(Holding, 0, 10), quiet(), policy()),
        ("passed", canary(Holding, 0, 10), judged(signals(1)), policy()),
        ("takes over", canary(Promoting, 2, 5), signals(2), policy()),
        ("late", canary(Scaling, 0, 31), signals(0), policy()),
    ]
}

/// The row that decides, as [`super::super::advance`] finds it.
fn decides((_, from, signals, policy): &Case) -> Option<usize> {
    let course = course(policy);
    let mut metrics = judge(&signals.counts, policy, course.len(), None);
    metrics.extend(crate::rollout::external::judge(&signals.external, from, &policy.analysis));
    row(&mut Sight { signals, policy, course: &course, now: at(NOW), at: from.clone(), metrics: &metrics })
}

#[test]
fn each_row_of_the_table_decides_somewhere() {
    let cases = cases();
    let seen: Vec<_> = cases.iter().map(|case| (case.0, decides(case))).collect();
    let expected: Vec<_> = cases.iter().zip(0..).map(|(case, row)| (case.0, Some(row))).collect();
    assert_eq!(seen, expected);
    assert_eq!(cases.len(), crate::rollout::table::ROWS);
    let undecided = ("too few pods to take over", canary(Promoting, 2, 5), signals(1), policy());
    assert_eq!(decides(&undecided), None);
}
