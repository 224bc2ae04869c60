use super::*;
use crate::test_support::metrics;

fn splitter() -> Arc<Splitter> {
    Arc::new(Splitter::new(None, None, 8, 1, metrics()))
}

fn split(weight: u8, window: &str) -> Split {
    let (revision, window) = ("r2".to_owned(), window.to_owned());
    Split { weight, revision, window, compare: 100, timeout_milliseconds: 100, ..Split::default() }
}

#[test]
fn a_late_result_is_not_counted_in_the_next_window() {
    let splitter = splitter();
    splitter.set(Some(split(100, "1")));
    let (first, late) = (splitter.next(&HeaderMap::new()).unwrap(), splitter.next(&HeaderMap::new()).unwrap());
    splitter.ended(&first, Ok(Duration::ZERO));
    assert_eq!(splitter.window().requests, 1);
    splitter.set(Some(split(100, "2")));
    assert_eq!(splitter.window().requests, 0);
    splitter.ended(&late, Err(Failure::Timeout));
    splitter.compared(&late, None, true);
    assert_eq!((splitter.window().requests, splitter.window().timeouts, splitter.window().compared), (0, 0, 0));
}

#[test]
fn a_new_weight_alone_does_not_reset_the_counts() {
    let splitter = splitter();
    splitter.set(Some(split(100, "1")));
    let sent = splitter.next(&HeaderMap::new()).unwrap();
    splitter.set(Some(split(50, "1")));
    splitter.ended(&sent, Err(Failure::Error));
    let window = splitter.window();
    assert_eq!((window.weight, window.requests, window.errors, window.window.as_str()), (50, 1, 1, "1"));
    // While nothing is sent what was counted stays, and goes on with the same window: a canary's only pod was away for a moment.
    splitter.set(None);
    assert_eq!(splitter.window(), SplitWindow { weight: 0, ..window.clone() });
    assert!(splitter.next(&HeaderMap::new()).is_none());
    splitter.set(Some(split(50, "1")));
    assert_eq!(splitter.window(), window);
    splitter.set(Some(split(50, "2")));
    assert_eq!((splitter.window().requests, splitter.window().window.as_str()), (0, "2"));
}

#[test]
fn both_tracks_are_counted_and_nobodys_latency_before_the_canary_is_warm() {
    let splitter = splitter();
    assert!(splitter.keeps().is_none(), "nothing to compare with");
    splitter.set(Some(split(100, "1")));
    for _ in 0..12 {
        splitter.ended(&splitter.next(&HeaderMap::new()).unwrap(), Ok(Duration::ZERO));
        splitter.kept(splitter.keeps().unwrap(), false);
    }
    splitter.ended(&splitter.next(&HeaderMap::new()).unwrap(), Err(Failure::Error));
    splitter.kept(splitter.keeps().unwrap(), true);
    let window = splitter.window();
    let stable = window.stable.unwrap();
    assert_eq!((window.requests, stable.requests, stable.errors), (13, 13, 1));
    assert_eq!((window.latencies.iter().sum::<u64>(), stable.latencies.iter().sum::<u64>()), (2, 2));

    let late = splitter.keeps().unwrap();
    splitter.set(Some(split(100, "2")));
    splitter.kept(late, false);
    assert_eq!(splitter.window().stable, None);
}

/// Behind a gateway the pods of both revisions are told a split of nothing, and count what they answer.
#[test]
fn a_pod_that_sends_nothing_counts_its_own_from_its_own_first_requests_on() {
    let splitter = splitter();
    splitter.set(Some(split(0, "1")));
    for _ in 0..WARM_UP_REQUESTS + 3 {
        assert!(splitter.next(&HeaderMap::new()).is_none());
        splitter.kept(splitter.keeps().unwrap(), false);
    }
    splitter.kept(splitter.keeps().unwrap(), true);
    let stable = splitter.window().stable.unwrap();
    assert_eq!((stable.requests, stable.errors, stable.latencies.iter().sum::<u64>()), (WARM_UP_REQUESTS + 4, 1, 3));
}

#[test]
fn a_user_who_gives_up_has_no_answer() {
    let splitter = splitter();
    for (weight, counted) in [(50, None), (0, Some((1, 1)))] {
        splitter.set(Some(split(weight, &weight.to_string())));
        drop(splitter.keeps());
        assert_eq!(splitter.window().stable.map(|s| (s.requests, s.errors)), counted, "{weight} %");
    }
}

#[test]
fn a_timeout_is_the_longest_latency_and_other_failures_are_none() {
    let splitter = splitter();
    splitter.set(Some(split(100, "1")));
    let end = |took| splitter.ended(&splitter.next(&HeaderMap::new()).unwrap(), took);
    (0..WARM_UP_REQUESTS).for_each(|_| end(Err(Failure::Timeout)));
    [Ok(Duration::ZERO), Err(Failure::Timeout), Err(Failure::Error), Err(Failure::Unreachable)]
        .into_iter()
        .for_each(end);
    let window = splitter.window();
    assert_eq!((window.requests, window.timeouts), (WARM_UP_REQUESTS + 4, WARM_UP_REQUESTS + 1));
    let mut longest = Vec::new();
    count_latency(&mut longest, Duration::MAX);
    assert_eq!((window.latencies.len(), window.latencies.last()), (longest.len(), Some(&1)));
    assert_eq!(window.latencies.iter().sum::<u64>(), 2);
}

#[test]
fn no_more_wait_for_the_canary_than_may() {
    let splitter = splitter();
    splitter.set(Some(split(100, "1")));
    let sent: Vec<_> = (0..9).map(|_| splitter.next(&HeaderMap::new())).collect();
    assert_eq!(sent.iter().flatten().count(), 8);
    drop(sent);
    let sent = splitter.next(&HeaderMap::new()).unwrap();
    let permit = splitter.compares(&sent);
    assert!(permit.is_some() && splitter.compares(&sent).is_none());
}

#[test]
fn no_more_copies_than_may_and_none_that_takes_a_users_place() {
    let splitter = splitter();
    splitter.set(Some(Split { shadow: 100, ..split(0, "1") }));
    assert!(splitter.next(&HeaderMap::new()).is_none());
    let copy = splitter.shadows();
    assert!(copy.is_some() && splitter.shadows().is_none());
    splitter.set(Some(Split { shadow: 100, ..split(100, "1") }));
    assert_eq!((0..9).map(|_| splitter.next(&HeaderMap::new())).collect::<Vec<_>>().iter().flatten().count(), 8);
    drop(copy);
    assert!(splitter.shadows().is_some());
}

#[test]
fn raising_the_weight_moves_nobody_back_and_no_request_without_the_key_sticks() {
    let splitter = splitter();
    let user = |n: u32| HeaderMap::from_iter([(http::HeaderName::from_static("x-user"), n.into())]);
    let sticky = Some(drydock_contract::RequestKey::Header("x-user".into()));
    let mut before: Vec<u32> = Vec::new();
    for weight in [0, 1, 10, 10, 50, 99, 100] {
        splitter.set(Some(Split { sticky: sticky.clone(), ..split(weight, "1") }));
        let canarys: Vec<u32> = (0..2000).filter(|n| splitter.next(&user(*n)).is_some()).collect();
        assert!(before.iter().all(|n| canarys.contains(n)), "at {weight} %");
        // Five standard deviations of the binomial.
        let (share, expected) = (canarys.len() as f64, 20.0 * f64::from(weight));
        let deviation = (expected * (1.0 - f64::from(weight) / 100.0)).sqrt();
        assert!((share - expected).abs() <= 5.0 * deviation, "{share} of 2000 at {weight} %");
        before = canarys;
    }
    splitter.set(Some(Split { sticky, ..split(50, "1") }));
    assert_eq!((0..100).filter(|_| splitter.next(&HeaderMap::new()).is_some()).count(), 50, "without it: rotation");
}
