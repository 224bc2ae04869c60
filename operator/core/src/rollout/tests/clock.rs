//! The operator's clock was an hour fast, and is right now.

use super::*;

const HOUR: i64 = 3600;

#[test]
fn a_step_is_held_no_longer_than_from_now() {
    let signals = Signals { counts: SplitWindow { requests: 200, ..SplitWindow::default() }, ..signals(1) };
    let ahead = canary(RolloutStage::Holding, 0, -HOUR);
    let seen = advance(&ahead, &signals, &policy(), at(NOW)).next;
    assert_eq!((seen.step, seen.since.clone()), (0, Some(Time(at(NOW)))));
    let over = advance(&seen, &signals, &policy(), at(NOW + 10)).next;
    assert_eq!(over.step, 1);
}

#[test]
fn what_is_replaced_is_kept_no_longer_than_from_now() {
    let until =
        |second| RolloutStatus { previous: Some(revision("a")), previous_until: Some(Time(at(second))), ..served() };
    let signals = Signals { flipped: true, target: served().stable, ..signals(0) };
    let seen = advance(&until(NOW + HOUR), &signals, &policy(), at(NOW)).next;
    assert_eq!(seen.previous_until, Some(Time(at(NOW + 5))));
    // One that is not over is left as it is.
    assert_eq!(advance(&until(NOW + 3), &signals, &policy(), at(NOW)).next.previous_until, Some(Time(at(NOW + 3))));
    assert_eq!(advance(&seen, &signals, &policy(), at(NOW + 5)).next.previous, None);
}

#[test]
fn everything_else_that_has_begun() {
    let ahead = Some(Time(at(NOW + HOUR)));
    let gateway =
        GatewayStatus { pending_since: ahead.clone(), silent_since: ahead.clone(), ..GatewayStatus::default() };
    let test = drydock_crds::AbTestStatus { since: ahead.clone(), ..Default::default() };
    let written = RolloutStatus {
        step_since: ahead,
        gateway: Some(gateway),
        ab_test: Some(Box::new(test)),
        ..canary(RolloutStage::Holding, 0, 5)
    };
    let right = super::super::clock::set_right(written, &policy(), at(NOW));
    let now = Some(Time(at(NOW)));
    let gateway = right.gateway.unwrap();
    assert_eq!(
        [right.step_since, gateway.pending_since, gateway.silent_since, right.ab_test.unwrap().since],
        [(); 4].map(|()| now.clone())
    );
    assert_eq!(right.since, Some(Time(at(NOW - 5))));
}
